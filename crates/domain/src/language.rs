//! Languages as BCP 47 names them (RFC 5646): `en`, `pt-BR`, `zh-Hant`.
//!
//! A tag is well-formed, in its usual letters, and has the shortest code there is: `ENG-us` is `en-US`. Two letters are a
//! code of ISO 639-1; of three letters and more only the form is looked at, for the registry grows.

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};
use std::fmt;
use std::str::FromStr;

/// Characters of a tag at most (RFC 5646 §4.4.1).
pub const LONGEST: usize = 35;

/// The codes of two letters that ISO 639-1 knows.
const TWO: &str = "\
    aa ab ae af ak am an ar as av ay az ba be bg bh bi bm bn bo br bs ca ce ch co cr cs cu cv cy da de dv dz \
    ee el en eo es et eu fa ff fi fj fo fr fy ga gd gl gn gu gv ha he hi ho hr ht hu hy hz ia id ie ig ii ik \
    io is it iu ja jv ka kg ki kj kk kl km kn ko kr ks ku kv kw ky la lb lg li ln lo lt lu lv mg mh mi mk ml \
    mn mr ms mt my na nb nd ne ng nl nn no nr nv ny oc oj om or os pa pi pl ps pt qu rm rn ro ru rw sa sc sd \
    se sg si sk sl sm sn so sq sr ss st su sv sw ta te tg th ti tk tn to tr ts tt tw ty ug uk ur uz ve vi vo \
    wa wo xh yi yo za zh zu";

/// Codes of three letters, each with the one of two that stands for the same language (ISO 639-2 in both its forms, and
/// what has come to be written so).
const THREE: &str = "\
    aaraa abkab adpdz afraf akaak albsq alssq amham araar arbar argan armhy asmas avaav aveae aymay ayray \
    azeaz azjaz bakba bambm baqeu belbe benbn bisbi bodbo bosbs brebr bulbg burmy catca cescs chach chece \
    chizh chucu chvcv clssa cmnzh corkw cosco crecr cwdcr cymcy czecs danda deude divdv drhmn dutnl dzodz \
    ekket ellel engen epoeo eskik estet euseu eweee faofo fasfa fatak fijfj finfi frafr frefr fryfy fucff \
    fulff gazom geoka gerde glagd glega glggl glvgv greel grngn guggn gujgu hatht hauha hebhe herhz hinhi \
    hmoho hrvhr hunhu hyehy iboig iceis idoio iiiii ikeiu ikuiu ileie inaia indid ipkik islis itait javjv \
    jawjv jpnja kalkl kankn kasks katka kaukr kazkk khkmn khmkm kikki kinrw kirky kmrku knckr kngkg komkv \
    konkg korko kpvkv kuakj kurku laolo latla lavlv limli linln litlt ltzlb lublu luglg lvslv macmk mahmh \
    malml maomi marmr mayms mkdmk mlgmg mltmt molro monmn mrimi msams myamy nauna navnv nblnr ndend ndong \
    nepne nldnl nnonn nobnb norno npine nyany ocioc ojgoj ojioj orior ormom oryor ossos panpa pbups perfa \
    pesfa plipi pltmg polpl porpt prpgu pusps quequ quzqu rohrm ronro rumro runrn rusru sagsg sansa sccsr \
    scrhr sinsi slksk slosk slvsl smese smosm snasn sndsd somso sotst spaes sqisq srcsc srdsc srpsr sswss \
    sunsu swasw swesv swhsw tahty tamta tattt telte tgktg thath tibbo tirti tonto tsntn tsots tuktk turtr \
    twiak uigug ukruk urdur uzbuz uznuz venve vievi volvo welcy wlnwa wolwo xhoxh yddyi yidyi yoryo zhaza \
    zhozh zsmms zulzu zybza";

/// A language tag.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Language(String);

impl Language {
    /// Nobody has said which language it is.
    pub fn undetermined() -> Self {
        Self("und".to_owned())
    }

    /// Whether nobody has said which language it is.
    pub fn is_undetermined(&self) -> bool {
        self.0 == "und"
    }

    /// The tag.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Which of the languages that there are serves a viewer who has asked for this one: the same; one that says more
    /// (`en-GB` for `en`, RFC 4647 §3.3); one that says less (`en` for `en-US`, §3.4). Never another: who asked for
    /// `pt-BR` is not given `pt-PT`.
    pub fn choose<'a>(&self, from: impl IntoIterator<Item = &'a Self>) -> Option<&'a Self> {
        let mut best: Option<(usize, &Self)> = None;
        for other in from {
            let rank = match other {
                other if other == self => 0,
                other if other.is_within(self) => 1,
                // The one that says most of those that say less.
                other if self.is_within(other) => 2 + LONGEST.saturating_sub(other.0.len()),
                _ => continue,
            };
            if best.is_none_or(|(known, _)| rank < known) {
                best = Some((rank, other));
            }
        }
        best.map(|(_, found)| found)
    }

    /// Whether it is `wider`, and says something besides.
    fn is_within(&self, wider: &Self) -> bool {
        let rest = self.0.strip_prefix(&wider.0);
        rest.is_some_and(|rest| rest.starts_with('-'))
    }
}

impl FromStr for Language {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let refuse = |why: &str| {
            let given = crate::violation::quoted(text);
            Err(format!(
                "a language {given} is not known: {why}; a tag of BCP 47 such as en, pt-BR or zh-Hant is needed"
            ))
        };
        if text.len() > LONGEST {
            return refuse("it is too long");
        }
        let lower = text.to_ascii_lowercase();
        let mut parts = lower.split('-').peekable();
        let primary = parts.next().unwrap_or_default();
        let letters = |part: &str| part.bytes().all(|b| b.is_ascii_lowercase());
        if !letters(primary) || !(2..=3).contains(&primary.len()) {
            return refuse("it does not begin with a code of two or three letters");
        }
        let shortest = match primary.len() {
            3 => THREE
                .split(' ')
                .find_map(|pair| pair.strip_prefix(primary))
                .unwrap_or(primary),
            _ => primary,
        };
        if shortest.len() == 2 && !TWO.split(' ').any(|code| code == shortest) {
            return refuse("no language has this code");
        }
        let mut tag = shortest.to_owned();
        let mut stage = Stage::Extended(0);
        let mut seen = Vec::new();
        while let Some(part) = parts.next() {
            let Some((next, written)) = stage.follow(part) else {
                return refuse(&format!(
                    "{} does not belong there",
                    crate::violation::quoted(part)
                ));
            };
            if next.needs_more() && parts.peek().is_none() {
                return refuse("it breaks off");
            }
            if matches!(next, Stage::Variant | Stage::Opened(_)) {
                if seen.contains(&part) {
                    return refuse(&format!("{part} comes twice"));
                }
                seen.push(part);
            }
            stage = next;
            tag.push('-');
            tag.push_str(&written);
        }
        Ok(Self(tag))
    }
}

/// What came last in a tag (RFC 5646 §2.1).
#[derive(Clone, Copy)]
enum Stage {
    /// The language, and so many extended subtags.
    Extended(u8),
    Script,
    Region,
    Variant,
    /// The letter of an extension, or `x`.
    Opened(bool),
    /// A subtag of an extension, or of private use.
    Extension(bool),
}

impl Stage {
    fn needs_more(self) -> bool {
        matches!(self, Self::Opened(_))
    }

    /// What `part` is after this, and how it is written; nothing where it cannot stand there.
    fn follow(self, part: &str) -> Option<(Self, String)> {
        let alphabetic = part.bytes().all(|b| b.is_ascii_lowercase());
        let digits = part.bytes().all(|b| b.is_ascii_digit());
        let alphanumeric = part.bytes().all(|b| b.is_ascii_alphanumeric());
        let as_it_is = || part.to_owned();
        if !alphanumeric || part.is_empty() || part.len() > 8 {
            return None;
        }
        if let Self::Opened(private) | Self::Extension(private) = self
            && (private || part.len() > 1)
        {
            return (private || part.len() >= 2).then(|| (Self::Extension(private), as_it_is()));
        }
        if part.len() == 1 {
            if matches!(self, Self::Opened(_)) {
                return None;
            }
            return Some((Self::Opened(part == "x"), as_it_is()));
        }
        match (self, part.len()) {
            (Self::Extended(n @ 0..=2), 3) if alphabetic => {
                Some((Self::Extended(n + 1), as_it_is()))
            }
            (Self::Extended(_), 4) if alphabetic => {
                let (first, rest) = part.split_at(1);
                Some((Self::Script, first.to_ascii_uppercase() + rest))
            }
            (Self::Extended(_) | Self::Script, 2) if alphabetic => {
                Some((Self::Region, part.to_ascii_uppercase()))
            }
            (Self::Extended(_) | Self::Script, 3) if digits => Some((Self::Region, as_it_is())),
            (Self::Extension(_) | Self::Opened(_), _) => None,
            (_, 5..=8) => Some((Self::Variant, as_it_is())),
            (_, 4) if part.as_bytes()[0].is_ascii_digit() => Some((Self::Variant, as_it_is())),
            _ => None,
        }
    }
}

impl fmt::Display for Language {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Serialize for Language {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Language {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn language(tag: &str) -> Language {
        tag.parse().unwrap()
    }

    #[test]
    fn a_tag_is_written_in_its_usual_letters_and_by_its_shortest_code() {
        for (given, usual) in [
            ("en", "en"),
            ("ENG", "en"),
            ("ger", "de"),
            ("deu-at", "de-AT"),
            ("ZH-hANT-tw", "zh-Hant-TW"),
            ("zh-yue", "zh-yue"),
            ("es-419", "es-419"),
            ("sl-rozaj-biske", "sl-rozaj-biske"),
            ("de-CH-1901", "de-CH-1901"),
            ("en-u-islamcal-x-a-b1", "en-u-islamcal-x-a-b1"),
            ("und", "und"),
            ("gsw", "gsw"),
        ] {
            assert_eq!(language(given).as_str(), usual, "{given}");
            assert_eq!(language(usual).as_str(), usual);
        }
    }

    #[test]
    fn what_is_no_tag_is_refused() {
        for wrong in [
            "",
            "e",
            "english",
            "xx",
            "en-",
            "-en",
            "en--US",
            "en_US",
            "en-US-US",
            "en-x",
            "en-u",
            "en-u-x",
            "de-1901-1901",
            "en-u-aa-u-bb",
            "1n",
            "en-US-Latn",
            "é",
            "en-é",
            "en us",
            "x-mine",
            "index",
            "en-a-b-c",
            "en-abcdefghi",
            "en-abc-def-ghi-jkl",
            "../en",
            "en-x-abcdefgh-abcdefgh-abcdefgh-abcdefgh",
        ] {
            assert!(wrong.parse::<Language>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn who_asks_for_a_language_is_given_it_or_a_kind_of_it_and_no_other() {
        let there = ["en-GB", "pt-PT", "zh", "zh-Hant", "de"].map(language);
        for (asked, given) in [
            ("en", Some("en-GB")),
            ("de-AT", Some("de")),
            ("de", Some("de")),
            ("pt-BR", None),
            ("zh-Hant-TW", Some("zh-Hant")),
            ("zh-Hans", Some("zh")),
            ("fr", None),
            ("en-US", None),
        ] {
            let chosen = language(asked).choose(&there).map(Language::as_str);
            assert_eq!(chosen, given, "{asked}");
        }
    }
}

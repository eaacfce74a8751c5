//! What a file beside an item says about it: `film.nfo` (XML as Kodi and others write it) or `film.json` (the fields
//! of the API).
//!
//! Nothing in it is followed: no entity but the five of XML and numbers, no other file. What cannot be read says
//! nothing, in a sentence.

use playout_domain::Details;
use quick_xml::Reader;
use quick_xml::events::Event;
use serde_json::Value;

/// Bytes of a sidecar at most.
pub const LARGEST: usize = 1 << 20;
/// Elements within each other at most.
const DEEPEST: usize = 32;

/// What `.json` beside an item says: the fields of the API; others are passed over.
///
/// # Errors
/// A sentence.
pub fn json(bytes: &[u8]) -> Result<Details, String> {
    let value: Value =
        serde_json::from_slice(bytes).map_err(|error| format!("It is no JSON: {error}."))?;
    let Value::Object(mut fields) = value else {
        return Err("It is no JSON object.".to_owned());
    };
    fields.retain(|_, value| !value.is_null());
    let details = serde_json::from_value::<Details>(Value::Object(fields));
    let details = details.map_err(|error| format!("A field of it is wrong: {error}."))?;
    Ok(details.tidy())
}

/// What `.nfo` beside an item says.
///
/// # Errors
/// A sentence.
pub fn nfo(bytes: &[u8]) -> Result<Details, String> {
    let text = String::from_utf8_lossy(bytes);
    let mut reader = Reader::from_str(&text);
    let wrong = |error: &dyn std::fmt::Display| format!("It is no XML: {error}.");
    let mut details = Details::default();
    let mut open: Vec<String> = Vec::new();
    let mut said = String::new();
    loop {
        match reader.read_event().map_err(|error| wrong(&error))? {
            Event::Start(element) => {
                if open.len() >= DEEPEST {
                    return Err(format!("It is more than {DEEPEST} elements deep."));
                }
                open.push(element.name().as_ref().to_lowercase());
                said.clear();
            }
            Event::End(_) => {
                if let [_, name] = &open[..] {
                    note(&mut details, name, said.trim());
                }
                said.clear();
                open.pop();
            }
            Event::Text(text) => said += &text,
            Event::CData(text) => said += &text,
            Event::GeneralRef(entity) => {
                let name: &str = &entity;
                match entity.resolve_char_ref().map_err(|error| wrong(&error))? {
                    Some(character) => said.push(character),
                    None => match quick_xml::escape::resolve_predefined_entity(name) {
                        Some(text) => said += text,
                        None => return Err(format!("It names an entity, {name:?}, of its own.")),
                    },
                }
            }
            Event::Eof if !open.is_empty() => return Err("It breaks off.".to_owned()),
            Event::Eof => return Ok(details.tidy()),
            _ => {}
        }
    }
}

/// Notes what the element `name` below the root says. Of several of a kind the first counts, but for tags.
fn note(details: &mut Details, name: &str, said: &str) {
    if said.is_empty() {
        return;
    }
    let text = || Some(said.to_owned());
    let number = || said.parse().ok();
    let Details {
        title,
        description,
        tags,
        genre,
        language,
        rating,
        series,
        season,
        episode,
    } = details;
    match name {
        "title" => *title = title.take().or_else(text),
        "plot" => *description = text(),
        "outline" => *description = description.take().or_else(text),
        "tag" => tags.push(said.to_owned()),
        "genre" => *genre = genre.take().or_else(text),
        "language" => *language = language.take().or_else(text),
        "mpaa" => *rating = rating.take().or_else(text),
        "showtitle" => *series = series.take().or_else(text),
        "season" => *season = season.take().or_else(number),
        "episode" => *episode = episode.take().or_else(number),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn an_nfo_is_read_as_kodi_writes_it() {
        let text = "\u{feff}<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<episodedetails>\n  <title>Law &amp; &#79;rder</title>
            <showtitle><![CDATA[A <Show>]]></showtitle><season>3</season><episode>12</episode><plot>\n  What &lt;happens&gt;.\n</plot>
            <outline>Short.</outline><tag>Night</tag><tag>court</tag><genre>Crime</genre><genre>Drama</genre><mpaa>TV-14</mpaa>
            <actor><title>Mr</title><name>X</name></actor><thumb/><season>4</season></episodedetails>";
        let expected = Details {
            title: Some("Law & Order".into()),
            description: Some("What <happens>.".into()),
            tags: vec!["night".into(), "court".into()],
            genre: Some("Crime".into()),
            language: None,
            rating: Some("TV-14".into()),
            series: Some("A <Show>".into()),
            season: Some(3),
            episode: Some(12),
        };
        assert_eq!(nfo(text.as_bytes()), Ok(expected));
    }

    #[test]
    fn bombs_and_what_is_broken_off_say_nothing() {
        let deep = "<a>".repeat(100);
        let entities =
            "<!DOCTYPE a [<!ENTITY x \"lol\"><!ENTITY y \"&x;&x;\">]><a><title>&y;</title></a>";
        let file =
            "<!DOCTYPE a [<!ENTITY x SYSTEM \"file:///etc/passwd\">]><a><title>&x;</title></a>";
        for bad in ["<movie><title>x", "<a></b>", &deep, entities, file] {
            assert!(nfo(bad.as_bytes()).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_json_sidecar_has_the_fields_of_the_api() {
        let text = r#"{ "title": "T", "tags": ["A"], "season": 2, "genre": null, "more": [1] }"#;
        let expected = Details {
            title: Some("T".into()),
            tags: vec!["a".into()],
            season: Some(2),
            ..Details::default()
        };
        assert_eq!(json(text.as_bytes()), Ok(expected));
        for bad in ["", "[]", "{", r#"{"season": "two"}"#, r#"{"tags": "a"}"#] {
            assert!(json(bad.as_bytes()).is_err(), "{bad}");
        }
    }
}

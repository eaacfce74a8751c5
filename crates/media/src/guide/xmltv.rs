//! The guide as XMLTV, valid against its DTD (`xmltv.dtd` of the XMLTV project): all channels, then all programmes,
//! the elements of each in the DTD's order.

use std::borrow::Cow;
use std::io;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use playout_domain::Details;
use quick_xml::Writer;
use quick_xml::events::{BytesDecl, BytesText, Event};

use super::sized::{self, Limited, TooLong};
use super::{Guide, Listing, Programme};

type Xml<'a> = Writer<&'a mut Limited>;

/// `guide` as XMLTV, of `most` bytes at most.
///
/// # Errors
/// It is longer.
pub fn xmltv(guide: &Guide, most: usize) -> Result<String, TooLong> {
    sized::written(most, |out| {
        let mut xml = Writer::new_with_indent(out, b' ', 2);
        xml.write_event(Event::Decl(BytesDecl::new("1.0", Some("UTF-8"), None)))?;
        let kind = BytesText::from_escaped("tv SYSTEM \"xmltv.dtd\"");
        xml.write_event(Event::DocType(kind))?;
        let tv = xml.create_element("tv");
        tv.with_attribute(("generator-info-name", "playoutd"))
            .write_inner_content(|xml| {
                for listing in &guide.channels {
                    channel(xml, listing)?;
                }
                for listing in &guide.channels {
                    for shown in &listing.programmes {
                        programme(xml, listing, shown, &guide.said_about(shown.media_id))?;
                    }
                }
                Ok(())
            })?;
        Ok(())
    })
}

fn channel(xml: &mut Xml<'_>, listing: &Listing) -> io::Result<()> {
    let element = xml.create_element("channel");
    element
        .with_attribute(("id", listing.id.to_string().as_str()))
        .write_inner_content(|xml| text(xml, "display-name", &listing.name))?;
    Ok(())
}

fn programme(
    xml: &mut Xml<'_>,
    listing: &Listing,
    shown: &Programme,
    about: &Details,
) -> io::Result<()> {
    let (start, stop) = (time(shown.start), time(shown.end));
    if start == stop {
        // Less than a second, which is the finest that the format knows.
        return Ok(());
    }
    let element = xml.create_element("programme").with_attributes([
        ("start", start.as_str()),
        ("stop", stop.as_str()),
        ("channel", listing.id.to_string().as_str()),
    ]);
    element.write_inner_content(|xml| said(xml, listing, about))?;
    Ok(())
}

/// What is inside a programme. A title is always needed: where nothing is known of an item, it is the channel's name.
fn said(xml: &mut Xml<'_>, listing: &Listing, about: &Details) -> io::Result<()> {
    let named = |name: &Option<String>| name.clone().filter(|name| !printable(name).is_empty());
    let title = named(&about.title).unwrap_or_else(|| listing.name.clone());
    match named(&about.series).filter(|series| *series != title) {
        // The title is the series', the episode's is the second.
        Some(series) => {
            text(xml, "title", &series)?;
            text(xml, "sub-title", &title)?;
        }
        None => text(xml, "title", &title)?,
    }
    optional(xml, "desc", about.description.as_deref())?;
    optional(xml, "category", about.genre.as_deref())?;
    for tag in &about.tags {
        optional(xml, "keyword", Some(tag))?;
    }
    optional(xml, "language", about.language.as_deref())?;
    for (system, number) in [
        ("xmltv_ns", numbered(about.season, about.episode)),
        ("onscreen", on_screen(about.season, about.episode)),
    ] {
        if let Some(number) = number {
            let element = xml.create_element("episode-num");
            element
                .with_attribute(("system", system))
                .write_text_content(BytesText::new(&number))?;
        }
    }
    if let Some(rating) = &about.rating {
        let element = xml.create_element("rating");
        element.write_inner_content(|xml| text(xml, "value", rating))?;
    }
    Ok(())
}

fn optional(xml: &mut Xml<'_>, name: &str, said: Option<&str>) -> io::Result<()> {
    match said {
        Some(said) => text(xml, name, said),
        None => Ok(()),
    }
}

fn text(xml: &mut Xml<'_>, name: &str, said: &str) -> io::Result<()> {
    let said = printable(said);
    xml.create_element(name)
        .write_text_content(BytesText::new(&said))?;
    Ok(())
}

/// A text without the characters that XML 1.0 §2.2 has no place for, not even escaped.
fn printable(text: &str) -> Cow<'_, str> {
    let has_place = |c: char| matches!(c, '\t' | '\n' | '\r' | '\u{20}'..='\u{FFFD}' | '\u{10000}'..='\u{10FFFF}');
    match text.chars().all(has_place) {
        true => text.into(),
        false => text.chars().filter(|c| has_place(*c)).collect(),
    }
}

/// A time as XMLTV writes it: whole seconds, with the offset.
fn time(at: Timestamp) -> String {
    let at = at.to_zoned(TimeZone::UTC);
    at.strftime("%Y%m%d%H%M%S %z").to_string()
}

/// `season.episode.part`, counted from zero; what is not known, or counted as none, is left empty.
fn numbered(season: Option<u32>, episode: Option<u32>) -> Option<String> {
    let from_zero = |number: Option<u32>| number.and_then(|number| number.checked_sub(1));
    let (season, episode) = (from_zero(season), from_zero(episode));
    let written = |number: Option<u32>| number.map(|n| n.to_string()).unwrap_or_default();
    let known = season.is_some() || episode.is_some();
    known.then(|| format!("{}.{}.", written(season), written(episode)))
}

/// As people write it: S01E04.
fn on_screen(season: Option<u32>, episode: Option<u32>) -> Option<String> {
    let season = season.map(|n| format!("S{n:02}")).unwrap_or_default();
    let episode = episode.map(|n| format!("E{n:02}")).unwrap_or_default();
    Some(season + &episode).filter(|number| !number.is_empty())
}

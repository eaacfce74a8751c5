//! Channels as an extended M3U, as VLC and IPTV players import it. The format knows no escapes: a double quote
//! becomes a single one, and a line stays one line.

use playout_domain::ids::ChannelId;

/// A channel as a player finds it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Station {
    /// The channel, as the guide calls it.
    pub id: ChannelId,
    /// What it is called.
    pub name: String,
    /// Where its playlist is: a whole URL.
    pub address: String,
}

/// The playlist of `stations`, in their order; `guide` is where their XMLTV is, `group` what players show them under.
pub fn m3u(guide: &str, group: &str, stations: &[Station]) -> String {
    let mut lines = format!("#EXTM3U url-tvg=\"{}\"\n", plain(guide));
    let group = plain(group);
    for Station { id, name, address } in stations {
        let (name, address) = (plain(name), plain(address));
        lines += &format!(
            "#EXTINF:-1 tvg-id=\"{id}\" tvg-name=\"{name}\" group-title=\"{group}\",{name}\n{address}\n"
        );
    }
    lines
}

/// A text that ends neither its quotes nor its line.
fn plain(text: &str) -> String {
    let plain = text.chars().map(|c| match c {
        '"' => '\'',
        '\u{2028}' | '\u{2029}' => ' ',
        c if c.is_control() => ' ',
        c => c,
    });
    plain.collect::<String>().trim().to_owned()
}

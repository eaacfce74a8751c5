//! Where a cue is shown: the settings behind its time that players can make use of. Others are left out, as players do.

/// The settings in `text` that are what they should be, each once.
pub(super) fn kept(text: &str) -> String {
    let mut kept: Vec<(&str, &str)> = Vec::new();
    for setting in text.split_whitespace() {
        let Some((name, value)) = setting.split_once(':') else {
            continue;
        };
        // As it was called once.
        let value = match (name, value) {
            ("align", "middle") => "center",
            (_, value) => value,
        };
        if is_good(name, value) && !kept.iter().any(|(known, _)| *known == name) {
            kept.push((name, value));
        }
    }
    let kept = kept.iter().map(|(name, value)| format!("{name}:{value}"));
    kept.collect::<Vec<_>>().join(" ")
}

fn is_good(name: &str, value: &str) -> bool {
    let (place, anchor) = value.split_once(',').unwrap_or((value, ""));
    match name {
        "align" => ["start", "center", "end", "left", "right"].contains(&value),
        "vertical" => ["rl", "lr"].contains(&value),
        "size" => is_percentage(value),
        "position" => {
            is_percentage(place) && ["", "line-left", "center", "line-right"].contains(&anchor)
        }
        "line" => {
            (is_percentage(place) || is_line(place))
                && ["", "start", "center", "end"].contains(&anchor)
        }
        _ => false,
    }
}

fn is_percentage(text: &str) -> bool {
    let number = text.strip_suffix('%').filter(|number| number.len() <= 12);
    let plain = number.filter(|number| number.bytes().all(|b| b.is_ascii_digit() || b == b'.'));
    let number = plain.and_then(|number| number.parse::<f64>().ok());
    number.is_some_and(|number| (0.0..=100.0).contains(&number))
}

fn is_line(text: &str) -> bool {
    let digits = text.strip_prefix('-').unwrap_or(text);
    (1..=4).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_digit())
}

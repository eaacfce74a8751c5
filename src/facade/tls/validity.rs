//! When a certificate ends: the one field of it that the daemon reads itself (RFC 5280 §4.1, X.690).

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;

const SEQUENCE: u8 = 0x30;
const VERSION: u8 = 0xa0;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;

/// The end of a certificate in DER; nothing where it is none.
pub(super) fn ends(certificate: &[u8]) -> Option<Timestamp> {
    let (tag, certificate, _) = element(certificate)?;
    let (inner, mut rest, _) = element((tag == SEQUENCE).then_some(certificate)?)?;
    if inner != SEQUENCE {
        return None;
    }
    if rest.first() == Some(&VERSION) {
        rest = element(rest)?.2;
    }
    // Serial number, signature, issuer.
    for _ in 0..3 {
        rest = element(rest)?.2;
    }
    let (tag, validity, _) = element(rest)?;
    let (_, _, not_after) = element((tag == SEQUENCE).then_some(validity)?)?;
    let (tag, text, _) = element(not_after)?;
    time(tag, std::str::from_utf8(text).ok()?)
}

/// A tag, what it holds, and what follows.
fn element(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let [tag, length, rest @ ..] = bytes else {
        return None;
    };
    let (length, rest) = match length {
        short @ 0..=0x7f => (usize::from(*short), rest),
        long @ 0x81..=0x84 => {
            let (digits, rest) = rest.split_at_checked(usize::from(long & 0x7f))?;
            let length = digits
                .iter()
                .fold(0, |sum, digit| sum << 8 | usize::from(*digit));
            (length, rest)
        }
        _ => return None,
    };
    let (held, rest) = rest.split_at_checked(length)?;
    Some((*tag, held, rest))
}

/// `YYMMDDhhmmssZ` of the years 1950 to 2049, or `YYYYMMDDhhmmssZ` (RFC 5280 §4.1.2.5).
fn time(tag: u8, text: &str) -> Option<Timestamp> {
    let digits = text.strip_suffix('Z')?;
    let digits = match (tag, digits.len()) {
        (UTC_TIME, 12) if digits.as_bytes()[0] < b'5' => format!("20{digits}"),
        (UTC_TIME, 12) => format!("19{digits}"),
        (GENERALIZED_TIME, 14) => digits.to_owned(),
        _ => return None,
    };
    let time = DateTime::strptime("%Y%m%d%H%M%S", &digits).ok()?;
    TimeZone::UTC.to_timestamp(time).ok()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use rcgen::{CertificateParams, KeyPair, date_time_ymd};

    #[test]
    fn the_end_is_read_before_and_after_2050() {
        for (year, expected) in [
            (2031, "2031-06-30T00:00:00Z"),
            (2049, "2049-06-30T00:00:00Z"),
            (2050, "2050-06-30T00:00:00Z"),
            (4096, "4096-06-30T00:00:00Z"),
        ] {
            let mut params = CertificateParams::new(["tv.test".to_owned()]).unwrap();
            params.not_after = date_time_ymd(year, 6, 30);
            let key = KeyPair::generate().unwrap();
            let certificate = params.self_signed(&key).unwrap();
            assert_eq!(ends(certificate.der()).unwrap().to_string(), expected);
            // Cut anywhere, it is none, or tells the same.
            for length in 0..certificate.der().len() {
                assert_eq!(ends(&certificate.der()[..length]), None);
            }
        }
        assert_eq!(
            time(UTC_TIME, "991231235959Z").unwrap().to_string(),
            "1999-12-31T23:59:59Z"
        );
        for none in [
            "9912312359Z",
            "991231235959",
            "991331235959Z",
            "é91231235959Z",
        ] {
            assert_eq!(time(UTC_TIME, none), None, "{none}");
        }
    }
}

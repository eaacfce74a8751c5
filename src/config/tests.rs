#![allow(clippy::unwrap_used)]
use super::*;

const MANUAL: &str = include_str!("../../config.toml");

fn parse(text: &str) -> Result<Config, ConfigError> {
    Config::parse(text, Path::new("my.toml"))
}

fn refusal(text: &str) -> String {
    parse(text).unwrap_err().to_string()
}

/// The manual with the settings that have no default switched on.
fn uncommented() -> String {
    MANUAL
        .lines()
        .map(|line| match line.strip_prefix('#') {
            Some(rest) if rest.starts_with(|c: char| c.is_ascii_lowercase()) => rest,
            _ => line,
        })
        .collect::<Vec<_>>()
        .join("\n")
}

/// What a table may hold, by the refusal of a key that no table has.
fn known_keys(section: &str) -> Vec<String> {
    let text = match section {
        "" => "nonsense = 1".to_owned(),
        section => format!("[{section}]\nnonsense = 1"),
    };
    let refusal = refusal(&text);
    let (_, expected) = refusal.split_once("expected ").unwrap();
    expected
        .split('`')
        .skip(1)
        .step_by(2)
        .map(str::to_owned)
        .collect()
}

#[test]
fn the_manual_equals_the_defaults() {
    assert_eq!(parse(MANUAL).unwrap(), Config::default());
    assert_eq!(parse("").unwrap(), Config::default());
}

#[test]
fn the_manual_names_every_setting_and_says_a_sentence_about_it() {
    let whole = uncommented();
    parse(&whole).unwrap();
    let table: toml::Table = toml::from_str(&whole).unwrap();
    for key in known_keys("") {
        let value = table.get(&key).unwrap_or_else(|| panic!("no {key}"));
        let Some(section) = value.as_table() else {
            continue;
        };
        for setting in known_keys(&key) {
            let value = section.get(&setting);
            let value = value.unwrap_or_else(|| panic!("no {key}.{setting}"));
            let Some(section) = value.as_table() else {
                continue;
            };
            for inner in known_keys(&format!("{key}.{setting}")) {
                assert!(section.contains_key(&inner), "no {key}.{setting}.{inner}");
            }
        }
    }
    let lines: Vec<&str> = MANUAL.lines().collect();
    for pair in lines.windows(2) {
        let setting = pair[1].trim_start_matches('#');
        if setting.starts_with(|c: char| c.is_ascii_lowercase()) && setting.contains(" = ") {
            assert!(
                pair[0].starts_with("# ") && pair[0].ends_with('.'),
                "no sentence above: {}",
                pair[1]
            );
        }
    }
}

#[test]
fn an_unknown_key_is_refused_with_its_name_and_line() {
    let refusal = refusal("data_dir = \"x\"\n\n[http]\nbnid = \"127.0.0.1:1\"\n");
    assert!(refusal.starts_with("my.toml, line 4: "), "{refusal}");
    assert!(refusal.contains("unknown key `bnid`"), "{refusal}");
    assert!(refusal.contains("`bind`"), "{refusal}");
}

#[test]
fn a_wrong_value_is_refused_with_key_line_and_what_is_allowed() {
    for (text, line, parts) in [
        ("[hls]\nwindow = 1", 2, ["hls.window", "3 to 1000"]),
        ("[hls]\nwindow = \"ten\"", 2, ["hls.window", "integer"]),
        (
            "[hls]\n\ntarget_duration = -4",
            3,
            ["hls.target_duration", "2 to 20 seconds"],
        ),
        (
            "[playout]\nsource = \"gst\"",
            2,
            ["playout.source", "`direct`"],
        ),
        (
            "[http]\nbind = \"nowhere\"",
            2,
            ["http.bind", "socket address"],
        ),
        (
            "[http]\npublic_url = \"tv\"",
            2,
            ["http.public_url", "http://"],
        ),
        (
            "[log]\nlevel = \"a=b=c\"",
            2,
            ["log.level", "not understood"],
        ),
        (
            "[media]\nroots = [\"films\"]",
            2,
            ["media.roots", "not absolute"],
        ),
        (
            "[alerts.smtp]\nhost = \"mail\"",
            2,
            ["alerts.smtp.host", "alerts.smtp.from"],
        ),
        (
            "[alerts.smtp]\nhost = \"mail\"\nfrom = \"x@y.z\"\nuser = \"tv\"",
            4,
            ["alerts.smtp.user", "password_file"],
        ),
        (
            "[alerts.smtp]\nhost = \"m\"\nfrom = \"x@y.z\"\nuser = \"u\"\npassword_file = \"p\"\ntls = \"none\"",
            6,
            ["alerts.smtp.tls", "unencrypted"],
        ),
        (
            "[http]\ntrusted_proxies = [\"10.0.0.0/33\"]",
            2,
            ["http.trusted_proxies", "10.0.0.0/8"],
        ),
        (
            "[http]\nproxies_tell = \"via\"",
            2,
            ["http.proxies_tell", "`x-forwarded-for`"],
        ),
        (
            "[http]\nviewer_bind = \"127.0.0.1:8080\"",
            2,
            ["http.viewer_bind", "http.bind"],
        ),
        (
            "[http]\ntls_certificate = \"cert.pem\"",
            2,
            ["http.tls_certificate", "http.tls_key"],
        ),
        (
            "[http]\ntls_key = \"key.pem\"",
            2,
            ["http.tls_key", "http.tls_certificate"],
        ),
        (
            "[http]\nunix_socket_mode = 0o1777",
            2,
            ["http.unix_socket_mode", "0 to 511"],
        ),
        (
            "[http]\ncors_origins = [\"*\", \"https://a.org\"]",
            2,
            ["http.cors_origins", "`*`"],
        ),
        (
            "[http]\ncors_origins = [\"https://a.org/\"]",
            2,
            ["http.cors_origins", "no origin"],
        ),
        (
            "[http]\ncors_origins = [\"a.org\"]",
            2,
            ["http.cors_origins", "`a.org`"],
        ),
        ("[http\n", 1, ["", ""]),
    ] {
        let refusal = refusal(text);
        assert!(
            refusal.starts_with(&format!("my.toml, line {line}: ")),
            "{refusal}"
        );
        assert!(!refusal.contains('\n'), "{refusal}");
        for part in parts {
            assert!(refusal.contains(part), "{part} not in: {refusal}");
        }
    }
}

#[test]
fn what_cannot_be_right_is_refused_with_key_and_line_and_without_a_password() {
    for (text, line, parts) in [
        ("\ndata_dir = \"\"", 2, ["data_dir", "empty"]),
        ("data_dir = \"a\\u0000b\"", 1, ["data_dir", "NUL"]),
        (
            "[media]\nroots = [\"/a\\u0000b\"]",
            2,
            ["media.roots", "NUL"],
        ),
        (
            "[log]\nlevel = \"loud\"",
            2,
            ["log.level", "`loud` is no level"],
        ),
        ("[log]\nlevel = \"info,hyper\"", 2, ["log.level", "`hyper`"]),
        ("[log]\nlevel = \"\"", 2, ["log.level", "no level"]),
        (
            "[log]\nlevel = \"hyper=loud\"",
            2,
            ["log.level", "not understood"],
        ),
        (
            "[database]\nurl = \"mysql://me:hunter2@db/x\"",
            2,
            ["database.url", "no URL of PostgreSQL"],
        ),
        (
            "[database]\n\nurl = \"postgres://me:hunter2@db:notaport/x\"",
            3,
            ["database.url", "`port`"],
        ),
        (
            "[redis]\nurl = \"http://:hunter2@r\"",
            2,
            ["redis.url", "no URL of Redis"],
        ),
        ("redis.url = 12345", 1, ["redis.url", "text in quotes"]),
        (
            "[http]\npublic_url = \"http://user:hunter2@x/y?z#q\"",
            2,
            ["http.public_url", "password"],
        ),
        (
            "http = { public_url = \"http://x/y?z\" }",
            1,
            ["http.public_url", "query"],
        ),
        (
            "http.public_url = \"https://x/#y\"",
            1,
            ["http.public_url", "fragment"],
        ),
        (
            "[http]\npublic_url = \"ftp://x\"",
            2,
            ["http.public_url", "http://"],
        ),
        (
            "[http]\npublic_url = \"http://\"",
            2,
            ["http.public_url", "URL"],
        ),
        (
            "[http]\npublic_url = \"http:///y\"",
            2,
            ["http.public_url", "URL"],
        ),
        (
            "[http]\npublic_url = \"http://:80\"",
            2,
            ["http.public_url", "host"],
        ),
        (
            "[http]\npublic_url = \"http://x:99999\"",
            2,
            ["http.public_url", "port"],
        ),
        (
            "[http]\npublic_url = \"http://x y\"",
            2,
            ["http.public_url", "URL"],
        ),
    ] {
        let refusal = refusal(text);
        assert!(
            refusal.starts_with(&format!("my.toml, line {line}: ")),
            "{refusal}"
        );
        for part in parts {
            assert!(refusal.contains(part), "{part} not in: {refusal}");
        }
        for secret in ["hunter2", "12345"] {
            assert!(!refusal.contains(secret), "{refusal}");
        }
    }
    for right in [
        "[http]\npublic_url = \"https://tv.example.org:8443/on/air/\"",
        "[http]\npublic_url = \"http://[::1]:80\"",
        "[http]\ncors_origins = [\"https://a.org\", \"http://localhost:5173\"]",
        "[http]\ncors_origins = [\"*\"]",
        "[log]\nlevel = \"INFO,playout_actors=debug,[import{file=a}]=trace\"",
        "[database]\nurl = \"host=/run/postgresql user=me\"",
    ] {
        parse(right).unwrap();
    }
}

#[test]
fn a_password_is_not_printed() {
    let config = parse("[database]\nurl = \"postgres://me:hunter2@db/x\"").unwrap();
    assert!(!format!("{config:?}").contains("hunter2"));
    assert!(config.database.url.unwrap().reveal().contains("hunter2"));
}

#[test]
fn viewers_are_told_an_address_of_their_own_where_they_have_one() {
    let urls = |text: &str, viewers: Option<&str>| {
        let config = parse(text).unwrap();
        let public = config.public_url("0.0.0.0:8080".parse().unwrap());
        let viewers = config.viewer_url(viewers.map(|at| at.parse().unwrap()), &public);
        (public, viewers)
    };
    let both = |public: &str, viewers: &str| (public.to_owned(), viewers.to_owned());
    let tls = "[http]\ntls_certificate = \"c\"\ntls_key = \"k\"\n";
    assert_eq!(
        urls("", None),
        both("http://127.0.0.1:8080", "http://127.0.0.1:8080")
    );
    assert_eq!(
        urls(tls, Some("[::]:81")),
        both("https://127.0.0.1:8080", "https://[::1]:81")
    );
    let named = "[http]\npublic_url = \"https://tv.org/\"\n";
    assert_eq!(urls(named, None), both("https://tv.org", "https://tv.org"));
    assert_eq!(
        urls(
            &format!("{named}viewer_url = \"https://cdn.org/\""),
            Some("[::1]:81")
        ),
        both("https://tv.org", "https://cdn.org")
    );
}

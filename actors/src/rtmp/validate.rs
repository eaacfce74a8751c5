//! Tests a destination: a connection to its server as an encoder would make it, without any media.

use playout_domain::destination::{ServerUrl, Warning};
use playout_domain::{DestinationConfig, Profile, StreamKey};
use playout_partners::rtmp::{Check, Depth, Limits, Refusal, Report, StreamName, check};
use serde::Serialize;
use serde_json::{Value, json};

use super::RtmpSettings;

/// What a test of a destination found.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Validation {
    /// Whether the server takes the channel.
    pub ok: bool,
    /// The address that was connected to.
    pub address: Option<String>,
    /// The steps that went well, and how many seconds each took.
    pub steps: Vec<Value>,
    /// The step that failed.
    pub step: Option<&'static str>,
    /// Why it failed, to program against.
    pub reason: Option<&'static str>,
    /// One sentence for people.
    pub detail: Option<String>,
    /// What of the stream is more than the platform is documented to take.
    pub warnings: Vec<Warning>,
}

/// Tests `destination` of a channel of `profile`; with `publish` also whether it takes the key.
pub(crate) async fn validate(
    settings: &RtmpSettings,
    destination: &DestinationConfig,
    profile: &Profile,
    key: Option<&StreamKey>,
    publish: bool,
) -> Validation {
    let sent = destination.encode.feed(profile).profile(profile);
    let name = match key {
        Some(key) => StreamName::Key(key),
        None if destination.stream_key.is_set() => StreamName::Untold,
        None => StreamName::InPath,
    };
    let tested = test(settings, &destination.server_url, name, publish).await;
    Validation {
        warnings: destination.platform.preset().warnings(&sent),
        ..tested
    }
}

async fn test(
    settings: &RtmpSettings,
    server: &ServerUrl,
    name: StreamName<'_>,
    publish: bool,
) -> Validation {
    let asked = Check {
        server,
        name,
        depth: if publish { Depth::Publish } else { Depth::App },
        reach: settings.reach,
        limits: Limits::default(),
        roots: &settings.roots,
    };
    check(&asked).await.map_or_else(failed, passed)
}

fn passed(report: Report) -> Validation {
    let step = |(step, took): &(playout_partners::rtmp::Step, std::time::Duration)| json!({ "step": step.name(), "seconds": took.as_secs_f64() });
    Validation {
        ok: true,
        address: Some(report.address.to_string()),
        steps: report.steps.iter().map(step).collect(),
        step: None,
        reason: None,
        detail: None,
        warnings: Vec::new(),
    }
}

fn failed(refusal: Refusal) -> Validation {
    Validation {
        ok: false,
        address: None,
        steps: Vec::new(),
        step: Some(refusal.step.name()),
        reason: Some(refusal.reason.name()),
        detail: Some(refusal.detail),
        warnings: Vec::new(),
    }
}

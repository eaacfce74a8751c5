//! `playoutd import PATH…`: hands paths to the running daemon and shows how preparing goes.
//!
//! The daemon does the work: a command that is ended here leaves it going on there.

mod progress;

use std::io::Write;
use std::path::PathBuf;
use std::time::Duration;

use hyper::{Method, StatusCode};
use indicatif::{HumanDuration, ProgressBar, ProgressState, ProgressStyle};
use serde_json::{Value, json};

use self::progress::{Item, Progress};
use super::client::{Client, ClientError, Refusal};
use super::{Failure, absolute, say};

/// How often the daemon is asked how far it is.
const ASK_EVERY: Duration = Duration::from_millis(700);

/// Imports `paths` and waits until all of it is prepared.
pub(super) async fn run(mut client: Client, paths: &[PathBuf]) -> Result<(), Failure> {
    let mut refused = 0;
    let mut items = Vec::new();
    for path in paths {
        let report = match absolute(path) {
            Ok(path) => import(&mut client, &path).await?,
            Err(sentence) => Report {
                accepted: Vec::new(),
                refused: vec![sentence],
            },
        };
        for sentence in &report.refused {
            complain(sentence);
        }
        refused += report.refused.len();
        items.extend(report.accepted);
    }
    items.sort_by(|a, b| a.id.cmp(&b.id));
    items.dedup_by(|a, b| a.id == b.id);
    say(&format!("imported: {}, refused: {refused}", items.len()));
    let failed = prepare(&mut client, Progress::of(items)).await?;
    if refused + failed > 0 {
        Err(Failure::Told)
    } else {
        Ok(())
    }
}

/// What came of one path.
struct Report {
    accepted: Vec<Item>,
    /// One sentence for each file.
    refused: Vec<String>,
}

async fn import(client: &mut Client, path: &str) -> Result<Report, Failure> {
    let spinner = ProgressBar::new_spinner().with_message(format!("looking at {path}"));
    spinner.enable_steady_tick(Duration::from_millis(100));
    let body = json!({ "path": path });
    let answer = client.ask(Method::POST, "/api/v1/media", Some(&body)).await;
    spinner.finish_and_clear();
    match answer {
        Ok(report) => {
            let list = |name: &str| report[name].as_array().cloned().unwrap_or_default();
            let sentence = |file: &Value| {
                let text = |name: &str| file[name].as_str().unwrap_or_default().to_owned();
                format!("{}: {}", text("path"), text("reason"))
            };
            Ok(Report {
                accepted: list("accepted").iter().filter_map(Item::of).collect(),
                refused: list("refused").iter().map(sentence).collect(),
            })
        }
        Err(ClientError::Refused(refusal))
            if refusal.status == StatusCode::UNPROCESSABLE_ENTITY =>
        {
            Ok(Report {
                accepted: Vec::new(),
                refused: sentences(&refusal),
            })
        }
        Err(error) => Err(Failure::Failed(error.to_string())),
    }
}

/// What the daemon refused, sentence by sentence.
fn sentences(refusal: &Refusal) -> Vec<String> {
    let violations = refusal.document["violations"].as_array();
    let messages = violations
        .into_iter()
        .flatten()
        .filter_map(|v| v["message"].as_str());
    let messages: Vec<String> = messages.map(str::to_owned).collect();
    if messages.is_empty() {
        vec![refusal.to_string()]
    } else {
        messages
    }
}

/// Waits until everything is prepared; answers how many items were not.
async fn prepare(client: &mut Client, mut progress: Progress) -> Result<usize, Failure> {
    let bar = ProgressBar::new(progress.whole()).with_style(style()?);
    bar.enable_steady_tick(Duration::from_millis(200));
    let mut news = tokio::time::interval(ASK_EVERY);
    loop {
        bar.set_position(progress.done());
        bar.set_message(progress.summary());
        let Some(next) = progress.unfinished().map(<[_]>::to_vec) else {
            break;
        };
        news.tick().await;
        for id in next {
            let path = format!("/api/v1/media/{id}");
            let item = match client.ask(Method::GET, &path, None).await {
                Ok(answer) => Item::of(&answer),
                Err(ClientError::Refused(gone)) if gone.status == StatusCode::NOT_FOUND => None,
                Err(error) => {
                    bar.abandon();
                    return Err(Failure::Failed(error.to_string()));
                }
            };
            if let Some(line) = progress.learn(&id, item) {
                bar.suspend(|| say(&line));
            }
        }
    }
    bar.finish_and_clear();
    Ok(progress.failed())
}

fn style() -> Result<ProgressStyle, Failure> {
    let template = "preparing [{bar:30}] {percent:>3} %  {msg}{left}";
    let style = ProgressStyle::with_template(template);
    let style = style.map_err(|error| Failure::Failed(error.to_string()))?;
    // Before anything is done nobody can say how long it takes.
    let left = |state: &ProgressState, out: &mut dyn std::fmt::Write| {
        if state.pos() > 0 {
            let _ = write!(out, ", {} left", HumanDuration(state.eta()));
        }
    };
    Ok(style.with_key("left", left).progress_chars("=> "))
}

fn complain(sentence: &str) {
    let _ = writeln!(std::io::stderr(), "not imported: {sentence}");
}

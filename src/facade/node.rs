//! `GET /api/v1/node`: what this node has for channels, what is taken of it, and who waits.

use playout_actors::admission::Occupancy;
use playout_domain::admission::Cost;
use serde_json::{Value, json};
use warp::reply::Response;

use super::answer;
use super::api::Call;
use super::problem::Problem;

pub(super) fn get(call: &Call) -> Result<Response, Problem> {
    let [] = call.request.query([])?;
    let Occupancy {
        capacity,
        used,
        copy,
        per_megapixel,
        waiting,
    } = call.app.admissions.occupancy();
    let waiting = waiting.iter().map(|waits| {
        json!({
            "channelId": waits.channel,
            "tier": waits.tier,
            "claim": waits.kind.name(),
            "place": waits.place,
        })
    });
    answer::ok(&json!({
        "capacity": shown(capacity),
        "used": shown(used),
        "copy": shown(copy),
        "transcodeCpuPerMegapixel": cores(per_megapixel),
        "waiting": waiting.collect::<Vec<Value>>(),
    }))
}

fn shown(cost: Cost) -> Value {
    json!({ "cpu": cores(cost.cpu), "memory": cost.memory })
}

/// A fraction of one core, as everywhere in the API.
fn cores(thousandths: u32) -> f64 {
    f64::from(thousandths) / 1000.0
}

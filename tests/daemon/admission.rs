//! A node that is short: who goes on air, who waits, and who gives way.

use serde_json::{Value, json};

use super::caller::Caller;
use super::clips::clip;
use super::daemon::{BOUND, Daemon, folder, until};
use super::viewer::Viewer;

/// A client on a plan, with channels of 240p that play one item each.
struct House<'a> {
    who: Caller<'a>,
}

impl<'a> House<'a> {
    fn new(daemon: &'a Daemon, name: &str, plan: &str) -> Self {
        let scopes = json!(["read", "operate", "configure"]);
        let (_, who) = Caller::of_client(daemon, name, plan, scopes);
        Self { who }
    }

    fn channel(&self, name: &str, media: Option<&str>) -> String {
        let channel = json!({ "name": name, "resolution": "240p" });
        let made = self.who.ask("POST", "/channels", &channel);
        assert_eq!(made.status, 201, "{}", made.text());
        let id = made.json()["id"].as_str().expect("an id").to_owned();
        if let Some(media) = media {
            let rotation = json!({ "items": [{ "mediaId": media }] });
            let path = format!("/channels/{id}/rotation");
            assert_eq!(self.who.ask("PUT", &path, &rotation).status, 200);
        }
        id
    }

    fn order(&self, channel: &str, order: &str) {
        let done = self.who.ask(
            "POST",
            &format!("/channels/{channel}/{order}"),
            &Value::Null,
        );
        assert_eq!(done.status, 200, "{}", done.text());
    }

    fn status(&self, channel: &str) -> Value {
        self.who.get(&format!("/channels/{channel}/status")).json()
    }

    fn until_live(&self, channel: &str) {
        until("the channel is LIVE", BOUND, || {
            let status = self.status(channel);
            status["status"] == "LIVE" && status["waitsAt"].is_null()
        });
    }

    /// What viewers of a channel see.
    fn shown(&self, channel: &str) -> Value {
        self.status(channel)["onAir"]["kind"].clone()
    }

    /// The kinds of its alerts that are open.
    fn alerts(&self) -> Vec<String> {
        let open = self.who.get("/alerts?state=open").json();
        let items = open["items"].as_array().expect("alerts").clone();
        let kinds = items.iter().filter_map(|alert| alert["kind"].as_str());
        kinds.map(str::to_owned).collect()
    }

    /// What the audit says of decisions, oldest first.
    fn decisions(&self) -> Vec<String> {
        let path = "/audit?operation=admission&order=oldest";
        let items = self.who.get(path).json()["items"].clone();
        let items = items.as_array().expect("entries").iter();
        items
            .filter_map(|entry| entry["operation"].as_str().map(str::to_owned))
            .collect()
    }
}

#[test]
fn starts_wait_by_tier_for_a_place_on_the_node_and_are_seen_to() {
    let data = folder();
    // Room for one channel.
    let daemon = Daemon::start(data.path(), "[admission]\ncpu = 1\n");
    let (low, high) = (
        House::new(&daemon, "Low", "basic"),
        House::new(&daemon, "High", "pro"),
    );
    let (one, two) = (low.channel("One", None), low.channel("Two", None));
    let three = high.channel("Three", None);
    low.order(&one, "start");
    low.until_live(&one);
    low.order(&two, "start");
    until("it waits", BOUND, || low.status(&two)["waitsAt"] == 1);
    high.order(&three, "start");
    until("it waits before", BOUND, || {
        high.status(&three)["waitsAt"] == 1 && low.status(&two)["waitsAt"] == 2
    });
    assert_eq!(low.status(&two)["status"], "STARTING");
    assert_eq!(low.status(&one)["status"], "LIVE", "on air it stays");
    until("the client is told", BOUND, || {
        low.alerts() == ["channel.waiting"]
    });
    let node = daemon.get("/node");
    assert_eq!(node["capacity"]["cpu"], 0.01, "{node}");
    let waiting = [(&three, 3, 1), (&two, 2, 2)].map(|(channel, tier, place)| {
        json!({ "channelId": channel, "tier": tier, "claim": "channel", "place": place })
    });
    assert_eq!(node["waiting"], json!(waiting));

    low.order(&one, "stop");
    high.until_live(&three);
    assert_eq!(low.status(&two)["waitsAt"], 1);
    // Whoever does not want to wait any more leaves the queue.
    low.order(&one, "start");
    low.order(&one, "stop");
    high.order(&three, "stop");
    low.until_live(&two);
    until("it is over", BOUND, || {
        low.alerts().is_empty() && high.alerts().is_empty()
    });
    until("the audit tells", BOUND, || {
        high.decisions() == ["admission.wait", "admission.go_on"]
    });
    let expected = [
        "admission.wait",
        "admission.wait",
        "admission.leave",
        "admission.go_on",
    ];
    until("the audit tells", BOUND, || low.decisions() == expected);
}

#[test]
fn what_is_transcoded_live_gives_way_to_a_higher_tier_until_it_is_prepared() {
    let data = folder();
    // Room for both channels, and one transcode.
    let daemon = Daemon::start(data.path(), "[admission]\ncpu = 15\n");
    daemon.post("/media/queue/pause", &Value::Null);
    let (low, high) = (
        House::new(&daemon, "Low", "basic"),
        House::new(&daemon, "High", "pro"),
    );
    let film = clip(7, 1500);
    let (one, two) = (
        low.channel("One", Some(&low.who.upload("film.mp4", &film))),
        high.channel("Two", Some(&high.who.upload("film.mp4", &film))),
    );
    low.order(&one, "start");
    until("it is transcoded while it plays", BOUND, || {
        low.shown(&one) == "scheduled"
    });
    let mut viewer = Viewer::of(&daemon, &one);
    high.order(&two, "start");
    until("the higher tier is transcoded", BOUND, || {
        viewer.look();
        high.shown(&two) == "scheduled" && low.shown(&one) == "slate"
    });
    until("the client is told", BOUND, || {
        low.alerts()
            .contains(&"channel.transcode_waiting".to_owned())
    });
    assert_eq!(low.status(&one)["status"], "LIVE");
    assert_eq!(
        low.status(&one)["waitsAt"],
        Value::Null,
        "the channel has its place"
    );

    // What is prepared needs none.
    daemon.post("/media/queue/resume", &Value::Null);
    until("the item is on air again", BOUND, || {
        viewer.look();
        low.shown(&one) == "scheduled" && low.alerts().is_empty()
    });
    viewer.watch(10.0);
    viewer.judge();
    assert_eq!(viewer.discontinuities, 0);
    let decisions = low.decisions();
    assert_eq!(decisions[0], "admission.give_way", "{decisions:?}");
    assert!(high.decisions().is_empty());
    let give_way = "/audit?operation=admission.give_way";
    let entry = low.who.get(give_way).json()["items"][0].clone();
    let told = low.who.get("/audit").text();
    assert!(!told.contains(&*two), "another client's channel: {told}");
    let whole = daemon.get(give_way);
    let whole = whole["items"].as_array().unwrap().iter();
    let to: Vec<_> = whole.map(|entry| &entry["detail"]["after"]["to"]).collect();
    assert!(to.contains(&&json!(two)), "the operator knows: {to:?}");
    assert_eq!(
        (&entry["actor"], &entry["subjectId"]),
        (&json!("daemon"), &json!(one))
    );
}

#[test]
fn who_waits_to_be_transcoded_keeps_its_turn_from_item_to_item() {
    let data = folder();
    // Room for the channels, and one transcode, which another has.
    let daemon = Daemon::start(data.path(), "[admission]\ncpu = 16\n");
    daemon.post("/media/queue/pause", &Value::Null);
    let (high, house) = (
        House::new(&daemon, "High", "enterprise"),
        House::new(&daemon, "Low", "pro"),
    );
    let holder = high.channel("Holder", Some(&high.who.upload("film.mp4", &clip(9, 3000))));
    high.order(&holder, "start");
    until("it is transcoded while it plays", BOUND, || {
        high.shown(&holder) == "scheduled"
    });
    let (short, long) = (
        house.who.upload("short.mp4", &clip(7, 50)),
        house.who.upload("long.mp4", &clip(8, 1500)),
    );
    let first = house.channel("First", Some(&short));
    let second = house.channel("Second", Some(&long));
    let waits = || {
        let waiting = daemon.get("/node")["waiting"].clone();
        let channels = waiting.as_array().expect("a list").iter();
        let channels: Vec<Value> = channels.map(|one| one["channelId"].clone()).collect();
        channels
    };
    house.order(&first, "start");
    until("the first waits", BOUND, || waits() == [json!(first)]);
    house.order(&second, "start");
    let both = [json!(first), json!(second)];
    until("both wait", BOUND, || waits() == both);
    // Its item begins anew again and again meanwhile.
    let mut viewer = Viewer::of(&daemon, &first);
    viewer.watch(12.0);
    viewer.judge();
    assert_eq!(waits(), both);
    assert_eq!(house.decisions(), ["admission.wait", "admission.wait"]);
    let alerts = house.who.get("/alerts").json()["items"].clone();
    let alerts = alerts.as_array().expect("alerts").iter();
    let times: Vec<&Value> = alerts.map(|alert| &alert["occurrences"]).collect();
    assert_eq!(times, [1, 1]);
}

#[test]
fn after_a_downgrade_what_is_beyond_the_plan_stays_on_air_for_the_grace() {
    let data = folder();
    let daemon = Daemon::start(data.path(), "[plans]\ngrace = 8\n");
    let house = House::new(&daemon, "Canal Uno", "basic");
    let channels = ["One", "Two"].map(|name| house.channel(name, None));
    for channel in &channels {
        house.order(channel, "start");
        house.until_live(channel);
    }
    let me = house.who.get("/session").json();
    let path = format!("/clients/{}", me["clientId"].as_str().unwrap());
    daemon.api("PATCH", &path, &json!({ "plan": "free" }));
    until("the client is told", BOUND, || {
        house.alerts() == ["channel.over_limit"]
    });
    let alert = house.who.get("/alerts?state=open").json()["items"][0].clone();
    assert_eq!(
        alert["channelId"],
        json!(channels[1]),
        "the first one stays: {alert}"
    );
    let ends = alert["detail"]
        .as_str()
        .unwrap()
        .split("goes off air at ")
        .nth(1)
        .unwrap()
        .trim_end_matches('.');
    let ends: jiff::Timestamp = ends.parse().unwrap();
    until("it is off air", BOUND, || {
        house.status(&channels[1])["status"] == "STOPPED"
    });
    assert!(jiff::Timestamp::now() >= ends, "before its time");
    assert_eq!(house.status(&channels[0])["status"], "LIVE");
    until("it is over", BOUND, || house.alerts().is_empty());
    let audit = house.who.get("/audit?operation=channel.stop").json();
    assert_eq!(audit["items"][0]["actor"], "daemon", "{audit}");
}

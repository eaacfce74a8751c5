import { describe, expect, it } from "vitest";
import {
  atThePicture,
  badge,
  bitrateText,
  initial,
  latencyText,
  message,
  note,
  nowPlaying,
  reduce,
  shouldPlay,
  uptimeText,
  type Fact,
  type State,
} from "./state";

const after = (...facts: Fact[]): State => facts.reduce(reduce, initial);
const status = (data: unknown): Fact => ({ type: "event", kind: "channel.status", data });
const playback = (playback: State["playback"]): Fact => ({ type: "playback", playback });

describe("what the page plays", () => {
  it("plays what is live and, in ERROR, the fallback that is still on air", () => {
    expect(shouldPlay(after(status({ status: "LIVE" })))).toBe(true);
    expect(shouldPlay(after(status({ status: "ERROR" })))).toBe(true);
    expect(shouldPlay(after(status({ status: "STARTING" })))).toBe(false);
    expect(shouldPlay(after(status({ status: "STOPPED" })))).toBe(false);
  });

  it("waits for the first word of the daemon, but tries the stream when none can be had", () => {
    expect(shouldPlay(initial)).toBe(false);
    expect(shouldPlay(after({ type: "link", link: "lost" }))).toBe(true);
    expect(shouldPlay(after({ type: "link", link: "unknown" }))).toBe(false);
  });

  it("keeps playing while the event stream reconnects", () => {
    const state = after(status({ status: "LIVE" }), { type: "link", link: "lost" });
    expect(shouldPlay(state)).toBe(true);
    expect(note(state)).toContain("reconnecting");
  });

  it("finds a channel that is created later", () => {
    const state = after({ type: "link", link: "unknown" }, status({ status: "LIVE", name: "One" }));
    expect(state.link).toBe("open");
    expect(shouldPlay(state)).toBe(true);
  });
});

describe("reading events", () => {
  it("keeps what an event does not mention", () => {
    const state = after(
      status({ name: "One", status: "LIVE", recovering: false, onAir: "scheduled", title: "A" }),
      { type: "event", kind: "channel.segment", data: { sequence: 7 } },
      { type: "event", kind: "channel.heartbeat", data: { status: "LIVE", uptime: 65.2, bitrate: 2_600_000 } },
    );
    expect(state).toMatchObject({ name: "One", status: "LIVE", onAir: "scheduled", title: "A", sequence: 7, uptimeSeconds: 65.2 });
    expect(state.bitrate).toBe(2_600_000);
  });

  it("ignores values it does not know", () => {
    const before = after(status({ name: "One", status: "LIVE", onAir: "scheduled", title: "A" }));
    const strange = { status: "PAUSED", name: 5, recovering: "yes", onAir: "trailer", title: 5 };
    for (const data of [null, 3, "x", [], strange, { onAir: 1 }]) {
      expect(reduce(before, status(data))).toEqual(before);
    }
    expect(reduce(before, { type: "event", kind: "channel.heartbeat", data: { uptime: "1", bitrate: null } })).toEqual(before);
    expect(reduce(before, { type: "event", kind: "channel.segment", data: { sequence: "7" } })).toEqual(before);
  });

  it("forgets what was on air when the channel stops", () => {
    const live = status({ status: "LIVE", onAir: "scheduled", title: "A" });
    const beat: Fact = { type: "event", kind: "channel.heartbeat", data: { uptime: 5, bitrate: 1 } };
    const state = after(live, beat, status({ status: "STOPPED" }));
    expect(state).toMatchObject({ onAir: null, title: null, sequence: null, uptimeSeconds: null, bitrate: null });
  });

  it("does not keep the title of what is no longer shown", () => {
    const live = status({ status: "LIVE", onAir: "scheduled", title: "A" });
    const state = after(live, { type: "event", kind: "channel.onair", data: { onAir: "slate", title: null } });
    expect(nowPlaying(state)).toBe("Slate");
    expect(nowPlaying(after(live, { type: "event", kind: "channel.onair", data: { onAir: null, title: null } }))).toBe("–");
  });
});

describe("what is on air, when the picture gets there", () => {
  const live = after(status({ status: "LIVE", onAir: "scheduled", title: "A" }));
  const next: Fact = { type: "event", kind: "channel.onair", data: { status: "LIVE", name: "One", onAir: "slate", title: null } };
  const measured: Fact = { type: "measured", latencySeconds: 12.5, width: 1, height: 1 };
  const playing = [playback("playing"), measured].reduce(reduce, live);

  it("holds back what is shown, and nothing else", () => {
    const parts = atThePicture(next, playing);
    expect(parts?.afterSeconds).toBe(12.5);
    expect(reduce(playing, parts!.now)).toMatchObject({ name: "One", onAir: "scheduled", title: "A" });
    expect(reduce(playing, parts!.later)).toMatchObject({ onAir: "slate", title: null });
  });

  it("holds nothing back without a picture", () => {
    expect(atThePicture(next, live)).toBeNull();
    expect(atThePicture(status({ status: "STOPPED" }), playing)).toBeNull();
  });

  it("comes to nothing where the channel has stopped meanwhile", () => {
    const parts = atThePicture(next, playing);
    const stopped = reduce(playing, status({ status: "STOPPED" }));
    expect(reduce(stopped, parts!.later)).toMatchObject({ status: "STOPPED", onAir: null, title: null });
  });
});

describe("what a viewer sees", () => {
  it("counts a stall only of a moving picture, and once", () => {
    expect(after(playback("loading"), playback("stalled")).stalls).toBe(0);
    expect(after(playback("playing"), playback("stalled"), playback("stalled")).stalls).toBe(1);
    expect(after(playback("playing"), playback("stalled"), playback("playing"), playback("stalled")).stalls).toBe(2);
  });

  it("says what is wrong, and nothing over a picture", () => {
    expect(message(after(status({ status: "STOPPED" }), playback("playing")))?.title).toBe("Off air");
    expect(message(after({ type: "link", link: "unknown" }))?.title).toBe("No such channel");
    expect(message(after(status({ status: "LIVE" }), playback("failed")))?.title).toBe("No stream");
    expect(message(after(status({ status: "LIVE" }), playback("playing")))).toBeNull();
    expect(message(after(status({ status: "LIVE" }), playback("playing"), playback("stalled")))).toBeNull();
  });

  it("names the state of the channel", () => {
    expect(badge(after(status({ status: "LIVE", recovering: true, onAir: "fallback" })))).toEqual({ text: "LIVE", tone: "live" });
    expect(note(after(status({ status: "LIVE", recovering: true, onAir: "fallback" })))).toBe("recovering · fallback video on air");
    expect(note(after(status({ status: "LIVE", onAir: "scheduled" })))).toBeNull();
    expect(badge(initial).tone).toBe("wait");
    expect(badge(after({ type: "link", link: "unknown" })).tone).toBe("bad");
  });

  it("writes latency to a tenth, and a dash for what is not known", () => {
    expect([null, Number.NaN, -0.2, 11.96].map(latencyText)).toEqual(["–", "–", "0.0 s", "12.0 s"]);
  });

  it("writes uptime by its two greatest units", () => {
    const texts = [null, -1, 0, 42.9, 185, 7_200, 86_399, 371_000].map(uptimeText);
    expect(texts).toEqual(["–", "–", "0 s", "42 s", "3 min 5 s", "2 h 0 min", "23 h 59 min", "4 d 7 h"]);
  });

  it("writes a bitrate in megabits", () => {
    expect([null, 0, 2_612_345].map(bitrateText)).toEqual(["–", "–", "2.61 Mb/s"]);
  });
});

describe("the languages to read along in", () => {
  it("are those of the stream that plays, and nothing else changes them", () => {
    const two = after({ type: "languages", languages: ["English", "Deutsch"], language: "English" });
    expect(two).toEqual({ ...initial, languages: ["English", "Deutsch"], language: "English" });
    expect(reduce(two, { type: "playback", playback: "stalled" }).language).toBe("English");
    expect(reduce(two, { type: "languages", languages: [], language: null })).toEqual(initial);
  });
});

// What the watch page knows, as a pure reducer: facts in, state out, and what a viewer should see from it.
// No DOM, no network, no clock.
//
// The events of `GET /watch/{channelId}/events`, each with a JSON object as data. The first after every
// connect is a `channel.status`, so nothing has to be remembered across a reconnect:
//   channel.status, channel.onair  {name, status, recovering, onAir, title}
//   channel.segment                {sequence}
//   channel.heartbeat              {status, uptime, bitrate}
// A field that is absent leaves what was known; an unknown field or a wrong type is ignored. (`reset` and
// `channel.deleted` never come here: events.ts answers them with a new connection.)

export type Status = "STOPPED" | "STARTING" | "LIVE" | "ERROR";
export type OnAir = "scheduled" | "ad" | "fallback" | "slate";
export type Link = "connecting" | "open" | "lost" | "unknown";
export type Playback = "idle" | "loading" | "playing" | "stalled" | "blocked" | "failed";
export type EventKind = "channel.status" | "channel.onair" | "channel.segment" | "channel.heartbeat";

export interface State {
  /** The event stream: `lost` reconnects by itself, `unknown` means there is no such channel. */
  link: Link;
  name: string | null;
  status: Status | null;
  recovering: boolean;
  onAir: OnAir | null;
  title: string | null;
  /** Media sequence number of the newest segment. */
  sequence: number | null;
  /** Seconds the channel has been LIVE, as of the last heartbeat. */
  uptimeSeconds: number | null;
  /** Bits per second on air, as of the last heartbeat. */
  bitrate: number | null;
  playback: Playback;
  /** Times the picture stopped for want of data since the page was opened. */
  stalls: number;
  muted: boolean;
  latencySeconds: number | null;
  width: number;
  height: number;
  /** The languages that the channel can be read along in, by name. */
  languages: readonly string[];
  /** The one that is shown; null: none. */
  language: string | null;
}

export type Fact =
  | { type: "link"; link: Link }
  | { type: "event"; kind: EventKind; data: unknown }
  | { type: "playback"; playback: Playback }
  | { type: "muted"; muted: boolean }
  | { type: "measured"; latencySeconds: number | null; width: number; height: number }
  | { type: "languages"; languages: readonly string[]; language: string | null };

export const initial: State = {
  link: "connecting",
  name: null,
  status: null,
  recovering: false,
  onAir: null,
  title: null,
  sequence: null,
  uptimeSeconds: null,
  bitrate: null,
  playback: "idle",
  stalls: 0,
  muted: true,
  latencySeconds: null,
  width: 0,
  height: 0,
  languages: [],
  language: null,
};

const STATUSES: readonly Status[] = ["STOPPED", "STARTING", "LIVE", "ERROR"];
const ON_AIR: readonly OnAir[] = ["scheduled", "ad", "fallback", "slate"];

export function reduce(state: State, fact: Fact): State {
  switch (fact.type) {
    case "link":
      return { ...state, link: fact.link };
    case "event":
      return { ...state, link: "open", ...read(fact.kind, fact.data, state.status) };
    case "playback": {
      // Only a picture that was moving can stall; waiting for the first frame is loading.
      const stalled = fact.playback === "stalled" && state.playback === "playing";
      if (fact.playback === "stalled" && !stalled) return state;
      return { ...state, playback: fact.playback, stalls: state.stalls + (stalled ? 1 : 0) };
    }
    case "muted":
      return { ...state, muted: fact.muted };
    case "measured":
      return { ...state, latencySeconds: fact.latencySeconds, width: fact.width, height: fact.height };
    case "languages":
      return { ...state, languages: fact.languages, language: fact.language };
  }
}

function read(kind: EventKind, data: unknown, before: Status | null): Partial<State> {
  if (typeof data !== "object" || data === null) return {};
  const fields = data as Record<string, unknown>;
  const known: Partial<State> = {};
  if (kind === "channel.segment") {
    if (typeof fields["sequence"] === "number") known.sequence = fields["sequence"];
    return known;
  }
  if (kind === "channel.heartbeat") {
    if (typeof fields["uptime"] === "number") known.uptimeSeconds = fields["uptime"];
    if (typeof fields["bitrate"] === "number") known.bitrate = fields["bitrate"];
  }
  const { status, name, recovering, onAir, title } = fields;
  if (STATUSES.includes(status as Status)) known.status = status as Status;
  if (typeof name === "string") known.name = name;
  if (typeof recovering === "boolean") known.recovering = recovering;
  if (onAir === null || ON_AIR.includes(onAir as OnAir)) known.onAir = onAir as OnAir | null;
  if (title === null || typeof title === "string") known.title = title;
  if ((known.status ?? before) === "STOPPED")
    Object.assign(known, { onAir: null, title: null, sequence: null, uptimeSeconds: null, bitrate: null });
  return known;
}

/**
 * What of an event holds now, and what only once the picture gets there: viewers see what is on air `latencySeconds`
 * later than the daemon airs it.
 */
export function atThePicture(fact: Fact, state: State): { now: Fact; later: Fact; afterSeconds: number } | null {
  const moving = state.playback === "playing" || state.playback === "stalled";
  if (fact.type !== "event" || fact.kind !== "channel.onair" || !moving || state.latencySeconds === null) return null;
  if (typeof fact.data !== "object" || fact.data === null) return null;
  const { onAir, title, ...rest } = fact.data as Record<string, unknown>;
  return { now: { ...fact, data: rest }, later: { ...fact, data: { onAir, title } }, afterSeconds: state.latencySeconds };
}

/** Whether there is something to play. Without any word from the daemon the stream is worth a try. */
export function shouldPlay(state: State): boolean {
  if (state.link === "unknown") return false;
  if (state.status === null) return state.link === "lost";
  return state.status === "LIVE" || state.status === "ERROR";
}

export type Tone = "live" | "wait" | "off" | "bad";

export function badge(state: State): { text: string; tone: Tone } {
  if (state.link === "unknown") return { text: "UNKNOWN", tone: "bad" };
  switch (state.status) {
    case null:
      return { text: "CONNECTING", tone: "wait" };
    case "LIVE":
      return { text: "LIVE", tone: "live" };
    case "STARTING":
      return { text: "STARTING", tone: "wait" };
    case "STOPPED":
      return { text: "STOPPED", tone: "off" };
    case "ERROR":
      return { text: "ERROR", tone: "bad" };
  }
}

/** One line beside the badge when what is on air is not the schedule, or the page lost the daemon. */
export function note(state: State): string | null {
  if (state.link === "unknown") return null;
  const parts: string[] = [];
  if (state.recovering) parts.push("recovering");
  if (state.onAir === "fallback") parts.push("fallback video on air");
  if (state.onAir === "slate") parts.push("slate on air");
  if (state.onAir === "ad") parts.push("advertisement");
  if (state.link === "lost" && state.status !== null) parts.push("live status lost, reconnecting");
  return parts.length > 0 ? parts.join(" · ") : null;
}

/** What stands over the picture; null while there is a picture to see. */
export function message(state: State): { title: string; text: string } | null {
  if (state.link === "unknown")
    return { title: "No such channel", text: "Nothing is known under this address. If the channel is created, this page finds it." };
  if (state.status === "STOPPED")
    return { title: "Off air", text: "The channel is stopped. Playback begins by itself when it goes live." };
  if (state.status === "STARTING") return { title: "Starting", text: "The channel is coming on air." };
  if (state.playback === "playing" || state.playback === "stalled") return null;
  if (state.playback === "blocked") return { title: "Ready", text: "The browser wants a click before it plays." };
  if (state.playback === "failed")
    return { title: "No stream", text: "The channel is on air but its stream cannot be read. Trying again." };
  if (state.status === null && state.link === "lost")
    return { title: "Out of reach", text: "The daemon does not answer. Trying again." };
  if (state.status === null) return { title: "Connecting", text: "Asking the daemon how the channel is." };
  return { title: "Loading", text: "Fetching the stream." };
}

/** What is being shown, in words. */
export function nowPlaying(state: State): string {
  if (state.title !== null) return state.title;
  if (state.onAir === "fallback") return "Fallback video";
  if (state.onAir === "slate") return "Slate";
  return "–";
}

export function latencyText(seconds: number | null): string {
  return seconds === null || !Number.isFinite(seconds) ? "–" : `${Math.max(0, seconds).toFixed(1)} s`;
}

export function bitrateText(bits: number | null): string {
  return bits === null || !(bits > 0) ? "–" : `${(bits / 1e6).toFixed(2)} Mb/s`;
}

/** Uptime by its two greatest units: `42 s`, `3 min 5 s`, `2 h 0 min`, `4 d 7 h`. */
export function uptimeText(seconds: number | null): string {
  if (seconds === null || !Number.isFinite(seconds) || seconds < 0) return "–";
  const whole = Math.floor(seconds);
  const units = [
    [Math.floor(whole / 86_400), "d"],
    [Math.floor(whole / 3_600) % 24, "h"],
    [Math.floor(whole / 60) % 60, "min"],
    [whole % 60, "s"],
  ] as const;
  const first = units.findIndex(([count]) => count > 0);
  if (first < 0) return "0 s";
  return units
    .slice(first, first + 2)
    .map(([count, unit]) => `${count} ${unit}`)
    .join(" ");
}

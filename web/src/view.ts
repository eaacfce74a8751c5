// Writes the state into the page. Text only, never markup; touches the document only where something changed,
// so that a screen reader is not told the same thing twice.
import { badge, bitrateText, latencyText, message, note, nowPlaying, uptimeText, type State } from "./state";

function element<T extends HTMLElement>(id: string): T {
  const found = document.getElementById(id);
  if (found === null) throw new Error(`the page has no #${id}`);
  return found as T;
}

export const page = {
  name: element("name"),
  badge: element("badge"),
  note: element("note"),
  stage: element("stage"),
  video: element<HTMLVideoElement>("video"),
  message: element("message"),
  messageTitle: element("message-title"),
  messageText: element("message-text"),
  play: element<HTMLButtonElement>("play"),
  unmute: element<HTMLButtonElement>("unmute"),
  mute: element<HTMLButtonElement>("mute"),
  fullscreen: element<HTMLButtonElement>("fullscreen"),
  language: element<HTMLSelectElement>("language"),
  title: element("title"),
  latency: element("latency"),
  resolution: element("resolution"),
  stalls: element("stalls"),
  segment: element("segment"),
  uptime: element("uptime"),
  bitrate: element("bitrate"),
};

function write(into: HTMLElement, text: string): void {
  if (into.textContent !== text) into.textContent = text;
}

/** One choice for each language, and one for none: without a name, for no language has an empty one. */
function offer(languages: readonly string[], shown: string | null): void {
  const { language } = page;
  const names = ["", ...languages];
  if (names.join("\n") !== [...language.options].map((option) => option.value).join("\n"))
    language.replaceChildren(...names.map((name) => new Option(name === "" ? "No subtitles" : name, name)));
  language.value = shown ?? "";
  language.hidden = languages.length === 0;
}

export function show(state: State): void {
  const shown = badge(state);
  write(page.badge, shown.text);
  page.badge.dataset["tone"] = shown.tone;
  write(page.name, state.name ?? "Channel");
  document.title = state.name === null ? "playoutd" : `${state.name} · ${shown.text}`;

  const aside = note(state);
  page.note.hidden = aside === null;
  write(page.note, aside ?? "");

  const over = message(state);
  page.message.hidden = over === null;
  if (over !== null) {
    write(page.messageTitle, over.title);
    write(page.messageText, over.text);
  }

  const picture = state.playback === "playing" || state.playback === "stalled";
  page.stage.dataset["picture"] = picture && over === null ? "yes" : "no";
  page.play.hidden = state.playback !== "blocked";
  page.unmute.hidden = !(picture && over === null && state.muted);
  write(page.mute, state.muted ? "Unmute" : "Mute");

  offer(state.languages, state.language);

  write(page.title, nowPlaying(state));
  write(page.latency, picture ? latencyText(state.latencySeconds) : "–");
  write(page.resolution, picture && state.width > 0 ? `${state.width} × ${state.height}` : "–");
  write(page.stalls, String(state.stalls));
  write(page.segment, state.sequence === null ? "–" : String(state.sequence));
  write(page.uptime, uptimeText(state.uptimeSeconds));
  write(page.bitrate, bitrateText(state.bitrate));
}

// The watch page of one channel: the event stream says whether there is something to play, the player plays
// it, and the view shows both. The channel is the last part of the address, /watch/{channelId}.
import { follow } from "./events";
import { Player } from "./player";
import { atThePicture, initial, reduce, shouldPlay, type Fact } from "./state";
import type { Diagnostics } from "./diagnostics";
import { page, show } from "./view";

const MEASURE_MS = 500;

const channelId = /^\/watch\/([^/]+)\/?$/.exec(location.pathname)?.[1] ?? null;
const { video } = page;
const diagnostics: Diagnostics = { channelId, hls: null, video, state: initial, errors: [] };
window.__playout = diagnostics;

const player = new Player(`/hls/${channelId ?? ""}/index.m3u8`, video, diagnostics, (playback) => tell({ type: "playback", playback }), (languages, language) => tell({ type: "languages", languages, language }));

function tell(fact: Fact): void {
  diagnostics.state = reduce(diagnostics.state, fact);
  show(diagnostics.state);
  if (shouldPlay(diagnostics.state)) player.start();
  else player.stop();
}

function heard(fact: Fact): void {
  const parts = atThePicture(fact, diagnostics.state);
  tell(parts?.now ?? fact);
  if (parts !== null) setTimeout(() => tell(parts.later), parts.afterSeconds * 1000);
}

function toggleSound(): void {
  video.muted = !video.muted;
}

function toggleFullscreen(): void {
  const change = document.fullscreenElement === null ? page.stage.requestFullscreen() : document.exitFullscreen();
  change.catch(() => undefined); // refused by the browser: nothing changes
}

video.muted = true; // the attribute alone does not count for a page that was reloaded
video.addEventListener("volumechange", () => tell({ type: "muted", muted: video.muted }));
page.unmute.addEventListener("click", toggleSound);
page.mute.addEventListener("click", toggleSound);
page.play.addEventListener("click", () => player.play());
page.language.addEventListener("change", () => player.read(page.language.value === "" ? null : page.language.value));
page.fullscreen.addEventListener("click", toggleFullscreen);
document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.key === "m") toggleSound();
  if (event.key === "f") toggleFullscreen();
});

setInterval(() => {
  tell({ type: "measured", latencySeconds: player.latencySeconds(), width: video.videoWidth, height: video.videoHeight });
}, MEASURE_MS);

show(diagnostics.state);
if (channelId === null) tell({ type: "link", link: "unknown" });
else follow(decodeURIComponent(channelId), heard);

// Plays one channel's HLS in one video element: by hls.js, or by the browser where it plays HLS itself.
// `start` and `stop` may be called any number of times; a failed stream is tried again until `stop`.
import Hls, { type ErrorData } from "hls.js";
import workerPath from "hls.js/dist/hls.worker.js?url";
import { record, type Diagnostics } from "./diagnostics";
import type { Playback } from "./state";

const RETRY_MS = [500, 1_000, 2_000, 4_000] as const;
/** A second decoder failure within this time is not repaired in place: the player is made anew. */
const REPAIR_ONCE_PER_MS = 10_000;

export class Player {
  private running = false;
  private failures = 0;
  private retry: ReturnType<typeof setTimeout> | undefined;
  private repairedAt = -Infinity;
  /** The language that the viewer has chosen, null for none; undefined while the channel's own choice holds. */
  private chosen: string | null | undefined;

  constructor(
    private readonly url: string,
    private readonly video: HTMLVideoElement,
    private readonly diagnostics: Diagnostics,
    private readonly tell: (playback: Playback) => void,
    private readonly tellLanguages: (languages: readonly string[], shown: string | null) => void,
  ) {
    video.addEventListener("playing", () => {
      if (!this.running) return;
      this.failures = 0;
      tell("playing");
    });
    video.addEventListener("waiting", () => {
      if (this.running) tell("stalled");
    });
    // hls.js reports its own errors; these are the browser's, which matter only when it plays by itself.
    video.addEventListener("error", () => {
      if (this.running && this.diagnostics.hls === null) this.fail(`native: ${video.error?.message ?? "unknown"}`);
    });
    for (const kind of ["addtrack", "removetrack", "change"])
      video.textTracks.addEventListener(kind, () => {
        if (this.running && this.diagnostics.hls === null) this.offer(nativeNames(video), nativeShown(video));
      });
    video.addEventListener("ended", () => {
      if (this.running) this.fail("ended");
    });
  }

  start(): void {
    if (this.running) return;
    this.running = true;
    this.failures = 0;
    this.open();
  }

  stop(): void {
    if (!this.running) return;
    this.running = false;
    clearTimeout(this.retry);
    this.close();
    this.tell("idle");
  }

  /** Asks the browser to play; told `blocked` when it wants a gesture first. */
  play(): void {
    this.video.play().catch((error: unknown) => {
      if (this.running && error instanceof DOMException && error.name === "NotAllowedError") this.tell("blocked");
    });
  }

  /** Shows the subtitles of that name; null shows none. */
  read(language: string | null): void {
    this.chosen = language;
    const { hls } = this.diagnostics;
    if (hls !== null) hls.subtitleTrack = hls.subtitleTracks.findIndex((track) => track.name === language);
    else for (const track of subtitlesOf(this.video)) track.mode = track.label === language ? "showing" : "disabled";
  }

  /** Seconds between what is shown and what is newest; null where it cannot be known. */
  latencySeconds(): number | null {
    const { hls } = this.diagnostics;
    if (hls !== null) return hls.latency > 0 ? hls.latency : null;
    const { seekable, currentTime } = this.video;
    return seekable.length > 0 ? seekable.end(seekable.length - 1) - currentTime : null;
  }

  private open(): void {
    this.tell("loading");
    if (!Hls.isSupported()) {
      this.video.src = this.url;
      this.play();
      return;
    }
    const hls = new Hls({ workerPath, backBufferLength: 30, liveSyncDurationCount: 3, liveMaxLatencyDurationCount: 9 });
    this.diagnostics.hls = hls;
    hls.on(Hls.Events.ERROR, (_, data) => this.onError(hls, data));
    hls.on(Hls.Events.MANIFEST_PARSED, () => this.play());
    const offer = () => this.offer(hls.subtitleTracks.map((track) => track.name), hls.subtitleTracks[hls.subtitleTrack]?.name ?? null);
    hls.on(Hls.Events.SUBTITLE_TRACKS_UPDATED, offer);
    hls.on(Hls.Events.SUBTITLE_TRACK_SWITCH, offer);
    hls.loadSource(this.url);
    hls.attachMedia(this.video);
  }

  /** What the stream offers, and shows; the viewer's choice outlives the player that it was made with. */
  private offer(languages: readonly string[], shown: string | null): void {
    const { chosen } = this;
    if (chosen !== undefined && chosen !== shown && (chosen === null || languages.includes(chosen))) this.read(chosen);
    else this.tellLanguages(languages, shown);
  }

  private onError(hls: Hls, data: ErrorData): void {
    record(this.diagnostics, data.details, data.fatal);
    if (!data.fatal || !this.running) return;
    const now = performance.now();
    if (data.type === Hls.ErrorTypes.MEDIA_ERROR && now - this.repairedAt > REPAIR_ONCE_PER_MS) {
      this.repairedAt = now;
      hls.recoverMediaError();
      this.play();
      return;
    }
    this.again();
  }

  private fail(details: string): void {
    record(this.diagnostics, details, true);
    this.again();
  }

  private again(): void {
    this.close();
    this.tell("failed");
    const delay = RETRY_MS[Math.min(this.failures, RETRY_MS.length - 1)];
    this.failures += 1;
    clearTimeout(this.retry);
    this.retry = setTimeout(() => this.open(), delay);
  }

  private close(): void {
    this.diagnostics.hls?.destroy();
    this.diagnostics.hls = null;
    this.tellLanguages([], null);
    this.video.removeAttribute("src");
    this.video.load();
  }
}

function subtitlesOf(video: HTMLVideoElement): TextTrack[] {
  return [...video.textTracks].filter((track) => track.kind === "subtitles");
}

function nativeNames(video: HTMLVideoElement): string[] {
  return subtitlesOf(video).map((track) => track.label);
}

function nativeShown(video: HTMLVideoElement): string | null {
  return subtitlesOf(video).find((track) => track.mode === "showing")?.label ?? null;
}

// `window.__playout`: what the page is doing, for a developer's console and for the browser test. Read only;
// nothing on the page depends on it.
import type Hls from "hls.js";
import type { State } from "./state";

export interface PlaybackError {
  /** Milliseconds since the page was opened. */
  at: number;
  details: string;
  fatal: boolean;
}

export interface Diagnostics {
  channelId: string | null;
  /** The running hls.js player; null while nothing plays or where the browser plays HLS itself. */
  hls: Hls | null;
  video: HTMLVideoElement;
  state: State;
  /** Every error hls.js reported, oldest first, the last 200. */
  errors: PlaybackError[];
}

declare global {
  interface Window {
    __playout?: Diagnostics;
  }
}

const KEPT = 200;

export function record(diagnostics: Diagnostics, details: string, fatal: boolean): void {
  diagnostics.errors.push({ at: Math.round(performance.now()), details, fatal });
  if (diagnostics.errors.length > KEPT) diagnostics.errors.shift();
}

import { afterEach, beforeEach, expect, it, vi } from "vitest";
import { follow } from "./events";
import type { Fact } from "./state";

/** The browser's EventSource as far as the page uses it; a test makes it speak. */
class Source extends EventTarget {
  static readonly CLOSED = 2;
  static opened: Source[] = [];
  readyState = 1;
  onopen: (() => void) | null = null;
  onerror: (() => void) | null = null;
  constructor(readonly url: string) {
    super();
    Source.opened.push(this);
  }
  close(): void {
    this.readyState = Source.CLOSED;
  }
  say(kind: string, data: string): void {
    this.dispatchEvent(new MessageEvent(kind, { data }));
  }
}

let told: Fact[];
const newest = (): Source => Source.opened[Source.opened.length - 1]!;

beforeEach(() => {
  vi.useFakeTimers();
  vi.stubGlobal("EventSource", Source);
  Source.opened = [];
  told = [];
});
afterEach(() => {
  vi.unstubAllGlobals();
  vi.useRealTimers();
});

it("tells each kind of event, and null for what is not JSON", () => {
  follow("a/b", (fact) => told.push(fact));
  expect(newest().url).toBe("/watch/a%2Fb/events");
  newest().onopen?.();
  newest().say("channel.status", '{"status":"LIVE"}');
  newest().say("channel.heartbeat", "{");
  newest().say("media.ready", "{}");
  expect(told).toEqual([
    { type: "link", link: "open" },
    { type: "event", kind: "channel.status", data: { status: "LIVE" } },
    { type: "event", kind: "channel.heartbeat", data: null },
  ]);
});

it.each(["reset", "channel.deleted"])("begins anew after %s", async (kind) => {
  follow("one", (fact) => told.push(fact));
  const first = newest();
  first.say(kind, "{}");
  expect(first.readyState).toBe(Source.CLOSED);
  await vi.advanceTimersByTimeAsync(1_000);
  expect(Source.opened).toHaveLength(2);
});

it("leaves a broken connection to the browser", async () => {
  follow("one", (fact) => told.push(fact));
  newest().readyState = 0;
  newest().onerror?.();
  await vi.advanceTimersByTimeAsync(60_000);
  expect(told).toEqual([{ type: "link", link: "lost" }]);
  expect(Source.opened).toHaveLength(1);
});

it.each([
  [404, "unknown"],
  [503, "lost"],
] as const)("after an answer %i the channel is %s, and is asked for again", async (status, link) => {
  vi.stubGlobal("fetch", () => Promise.resolve({ status }));
  follow("one", (fact) => told.push(fact));
  newest().close();
  newest().onerror?.();
  await vi.advanceTimersByTimeAsync(10_000);
  expect(told).toEqual([{ type: "link", link }]);
  expect(Source.opened).toHaveLength(2);
});

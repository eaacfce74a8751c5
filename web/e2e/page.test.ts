// The built page in a real Chromium, through a channel's life: unknown, created, started, live, reconnecting,
// on fallback, stopped. Waits on what the page shows, never on time.
import { afterEach, beforeEach, expect, it } from "vitest";
import type { Page } from "playwright-core";
import { withBrowser } from "./browser.mjs";
import { StandIn } from "./stand-in.mjs";
import { watch } from "./watch.mjs";

const CHANNEL = "01900000-0000-7000-8000-000000000001";
let daemon: StandIn;
let origin: string;

beforeEach(async () => {
  daemon = new StandIn(CHANNEL);
  origin = await daemon.open();
});
afterEach(() => daemon.close());

async function shows(page: Page, selector: string, text: string): Promise<void> {
  await page.locator(selector, { hasText: text }).waitFor({ state: "visible", timeout: 15_000 });
}

it("follows a channel from unknown to live and back, by itself", async () => {
  await withBrowser("127.0.0.1", async (context) => {
    const page = context.pages()[0] ?? (await context.newPage());
    const failures: string[] = [];
    page.on("pageerror", (error) => failures.push(String(error)));
    page.on("console", (line) => {
      if (/content security policy/i.test(line.text())) failures.push(line.text());
    });
    await page.goto(`${origin}/watch/${CHANNEL}`);
    await shows(page, "#message", "No such channel");
    await shows(page, "#badge", "UNKNOWN");

    daemon.known = true;
    await shows(page, "#message", "Off air");
    await shows(page, "#name", "Test channel");

    daemon.tell("channel.status", { status: "STARTING" });
    await shows(page, "#message", "Starting");

    await daemon.onAir();
    daemon.tell("channel.status", { status: "LIVE", recovering: false, onAir: "scheduled", title: "<b>First</b> item" });
    await shows(page, "#badge", "LIVE");
    await page.locator("#message").waitFor({ state: "hidden", timeout: 20_000 });
    await page.waitForFunction(() => (window.__playout?.video.currentTime ?? 0) > 1);
    await shows(page, "#title", "<b>First</b> item");
    await shows(page, "#resolution", "426 × 240");

    await page.locator("#unmute").click();
    await page.locator("#mute", { hasText: /^Mute$/ }).waitFor({ timeout: 15_000 });
    expect(await page.evaluate(() => window.__playout?.video.muted)).toBe(false);
    await page.locator("#unmute").waitFor({ state: "hidden" });

    daemon.tell("channel.onair", { onAir: "fallback", title: "Fallback" });
    await shows(page, "#note", "fallback video on air");
    daemon.tell("channel.segment", { sequence: 4711 });
    await shows(page, "#segment", "4711");
    daemon.tell("channel.heartbeat", { status: "LIVE", uptime: 3725, bitrate: 2_600_000 });
    await shows(page, "#uptime", "1 h 2 min");
    await shows(page, "#bitrate", "2.60 Mb/s");

    const before = await page.evaluate(() => window.__playout?.video.currentTime ?? 0);
    daemon.hangUp();
    await shows(page, "#note", "reconnecting");
    await page.waitForFunction((at) => (window.__playout?.video.currentTime ?? 0) > at, before);
    await page.locator("#note", { hasText: "reconnecting" }).waitFor({ state: "hidden", timeout: 15_000 });

    daemon.offAir();
    daemon.tell("channel.status", { status: "STOPPED" });
    await shows(page, "#message", "Off air");
    expect(await page.evaluate(() => window.__playout?.hls)).toBeNull();
    expect(failures).toEqual([]);
  });
});

it("the viewer's verdict is good on a live channel and says why it is not on a stopped one", async () => {
  daemon.known = true;
  await daemon.onAir();
  daemon.tell("channel.status", { status: "LIVE", onAir: "scheduled", title: "One" });
  const good = await watch({ url: `${origin}/watch/${CHANNEL}`, seconds: 5 });
  expect(good.reasons).toEqual([]);
  expect(good).toMatchObject({ ok: true, badge: "LIVE", nowPlaying: "One", width: 426, height: 240, foreign: [] });
  expect(good.framesDecoded).toBeGreaterThan(25);

  daemon.tell("channel.status", { status: "STOPPED" });
  const bad = await watch({ url: `${origin}/watch/${CHANNEL}`, seconds: 5, startWithinMs: 1_000 });
  expect(bad).toMatchObject({ ok: false, reasons: ["nothing played within 1 s"], badge: "STOPPED" });
  expect(bad.message).toContain("Off air");
});

// Watches a channel with a ladder as a viewer whose network becomes bad and good again:
//
//   node web/e2e/rungs.mjs URL --heights HIGH,LOW --slow BITS_PER_SECOND [--within 90]
//
// Opens the watch page, waits until hls.js has gone up to the rung of the height HIGH, slows the network down to so
// many bits/s until the one of LOW is shown, and lets it go until HIGH is shown again. One JSON verdict on stdout; exit
// 0 when the picture never waited meanwhile, 1 when it did or a rung never came (`reasons` says why), 2 when it was
// called wrongly.
import { pathToFileURL } from "node:url";
import { parseArgs } from "node:util";
import { withBrowser } from "./browser.mjs";

/** @param {{ url: string, high: number, low: number, slow: number, withinMs: number }} task */
export async function changeRungs({ url, high, low, slow, withinMs }) {
  return withBrowser(new URL(url).hostname, async (context) => {
    const page = context.pages()[0] ?? (await context.newPage());
    const network = await context.newCDPSession(page);
    await network.send("Network.enable");
    /** @param {number} bitsPerSecond Without a bound: -1. */
    const bound = (bitsPerSecond) =>
      network.send("Network.emulateNetworkConditions", {
        offline: false,
        latency: 0,
        downloadThroughput: bitsPerSecond < 0 ? -1 : bitsPerSecond / 8,
        uploadThroughput: -1,
      });
    /** @type {string[]} */ const reasons = [];
    /** @param {number} height */
    const shows = async (height) => {
      const shown = page.waitForFunction((wanted) => window.__playout?.video.videoHeight === wanted, height, {
        timeout: withinMs,
        polling: 100,
      });
      const came = await shown.then(() => true, () => false);
      if (!came) reasons.push(`the rung of ${height} lines did not come within ${withinMs / 1000} s`);
      return came;
    };

    await page.goto(url, { waitUntil: "domcontentloaded" });
    let counted = null;
    if (await shows(high)) {
      // From here on nothing may wait.
      await page.evaluate(() => {
        const video = window.__playout?.video;
        const seen = { waited: 0, heights: [video?.videoHeight ?? 0] };
        video?.addEventListener("waiting", () => (seen.waited += 1));
        video?.addEventListener("resize", () => seen.heights.push(video.videoHeight));
        Object.assign(window, { seen, errorsBefore: window.__playout?.errors.length ?? 0 });
      });
      await bound(slow);
      const lowered = await shows(low);
      await bound(-1);
      if (lowered) await shows(high);
      counted = await page.evaluate(() => {
        const { seen, errorsBefore } = /** @type {any} */ (window);
        const errors = window.__playout?.errors ?? [];
        return { ...seen, errors: errors.slice(errorsBefore), decoded: window.__playout?.video.getVideoPlaybackQuality().totalVideoFrames };
      });
      if (counted.waited > 0) reasons.push(`the picture waited ${counted.waited} times`);
      const bad = counted.errors.filter((/** @type {any} */ error) => error.fatal || /stall/i.test(error.details));
      if (bad.length > 0) reasons.push(`hls.js: ${bad.map((/** @type {any} */ error) => error.details).join(", ")}`);
    }
    return { ok: reasons.length === 0, reasons, ...counted };
  });
}

/** The task in the arguments; null when they make none. */
function task() {
  try {
    const { positionals, values } = parseArgs({
      allowPositionals: true,
      options: { heights: { type: "string" }, slow: { type: "string" }, within: { type: "string", default: "90" } },
    });
    const [url, ...rest] = positionals;
    const [high, low, ...more] = (values.heights ?? "").split(",").map(Number);
    const slow = Number(values.slow);
    const withinMs = Number(values.within) * 1000;
    if (url === undefined || high === undefined || low === undefined || rest.length + more.length > 0) return null;
    if (!(high > low) || !(low > 0) || !(slow > 0) || !(withinMs > 0)) return null;
    void new URL(url);
    return { url, high, low, slow, withinMs };
  } catch {
    return null;
  }
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? "").href) {
  const asked = task();
  if (asked === null) {
    console.error("usage: node web/e2e/rungs.mjs URL --heights HIGH,LOW --slow BITS_PER_SECOND [--within 90]");
    process.exit(2);
  }
  try {
    const verdict = await changeRungs(asked);
    console.log(JSON.stringify(verdict, null, 2));
    process.exitCode = verdict.ok ? 0 : 1;
  } catch (error) {
    console.log(JSON.stringify({ ok: false, reasons: [String(error)] }, null, 2));
    process.exitCode = 1;
  }
}

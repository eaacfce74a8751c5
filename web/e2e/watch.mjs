// Watches a channel as a viewer would and judges it:
//
//   node web/e2e/watch.mjs URL [--seconds 20] [--screenshot FILE.png] [--start-within 30] [--theme light|dark]
//
// Opens the watch page, waits until it plays, then observes it for so many seconds. One JSON verdict on stdout; exit 0
// when the picture moved all the time, 1 when it did not (`reasons` says why), 2 when it was called wrongly.
import { pathToFileURL } from "node:url";
import { parseArgs } from "node:util";
import { withBrowser } from "./browser.mjs";

const SAMPLE_MS = 250;
/** Of the time observed, how much must have been played; the rest is for a loaded machine's timers. */
const PLAYED_SHARE = 0.9;

/**
 * @param {{ url: string, seconds: number, screenshot?: string | undefined, startWithinMs?: number,
 *   theme?: "dark" | "light" }} task
 */
export async function watch({ url, seconds, screenshot, startWithinMs = 30_000, theme = "dark" }) {
  const { origin, hostname } = new URL(url);
  return withBrowser(hostname, async (context) => {
    /** @type {string[]} */ const foreign = [];
    /** @type {string[]} */ const pageErrors = [];
    let requests = 0;
    context.on("request", (request) => {
      requests += 1;
      const asked = new URL(request.url());
      if (asked.protocol.startsWith("http") && asked.origin !== origin) foreign.push(request.url());
    });
    const page = context.pages()[0] ?? (await context.newPage());
    page.on("pageerror", (error) => pageErrors.push(String(error)));
    page.on("console", (line) => {
      if (/content security policy/i.test(line.text())) pageErrors.push(line.text());
    });

    await page.emulateMedia({ colorScheme: theme });
    const opened = Date.now();
    await page.goto(url, { waitUntil: "domcontentloaded" });
    const started = await page
      .waitForFunction(() => window.__playout?.state.playback === "playing" && window.__playout.video.currentTime > 0, null, {
        timeout: startWithinMs,
        polling: 100,
      })
      .then(() => Date.now() - opened, () => null);

    let advanced = 0;
    let longestStandstill = 0;
    let observed = 0;
    if (started !== null) {
      const begun = Date.now();
      let last = await page.evaluate(() => window.__playout?.video.currentTime ?? 0);
      let moved = begun;
      while (observed < seconds * 1000) {
        await page.waitForTimeout(SAMPLE_MS);
        const at = await page.evaluate(() => window.__playout?.video.currentTime ?? 0);
        const now = Date.now();
        // A jump is not playing: hls.js may seek to the live edge after a stall.
        if (at > last) {
          advanced += Math.min(at - last, ((now - begun - observed) / 1000) * 1.5);
          moved = now;
        }
        longestStandstill = Math.max(longestStandstill, now - moved);
        last = at;
        observed = now - begun;
      }
    }

    const shown = await page.evaluate(() => {
      const playout = window.__playout;
      const quality = playout?.video.getVideoPlaybackQuality();
      return {
        channel: document.getElementById("name")?.textContent ?? null,
        badge: document.getElementById("badge")?.textContent ?? null,
        message: document.getElementById("message")?.hidden ? null : (document.getElementById("message")?.innerText ?? null),
        nowPlaying: document.getElementById("title")?.textContent ?? null,
        width: playout?.video.videoWidth ?? 0,
        height: playout?.video.videoHeight ?? 0,
        latencySeconds: playout?.state.latencySeconds ?? null,
        stalls: playout?.state.stalls ?? null,
        framesDecoded: quality?.totalVideoFrames ?? 0,
        framesDropped: quality?.droppedVideoFrames ?? 0,
        errors: playout?.errors ?? [],
      };
    });
    if (screenshot !== undefined) await page.screenshot({ path: screenshot });

    /** @type {string[]} */ const reasons = [];
    const fatal = shown.errors.filter((error) => error.fatal);
    if (started === null) reasons.push(`nothing played within ${startWithinMs / 1000} s`);
    else if (advanced < (observed / 1000) * PLAYED_SHARE)
      reasons.push(`the picture moved ${advanced.toFixed(1)} s in ${(observed / 1000).toFixed(1)} s`);
    if (fatal.length > 0) reasons.push(`fatal: ${fatal.map((error) => error.details).join(", ")}`);
    if (foreign.length > 0) reasons.push(`asked another host: ${foreign[0]}`);
    if (pageErrors.length > 0) reasons.push(`the page failed: ${pageErrors[0]}`);
    return {
      ok: reasons.length === 0,
      reasons,
      startedAfterMs: started,
      observedSeconds: observed / 1000,
      playedSeconds: Number(advanced.toFixed(2)),
      longestStandstillMs: longestStandstill,
      ...shown,
      requests,
      foreign,
      pageErrors,
    };
  });
}

/** The task in the arguments; null when they make none. */
function task() {
  try {
    const { positionals, values } = parseArgs({
      allowPositionals: true,
      options: {
        seconds: { type: "string", default: "20" },
        screenshot: { type: "string" },
        "start-within": { type: "string", default: "30" },
        theme: { type: "string", default: "dark" },
      },
    });
    const [url, ...rest] = positionals;
    const seconds = Number(values.seconds);
    const startWithinMs = Number(values["start-within"]) * 1000;
    const { theme, screenshot } = values;
    if (url === undefined || rest.length > 0 || !(seconds > 0) || !(startWithinMs > 0)) return null;
    if (theme !== "dark" && theme !== "light") return null;
    void new URL(url);
    return { url, seconds, startWithinMs, screenshot, theme: /** @type {"dark" | "light"} */ (theme) };
  } catch {
    return null;
  }
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? "").href) {
  const asked = task();
  if (asked === null) {
    console.error(
      "usage: node web/e2e/watch.mjs URL [--seconds 20] [--screenshot FILE.png] [--start-within 30] [--theme light|dark]",
    );
    process.exit(2);
  }
  try {
    const verdict = await watch(asked);
    console.log(JSON.stringify(verdict, null, 2));
    process.exitCode = verdict.ok ? 0 : 1;
  } catch (error) {
    console.log(JSON.stringify({ ok: false, reasons: [String(error)] }, null, 2));
    process.exitCode = 1;
  }
}

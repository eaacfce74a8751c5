// Reads along with a channel as a viewer would:
//
//   node web/e2e/subtitles.mjs URL --first 1 --every 60 --gap 7 --other NAME [--pictures 200] [--within 90]
//
// The channel plays clips whose pictures carry their numbers as twelve bars, the first FIRST. From there on, a cue for every
// EVERY pictures says of which it is, FROM-TO, and ends GAP before the next. Opens the watch page, and holds every picture that is
// shown against the cues that the browser has for its moment; then chooses the language NAME, whose cues begin with that
// name, and then none. One JSON verdict on stdout; exit 0 when all was as it should be, 1 when it was not (`reasons`
// says what), 2 when it was called wrongly.
import { pathToFileURL } from "node:url";
import { parseArgs } from "node:util";
import { withBrowser } from "./browser.mjs";

/** @typedef {{ number: number, cues: string[] }} Seen A picture, and what is to be read while it is shown. */

/** @param {{ url: string, first: number, every: number, gap: number, other: string, pictures: number, withinMs: number }} task */
export async function readAlong({ url, first, every, gap, other, pictures, withinMs }) {
  return withBrowser(new URL(url).hostname, async (context) => {
    const page = context.pages()[0] ?? (await context.newPage());
    /** @type {string[]} */ const reasons = [];
    await page.goto(url, { waitUntil: "domcontentloaded" });
    const offered = page.waitForFunction(() => !(/** @type {HTMLSelectElement} */ (document.getElementById("language")).hidden), null, {
      timeout: withinMs,
      polling: 100,
    });
    if (!(await offered.then(() => true, () => false))) return { ok: false, reasons: ["no language is offered"] };

    await page.evaluate(() => {
      const video = /** @type {HTMLVideoElement} */ (document.getElementById("video"));
      const canvas = new OffscreenCanvas(240, 4);
      const paper = canvas.getContext("2d", { willReadFrequently: true });
      /** @type {Seen[]} */ const seen = [];
      Object.assign(window, { seen });
      /** @type {VideoFrameRequestCallback} */
      const look = (_, picture) => {
        video.requestVideoFrameCallback(look);
        const shown = [...video.textTracks].find((track) => track.mode === "showing");
        paper?.drawImage(video, 0, 0, 240, 4);
        const bars = Array.from({ length: 12 }, (_, bar) => paper?.getImageData(bar * 20 + 10, 2, 1, 1).data[0] ?? 128);
        const bits = /** @type {number[]} */ (bars.map((light) => (light > 125 ? 1 : 0)));
        const clear = bars.every((light) => light < 90 || light > 160) && bits.reduce((sum, bit) => sum + bit) % 2 === 0;
        if (!clear) return;
        const number = bits.slice(0, 11).reduce((sum, bit, n) => sum + bit * 2 ** n, 0);
        const at = picture.mediaTime + 0.02;
        const cues = [...(shown?.cues ?? [])].filter((cue) => cue.startTime <= at && at < cue.endTime);
        seen.push({ number, cues: cues.map((cue) => /** @type {VTTCue} */ (cue).text) });
      };
      video.requestVideoFrameCallback(look);
    });
    /** @returns {Promise<Seen[]>} */
    const look = async () => {
      await page.evaluate(() => void (/** @type {any} */ (window).seen.length = 0));
      const enough = page.waitForFunction((wanted) => /** @type {any} */ (window).seen.length >= wanted, pictures, {
        timeout: withinMs,
        polling: 100,
      });
      if (!(await enough.then(() => true, () => false))) reasons.push(`${pictures} pictures were not shown within ${withinMs / 1000} s`);
      return page.evaluate(() => [.../** @type {any} */ (window).seen]);
    };
    /** @param {string} language The value of the choice. */
    const choose = async (language) => {
      await page.selectOption("#language", language);
      // What was fetched in the language before is not what was chosen.
      const chosen = page.waitForFunction(
        (wanted) => {
          const video = /** @type {HTMLVideoElement} */ (document.getElementById("video"));
          const shown = [...video.textTracks].find((track) => track.mode === "showing");
          return wanted === "" ? shown === undefined : shown?.label === wanted && (shown.cues?.length ?? 0) > 2;
        },
        language,
        { timeout: withinMs, polling: 100 },
      );
      if (!(await chosen.then(() => true, () => false))) reasons.push(`${language || "none"} was not shown within ${withinMs / 1000} s`);
    };
    /** What is said of picture `number`. @param {number} number @param {string} before */
    const said = (number, before) => {
      const from = Math.floor((number - first) / every) * every;
      return number - first - from < every - gap ? [`${before}${first + from}-${first + from + every - gap}`] : [];
    };
    /** @param {Seen[]} seen @param {string} before */
    const judge = (seen, before) => {
      // The browser may have drawn the picture before or behind.
      const wrong = seen.filter(({ number, cues }) =>
        [-1, 0, 1].every((by) => cues.join("|") !== said(number + by, before).join("|")),
      );
      if (wrong[0] !== undefined) reasons.push(`beside ${wrong.length} of ${seen.length} pictures: ${JSON.stringify(wrong[0])}`);
      return seen.filter(({ cues }) => cues.length > 0).length;
    };

    // The first cues are fetched with the picture, but may be there a moment later.
    await page.waitForFunction(() => {
      const video = /** @type {HTMLVideoElement} */ (document.getElementById("video"));
      return [...video.textTracks].some((track) => track.mode === "showing" && (track.cues?.length ?? 0) > 2);
    }, null, { timeout: withinMs, polling: 100 }).catch(() => reasons.push("no cues came"));
    const read = judge(await look(), "");
    await choose(other);
    const readOther = judge(await look(), `${other} `);
    await choose("");
    if ((await look()).some(({ cues }) => cues.length > 0)) reasons.push("something is shown where nothing is to be");
    if (read === 0 || readOther === 0) reasons.push("nothing was to be read");
    const errors = await page.evaluate(() => window.__playout?.errors ?? []);
    const bad = errors.filter((error) => error.fatal || /subtitle/i.test(error.details));
    if (bad.length > 0) reasons.push(`hls.js: ${bad.map((error) => error.details).join(", ")}`);
    return { ok: reasons.length === 0, reasons, read, readOther, errors };
  });
}

/** The task in the arguments; null when they make none. */
function task() {
  try {
    const { positionals, values } = parseArgs({
      allowPositionals: true,
      options: {
        first: { type: "string" },
        every: { type: "string" },
        gap: { type: "string" },
        other: { type: "string" },
        pictures: { type: "string", default: "200" },
        within: { type: "string", default: "90" },
      },
    });
    const [url, ...rest] = positionals;
    const [first, every, gap, pictures] = [values.first, values.every, values.gap, values.pictures].map(Number);
    const withinMs = Number(values.within) * 1000;
    const { other } = values;
    if (url === undefined || rest.length > 0 || other === undefined) return null;
    if (!(Number(first) >= 0 && Number(every) > 0 && Number(gap) >= 0 && Number(pictures) > 0 && withinMs > 0)) return null;
    void new URL(url);
    return { url, first: Number(first), every: Number(every), gap: Number(gap), other, pictures: Number(pictures), withinMs };
  } catch {
    return null;
  }
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? "").href) {
  const asked = task();
  if (asked === null) {
    console.error("usage: node web/e2e/subtitles.mjs URL --first N --every N --gap N --other NAME [--pictures 200] [--within 90]");
    process.exit(2);
  }
  try {
    const verdict = await readAlong(asked);
    console.log(JSON.stringify(verdict, null, 2));
    process.exitCode = verdict.ok ? 0 : 1;
  } catch (error) {
    console.log(JSON.stringify({ ok: false, reasons: [String(error)] }, null, 2));
    process.exitCode = 1;
  }
}

// Reads the reference page of the API as a developer would and judges it against the document that it is made of:
//
//   node web/e2e/reference.mjs ORIGIN [--screenshot FILE.png]
//
// Every operation of the document has its article, every link leads somewhere, the style is taken, and on a phone nothing
// is wider than the screen. One JSON verdict on stdout; exit 0, 1 (`reasons` says why), or 2 when it was called wrongly.
import { pathToFileURL } from "node:url";
import { parseArgs } from "node:util";
import { withBrowser } from "./browser.mjs";

const PHONE = { width: 390, height: 800 };

/** @param {{ origin: string, screenshot?: string | undefined }} task */
export async function readReference({ origin, screenshot }) {
  return withBrowser(new URL(origin).hostname, async (context) => {
    /** @type {string[]} */ const reasons = [];
    const page = context.pages()[0] ?? (await context.newPage());
    page.on("pageerror", (error) => reasons.push(`the page failed: ${String(error)}`));
    page.on("console", (line) => reasons.push(`the browser says: ${line.text()}`));
    const answer = await context.request.get(`${origin}/api/v1/openapi.json`);
    /** @type {{ paths: Record<string, Record<string, { operationId?: string }>> }} */
    const document = await answer.json();
    const operations = Object.values(document.paths)
      .flatMap((methods) => Object.values(methods))
      .flatMap((one) => one.operationId ?? []);
    await page.goto(`${origin}/docs`);
    const found = await page.evaluate((wanted) => {
      const ids = [...globalThis.document.querySelectorAll("[id]")].map((element) => element.id);
      const links = [...globalThis.document.querySelectorAll("a[href^='#']")].map((link) => link.getAttribute("href") ?? "");
      /** @param {string} id */
      const shown = (id) => (globalThis.document.getElementById(id)?.getBoundingClientRect().height ?? 0) > 0;
      return {
        missing: wanted.filter((id) => !shown(id)),
        twice: ids.filter((id, n) => ids.indexOf(id) !== n),
        nowhere: links.filter((link) => !ids.includes(link.slice(1))),
        links: links.length,
        layout: getComputedStyle(globalThis.document.body).display,
      };
    }, operations);
    if (operations.length === 0) reasons.push("the document has no operation");
    if (found.missing.length > 0) reasons.push(`not on the page: ${found.missing.join(", ")}`);
    if (found.twice.length > 0) reasons.push(`there twice: ${found.twice.join(", ")}`);
    if (found.links < operations.length) reasons.push(`${found.links} links for ${operations.length} operations`);
    if (found.nowhere.length > 0) reasons.push(`links that lead nowhere: ${found.nowhere.join(", ")}`);
    if (found.layout !== "grid") reasons.push("its style is not taken");
    const last = operations.at(-1) ?? "";
    await page.click(`nav a[href="#${last}"]`);
    const seen = await page.evaluate((id) => {
      const top = globalThis.document.getElementById(id)?.getBoundingClientRect().top ?? -1;
      return top >= 0 && top < innerHeight;
    }, last);
    if (!seen) reasons.push(`the link to ${last} does not show it`);
    if (screenshot !== undefined) await page.screenshot({ path: screenshot });
    await page.setViewportSize(PHONE);
    const wide = await page.evaluate(() => globalThis.document.documentElement.scrollWidth - innerWidth);
    if (wide > 0) reasons.push(`${wide} pixels too wide for a phone`);
    return { ok: reasons.length === 0, reasons, operations: operations.length, links: found.links };
  });
}

/** The task in the arguments; null when they make none. */
function task() {
  try {
    const options = /** @type {const} */ ({ screenshot: { type: "string" } });
    const { positionals, values } = parseArgs({ allowPositionals: true, options });
    const [origin, ...rest] = positionals;
    if (origin === undefined || rest.length > 0) return null;
    return { origin: new URL(origin).origin, screenshot: values.screenshot };
  } catch {
    return null;
  }
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? "").href) {
  const asked = task();
  if (asked === null) {
    console.error("usage: node web/e2e/reference.mjs ORIGIN [--screenshot FILE.png]");
    process.exit(2);
  }
  try {
    const verdict = await readReference(asked);
    console.log(JSON.stringify(verdict, null, 2));
    process.exitCode = verdict.ok ? 0 : 1;
  } catch (error) {
    console.log(JSON.stringify({ ok: false, reasons: [String(error)] }, null, 2));
    process.exitCode = 1;
  }
}

// Debian's Chromium, headless, with a fresh profile, no network but the host under test, sound and H.264 on.
import { mkdtemp, rm } from "node:fs/promises";
import { existsSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { chromium } from "playwright-core";

const CANDIDATES = ["/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"];

/** @returns {string} */
function executable() {
  const found = [process.env["CHROMIUM"], ...CANDIDATES].find((path) => path && existsSync(path));
  if (!found) throw new Error("no Chromium: install the package chromium, or name the binary in CHROMIUM");
  return found;
}

/**
 * Runs `work` in a browser that may speak only to `host`; the browser and its profile are gone afterwards.
 * @template T
 * @param {string} host
 * @param {(context: import("playwright-core").BrowserContext) => Promise<T>} work
 * @returns {Promise<T>}
 */
export async function withBrowser(host, work) {
  const executablePath = executable();
  const profile = await mkdtemp(join(tmpdir(), "playout-browser-"));
  try {
    const context = await chromium.launchPersistentContext(profile, {
      executablePath,
      headless: true,
      chromiumSandbox: false,
      viewport: { width: 1280, height: 900 },
      args: [
        "--disable-gpu",
        "--disable-quic",
        "--disable-dev-shm-usage",
        "--no-first-run",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
        "--autoplay-policy=no-user-gesture-required",
        `--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE ${host}`,
      ],
    });
    try {
      return await work(context);
    } finally {
      await context.close();
    }
  } finally {
    await rm(profile, { recursive: true, force: true, maxRetries: 5 });
  }
}

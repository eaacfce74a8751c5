// A stand-in for the daemon: serves the built page as the facade does, with the strictest policy the page is
// made for, one channel's event stream that a test drives, and a real live HLS playlist from FFmpeg.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { createServer } from "node:http";
import { tmpdir } from "node:os";
import { extname, join, normalize } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { fileURLToPath } from "node:url";

const DIST = fileURLToPath(new URL("../dist/", import.meta.url));
const POLICY =
  "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; " +
  "media-src 'self' blob:; worker-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
/** @type {Record<string, string>} */
const TYPES = {
  ".html": "text/html; charset=utf-8",
  ".js": "text/javascript",
  ".css": "text/css",
  ".svg": "image/svg+xml",
  ".m3u8": "application/vnd.apple.mpegurl",
  ".ts": "video/mp2t",
};

export class StandIn {
  /** @param {string} channelId */
  constructor(channelId) {
    this.channelId = channelId;
    this.known = false;
    /** @type {Record<string, unknown>} */ this.status = { name: "Test channel", status: "STOPPED" };
    /** @type {Set<import("node:http").ServerResponse>} */ this.listeners = new Set();
    /** @type {import("node:child_process").ChildProcess | null} */ this.encoder = null;
    this.folder = "";
    this.server = createServer((request, response) => void this.answer(request, response));
  }

  async open() {
    this.folder = await mkdtemp(join(tmpdir(), "playout-stand-in-"));
    this.server.listen(0, "127.0.0.1");
    await once(this.server, "listening");
    const address = this.server.address();
    if (address === null || typeof address === "string") throw new Error("no port");
    return `http://127.0.0.1:${address.port}`;
  }

  async close() {
    this.offAir();
    for (const listener of this.listeners) listener.destroy();
    this.server.closeAllConnections();
    this.server.close();
    await rm(this.folder, { recursive: true, force: true, maxRetries: 5 });
  }

  /** Starts a live playlist of a moving test picture with sound; done when it can be read. */
  async onAir() {
    this.encoder = spawn(
      "ffmpeg",
      // prettier-ignore
      ["-nostdin", "-hide_banner", "-loglevel", "error",
       "-re", "-f", "lavfi", "-i", "testsrc2=size=426x240:rate=25", "-re", "-f", "lavfi", "-i", "sine=440:sample_rate=48000",
       "-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p", "-g", "25", "-c:a", "aac", "-ac", "2",
       "-f", "hls", "-hls_time", "1", "-hls_list_size", "6", "-hls_flags", "delete_segments+temp_file+program_date_time",
       join(this.folder, "index.m3u8")],
      { stdio: ["ignore", "inherit", "inherit"] },
    );
    const encoder = this.encoder;
    while (!existsSync(join(this.folder, "index.m3u8"))) {
      if (encoder.exitCode !== null) throw new Error(`FFmpeg ended with ${encoder.exitCode}`);
      await pause(50);
    }
  }

  offAir() {
    this.encoder?.kill("SIGKILL");
    this.encoder = null;
  }

  /** @param {string} kind @param {Record<string, unknown>} data */
  tell(kind, data) {
    if (kind === "channel.status") this.status = { ...this.status, ...data };
    for (const listener of this.listeners) listener.write(`event: ${kind}\ndata: ${JSON.stringify(data)}\n\n`);
  }

  /** Ends every event stream, as a restarting daemon does. */
  hangUp() {
    for (const listener of this.listeners) listener.destroy();
  }

  /** @param {import("node:http").IncomingMessage} request @param {import("node:http").ServerResponse} response */
  async answer(request, response) {
    const path = normalize(new URL(request.url ?? "/", "http://x").pathname);
    if (path === `/watch/${this.channelId}/events`) {
      if (!this.known) return void response.writeHead(404).end();
      response.writeHead(200, { "content-type": "text/event-stream", "cache-control": "no-store" });
      response.write(`event: channel.status\ndata: ${JSON.stringify(this.status)}\n\n`);
      this.listeners.add(response);
      response.on("close", () => this.listeners.delete(response));
      return;
    }
    const hls = `/hls/${this.channelId}/`;
    let file = join(DIST, "watch.html");
    if (path.startsWith(hls)) file = join(this.folder, path.slice(hls.length));
    else if (path.startsWith("/watch/assets/")) file = join(DIST, "assets", path.slice("/watch/assets/".length));
    else if (!path.startsWith("/watch/")) return void response.writeHead(404).end();
    const body = await readFile(file).catch(() => null);
    if (body === null) return void response.writeHead(404).end();
    response.writeHead(200, {
      "content-type": TYPES[extname(file)] ?? "application/octet-stream",
      "content-security-policy": POLICY,
      "cache-control": "no-store",
    });
    response.end(body);
  }
}

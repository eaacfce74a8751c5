// Uploads a file by tus, as any client of the protocol would:
//
//   node web/e2e/upload.mjs URL TOKEN FILE [--piece BYTES] [--from UPLOAD] [--cut BYTES] [--patient]
//
// One JSON line on stdout: { url, status, location }. `--cut` goes away once so many bytes were sent, in the middle of a
// request; `--from` goes on with an upload that was begun; `--patient` tries again while the daemon does not answer.
import { createReadStream, statSync } from "node:fs";
import { basename } from "node:path";
import { parseArgs } from "node:util";
import * as tus from "tus-js-client";

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    piece: { type: "string" },
    from: { type: "string" },
    cut: { type: "string" },
    patient: { type: "boolean", default: false },
  },
});
const [endpoint, token, file] = positionals;
if (!endpoint || !token || !file) {
  console.error("usage: upload.mjs URL TOKEN FILE");
  process.exit(2);
}
const cut = values.cut ? Number(values.cut) : Infinity;
/** @type {{ status?: number, location?: string | undefined }} */
const last = {};

/** @param {string | undefined} url @param {string} [error] */
function tell(url, error) {
  console.log(JSON.stringify({ url, ...last, error }));
}

const upload = new tus.Upload(createReadStream(file), {
  endpoint,
  uploadUrl: values.from,
  uploadSize: statSync(file).size,
  chunkSize: Number(values.piece ?? 1 << 20),
  retryDelays: values.patient ? Array(120).fill(500) : null,
  headers: { Authorization: `Bearer ${token}` },
  metadata: { filename: basename(file), filetype: "video/mp4", title: "Sent by tus", tags: "sent, tus" },
  storeFingerprintForResuming: false,
  onProgress: (sent) => {
    if (sent >= cut) {
      tell(upload.url ?? undefined);
      process.kill(process.pid, "SIGKILL");
    }
  },
  onAfterResponse: (_, response) => {
    last.status = response.getStatus();
    last.location = response.getHeader("Content-Location");
  },
  onError: (error) => {
    tell(upload.url ?? undefined, error.message);
    process.exitCode = 1;
  },
  onSuccess: () => tell(upload.url ?? undefined),
});
upload.start();

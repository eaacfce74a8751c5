// The channel's event stream. EventSource reconnects by itself after a broken connection, but gives up for
// good on an HTTP error and does not say which; then the address is asked once, and tried again later. A
// `reset` says that events were missed, `channel.deleted` that there will be none: a new connection begins
// with the whole status, or finds that the channel is gone.
import type { EventKind, Fact } from "./state";

const KINDS: readonly EventKind[] = ["channel.status", "channel.onair", "channel.segment", "channel.heartbeat"];
const RETRY_MS = 3_000;
/** A daemon that answers every connection with a reset is not asked in a tight loop. */
const RESET_MS = 500;

export function follow(channelId: string, tell: (fact: Fact) => void): void {
  const url = `/watch/${encodeURIComponent(channelId)}/events`;

  const connect = (): void => {
    const source = new EventSource(url);
    source.onopen = () => tell({ type: "link", link: "open" });
    source.onerror = () => {
      if (source.readyState !== EventSource.CLOSED) {
        tell({ type: "link", link: "lost" });
        return;
      }
      void refused(url).then((unknown) => {
        tell({ type: "link", link: unknown ? "unknown" : "lost" });
        setTimeout(connect, RETRY_MS);
      });
    };
    for (const kind of ["reset", "channel.deleted"]) {
      source.addEventListener(kind, () => {
        source.close();
        setTimeout(connect, RESET_MS);
      });
    }
    for (const kind of KINDS) {
      source.addEventListener(kind, (event: MessageEvent<string>) => {
        tell({ type: "event", kind, data: parse(event.data) });
      });
    }
  };
  connect();
}

/** Whether the daemon answers that there is no such channel. */
async function refused(url: string): Promise<boolean> {
  const abort = new AbortController();
  try {
    const answer = await fetch(url, { signal: abort.signal, cache: "no-store" });
    return answer.status === 404 || answer.status === 400;
  } catch {
    return false;
  } finally {
    abort.abort();
  }
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}

// Follows a job: every event once, through lost connections and restarts of the server.

import { address, backoff, get, pause } from "./api.js";

const NAMES = [
  "JobQueued", "JobStarted", "JobProgressed", "JobTextHeard", "JobRetried", "JobHandedBack",
  "JobCompleted", "JobFailed", "JobCancelled",
];
const LAST = new Set(["JobCompleted", "JobFailed", "JobCancelled"]);
const OVER = new Set(["completed", "failed", "cancelled"]);

/**
 * Call `hear(event)` for each event of the job from its beginning, until it is over or the signal. A broken stream is
 * opened again behind the last event that was heard. We do this ourselves, because browsers give up at the first error status.
 */
export async function follow(job, hear, signal) {
  let after = 0;
  let failures = 0;
  while (!signal.aborted) {
    const { over, heard } = await listen(job, after, hear, signal);
    if (over || signal.aborted) return;
    failures = heard > after ? 0 : failures + 1;
    after = heard;
    await pause(backoff(failures), signal);
    const now = await get(`api/jobs/${job}`, signal).catch(() => null);
    if (now && OVER.has(now.status) && failures > 1) return; // nothing is to come any more
  }
}

function listen(job, after, hear, signal) {
  return new Promise((resolve) => {
    const source = new EventSource(address(`api/jobs/${job}/events?after=${after}`));
    let heard = after;
    const end = (over) => {
      source.close();
      resolve({ over, heard });
    };
    const take = (message) => {
      heard = Number(message.lastEventId) || heard;
      const event = JSON.parse(message.data);
      hear(event);
      if (LAST.has(event.event)) end(true);
    };
    for (const name of NAMES) source.addEventListener(name, take);
    source.addEventListener("error", () => end(false));
    signal.addEventListener("abort", () => end(false), { once: true });
  });
}

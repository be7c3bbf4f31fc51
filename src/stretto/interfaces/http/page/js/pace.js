// How long a job will take yet, from its progress so far.

const ENOUGH_S = 2;

/** Hears the events of a job; `remaining` is seconds, or null while too little is known to say. */
export class Pace {
  first = null;
  last = null;

  hear(event) {
    if (event.event === "JobStarted") this.first = this.last = null;
    if (event.event !== "JobProgressed") return;
    // What was recalled from the cache is there at once: counting begins behind it.
    this.first ??= event;
    this.last = event;
  }

  get remaining() {
    if (!this.last?.total_s) return null;
    const took = this.last.at - this.first.at;
    const done = this.last.done_s - this.first.done_s;
    if (took < ENOUGH_S || done <= 0) return null;
    return ((this.last.total_s - this.last.done_s) * took) / done;
  }
}

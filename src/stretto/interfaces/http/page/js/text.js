// The text of a transcript: words that light up as they are said, take a click, and can be corrected.

import { h } from "./dom.js";
import { clock, number } from "./format.js";
import { known, t } from "./i18n.js";
import { changes, lastBegun, occurrences, parts } from "./layout.js";

const NEARLY_VISIBLE = "800px";
const DOUBTS = [[0.4, "doubt much"], [0.7, "doubt"]];

/**
 * Tells `seek` with `detail` seconds, and `draft` when a correction was typed. Segments are filled when they come near the
 * window: ten hours of speech are ninety thousand words.
 */
class TranscriptText extends HTMLElement {
  /** Show a transcript as the API gives it. */
  load(transcript) {
    this.segments = transcript.segments;
    this.texts = this.segments.map((segment) => segment.text);
    this.hits = [];
    this.draft = new Map();
    this.editing = false;
    this.filled = new Set();
    this.seconds = 0;
    this.lines = this.segments.map((segment, index) => this.line(segment, index));
    this.replaceChildren(...inOrder(this.lines, this.segments, transcript));
    this.watcher?.disconnect();
    this.watcher = new IntersectionObserver((seen) => this.near(seen), { rootMargin: NEARLY_VISIBLE });
    for (const line of this.lines) this.watcher.observe(line);
    this.onclick = (event) => this.clicked(event);
  }

  line(segment, index) {
    const label = t("read.seek", { time: clock(segment.start) });
    const time = h("button", { class: "time", type: "button", "aria-label": label }, clock(segment.start));
    const kind = segment.timing === "estimated" ? "line estimated" : "line";
    return h("div", { class: kind, "data-index": index, "data-start": segment.start }, time, h("p", {}, segment.text));
  }

  near(seen) {
    for (const { target, isIntersecting } of seen) {
      if (!isIntersecting) continue;
      this.watcher.unobserve(target);
      const index = Number(target.dataset.index);
      if (!this.filled.has(index)) this.fill(index);
    }
  }

  /** Draw a segment with its words, hits or the field to correct it. */
  fill(index) {
    this.filled.add(index);
    const old = this.lines[index].lastElementChild;
    if (this.editing) old.replaceWith(this.editor(index));
    else if (this.earlier) old.replaceWith(compared(this.earlier.get(this.segments[index].start), this.texts[index]));
    else old.replaceWith(this.sentence(index));
  }

  sentence(index) {
    const hits = this.hits.filter((hit) => hit.index === index);
    const struck = (part) => hits.some((hit) => hit.from < part.to && part.from < hit.to);
    return h("p", {}, parts(this.segments[index]).map((part) => {
      if (!part.word) return struck(part) ? h("mark", {}, part.text) : part.text;
      const { start, probability } = part.word;
      const doubt = DOUBTS.find(([limit]) => probability < limit)?.[1] ?? "";
      return h("span", { class: `w ${doubt} ${struck(part) ? "hit" : ""}`.trim(), "data-start": start }, part.text);
    }));
  }

  editor(index) {
    const { start } = this.segments[index];
    const box = h("textarea", { rows: 1, "aria-label": t("read.correct", { time: clock(start) }), value: this.draft.get(index) ?? this.texts[index] });
    box.addEventListener("input", () => {
      if (box.value === this.texts[index]) this.draft.delete(index);
      else this.draft.set(index, box.value);
      box.classList.toggle("changed", this.draft.has(index));
      this.dispatchEvent(new Event("draft"));
    });
    box.classList.toggle("changed", this.draft.has(index));
    return box;
  }

  clicked(event) {
    const place = event.target.closest("[data-start]");
    if (place && event.target.tagName !== "TEXTAREA" && !getSelection().toString()) this.dispatchEvent(new CustomEvent("seek", { detail: Number(place.dataset.start) }));
  }

  again() {
    for (const index of this.filled) this.fill(index);
    this.say(this.seconds, false);
  }

  /** Let the text be corrected, or read again. */
  edit(on) {
    this.editing = on;
    this.again();
  }

  /** Show what was said otherwise in an earlier version; null ends that. */
  compare(earlier) {
    this.earlier = earlier && new Map(earlier.segments.map((segment) => [segment.start, segment.text]));
    this.again();
  }

  /** Mark what is searched for; returns how often it occurs. */
  search(sought) {
    const before = new Set(this.hits.map((hit) => hit.index));
    this.hits = occurrences(this.texts, sought);
    for (const index of new Set([...before, ...this.hits.map((hit) => hit.index)])) if (this.filled.has(index)) this.fill(index);
    this.say(this.seconds, false);
    return this.hits.length;
  }

  /** Bring the numbered hit into sight; returns when it is said. */
  reveal(number) {
    const hit = this.hits[number];
    this.fill(hit.index);
    for (const old of this.querySelectorAll(".current")) old.classList.remove("current");
    const marked = this.lines[hit.index].querySelectorAll(".hit, mark");
    const nth = this.hits.slice(0, number).filter((other) => other.index === hit.index).length;
    (marked[nth] ?? marked[0])?.classList.add("current");
    this.into(hit.index);
    const word = parts(this.segments[hit.index]).find((part) => part.word && part.to > hit.from);
    return word?.word.start ?? this.segments[hit.index].start;
  }

  into(index) {
    const line = this.lines[index];
    const far = Math.abs(line.getBoundingClientRect().top) > 2 * innerHeight;
    const calm = far || matchMedia("(prefers-reduced-motion: reduce)").matches;
    line.scrollIntoView({ block: "center", behavior: calm ? "auto" : "smooth" });
  }

  /** Light up the word that is said at `seconds`; with `follow` the window goes along. */
  say(seconds, follow) {
    this.seconds = seconds;
    const index = lastBegun(this.segments, seconds + 0.01);
    if (index !== this.index) {
      this.lines[this.index]?.classList.remove("now");
      this.index = index;
      this.lines[index]?.classList.add("now");
      if (follow && index >= 0) this.into(index);
    }
    if (index < 0 || this.editing) return;
    if (!this.filled.has(index)) this.fill(index);
    const words = this.lines[index].querySelectorAll(".w");
    const word = words[lastBegun([...words].map((one) => ({ start: Number(one.dataset.start) })), seconds + 0.01)];
    if (word === this.word) return;
    this.word?.classList.remove("now");
    word?.classList.add("now");
    this.word = word;
  }

  /** The next word that the engine was not sure of, after `seconds`; null when there is none. */
  doubtAfter(seconds) {
    for (const { words = [] } of this.segments) {
      const word = words.find(({ start, probability }) => start > seconds + 0.05 && probability < DOUBTS[0][0]);
      if (word) return word.start;
    }
    return null;
  }
}

/** The lines, with the seams and gaps where they are. */
function inOrder(lines, segments, { seams = [], coverage = {} }) {
  const items = lines.map((line, index) => ({ at: segments[index].start, line }));
  for (const seam of seams) items.push({ at: seam.at, line: seamNote(seam) });
  for (const gap of coverage.gaps ?? []) items.push({ at: gap.start, line: gapNote(gap) });
  return items.sort((a, b) => a.at - b.at).map((item) => item.line);
}

function seamNote({ at, loudness_dbfs: loudness, forced }) {
  const values = { time: clock(at), level: number(loudness) };
  return h("p", { class: forced ? "seam forced" : "seam", role: "note" }, h("span", {}, t(forced ? "read.seam.forced" : "read.seam", values)));
}

function gapNote({ start, end, reason, detail }) {
  const why = known(`gap.${reason}`) ?? detail ?? reason;
  return h("p", { class: "gap", role: "note" }, t("read.gap", { start: clock(start), end: clock(end), why }));
}

function compared(before, after) {
  if (before === undefined) return h("p", {}, h("ins", {}, after));
  const tag = { same: "span", gone: "del", new: "ins" };
  return h("p", {}, changes(before, after).map(([kind, words]) => [h(tag[kind], {}, words), " "]));
}

customElements.define("transcript-text", TranscriptText);

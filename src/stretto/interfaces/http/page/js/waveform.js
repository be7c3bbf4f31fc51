// How loud a recording is, drawn; a slider through it, with its seams and gaps.

import { h, svg } from "./dom.js";
import { clock } from "./format.js";
import { t } from "./i18n.js";

const WIDTH = 1000;
const HEIGHT = 100;
const STEP_S = 5;
const KEYS = { ArrowLeft: -STEP_S, ArrowDown: -STEP_S, ArrowRight: STEP_S, ArrowUp: STEP_S, PageDown: -60, PageUp: 60 };
let numbered = 0;

/** Tells `seek` with `detail` seconds. */
class WaveForm extends HTMLElement {
  /** Draw `peaks` (0 to 1) of a recording of `duration` seconds; `seams` and `gaps` as transcripts have them. */
  draw({ duration, peaks = [], seams = [], gaps = [] }) {
    this.duration = duration;
    const clip = `played-${(numbered += 1)}`;
    const shape = outline(peaks);
    const x = (seconds) => (duration ? (seconds / duration) * WIDTH : 0);
    this.played = svg("rect", { x: 0, y: 0, width: 0, height: HEIGHT });
    this.head = svg("rect", { class: "head", x: 0, y: 0, width: 2, height: HEIGHT });
    const drawing = svg("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", "aria-hidden": "true" },
      svg("clipPath", { id: clip }, this.played),
      gaps.map((gap) => svg("rect", { class: "gap", x: x(gap.start), y: 0, width: Math.max(2, x(gap.end - gap.start)), height: HEIGHT })),
      svg("path", { class: "wave", d: shape }),
      svg("path", { class: "wave played", d: shape, "clip-path": `url(#${clip})` }),
      seams.map((seam) => svg("rect", { class: seam.forced ? "seam forced" : "seam", x: x(seam.at), y: 0, width: 1.5, height: HEIGHT })),
      this.head);
    this.hover = h("output", { class: "hover", "aria-hidden": "true", hidden: true });
    this.replaceChildren(drawing, this.hover);
    this.move(this.now ?? 0);
  }

  connectedCallback() {
    for (const [name, value] of Object.entries({ role: "slider", tabindex: "0", "aria-label": t("player.position"), "aria-valuemin": 0 })) this.setAttribute(name, value);
    this.onpointerdown = (event) => {
      this.setPointerCapture(event.pointerId);
      this.seek(this.at(event));
    };
    this.onpointermove = (event) => {
      this.hover.hidden = false;
      this.hover.textContent = clock(this.at(event));
      this.hover.style.left = `${(this.at(event) / (this.duration || 1)) * 100}%`;
      if (event.buttons & 1) this.seek(this.at(event));
    };
    this.onpointerleave = () => (this.hover.hidden = true);
    this.onkeydown = (event) => {
      const ends = { Home: 0, End: this.duration };
      const target = event.key in KEYS ? this.now + KEYS[event.key] : ends[event.key];
      if (target === undefined) return;
      event.preventDefault();
      event.stopPropagation();
      this.seek(target);
    };
  }

  at(event) {
    const { left, width } = this.getBoundingClientRect();
    return Math.min(1, Math.max(0, (event.clientX - left) / width)) * this.duration;
  }

  seek(seconds) {
    const detail = Math.min(this.duration, Math.max(0, seconds));
    this.dispatchEvent(new CustomEvent("seek", { detail }));
  }

  /** Show that `seconds` are played. */
  move(seconds) {
    this.now = seconds;
    const x = this.duration ? (seconds / this.duration) * WIDTH : 0;
    this.played?.setAttribute("width", x);
    this.head?.setAttribute("x", Math.max(0, x - 1));
    this.setAttribute("aria-valuemax", Math.floor(this.duration ?? 0));
    this.setAttribute("aria-valuenow", Math.floor(seconds));
    this.setAttribute("aria-valuetext", t("player.valuetext", { now: clock(seconds), total: clock(this.duration) }));
  }
}

/** Bars around the middle, the loudest as high as there is room; what is silent is a thin line. */
function outline(peaks) {
  const step = WIDTH / Math.max(1, peaks.length);
  const loudest = Math.max(0.05, ...peaks);
  return peaks
    .map((peak, index) => {
      const half = Math.max(1, (peak / loudest) ** 0.8 * HEIGHT * 0.46);
      return `M${(index * step).toFixed(1)} ${(HEIGHT / 2 - half).toFixed(1)}h${(step * 0.7).toFixed(2)}v${(2 * half).toFixed(1)}h${(-step * 0.7).toFixed(2)}Z`;
    })
    .join("");
}

customElements.define("wave-form", WaveForm);

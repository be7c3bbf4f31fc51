// Plays a recording, and says sixty times a second where it is.

import "./waveform.js";
import { address, get, query } from "./api.js";
import { h, say } from "./dom.js";
import { clock } from "./format.js";
import { t } from "./i18n.js";
import { icon } from "./icons.js";

const SPEEDS = [0.5, 0.75, 1, 1.25, 1.5, 1.75, 2, 3];
const BARS = 400;

/** Tells `time` with `detail` seconds, and `played`, `paused` and `sought`. */
class AudioPlayer extends HTMLElement {
  /** Get ready to play the recording of a transcript. */
  load(id, transcript, signal) {
    this.signal = signal;
    this.duration = transcript.duration;
    this.audio = h("audio", { preload: "metadata", src: address(`api/transcripts/${id}/audio`) });
    this.button = h("button", { class: "primary round", type: "button", onclick: () => this.toggle() });
    this.time = h("span", { class: "time" });
    this.wave = h("wave-form");
    this.speed = h("select", { "aria-label": t("player.speed"), onchange: () => (this.audio.playbackRate = Number(this.speed.value)) },
      SPEEDS.map((rate) => h("option", { value: rate }, `${rate}×`)));
    this.speed.value = "1";
    const step = (seconds, name) => h("button", { class: "quiet", type: "button", "aria-label": t(`player.${name}`), onclick: () => this.seek(this.now + seconds) }, icon(name));
    const trouble = h("p", { class: "error", role: "alert", hidden: true });
    this.replaceChildren(
      h("div", { class: "controls" }, this.button, step(-10, "back"), step(10, "ahead"), this.wave,
        h("div", { class: "row" }, this.time, this.speed)), trouble, this.audio);
    this.wave.draw(this.marks(transcript));
    this.wave.addEventListener("seek", (event) => this.seek(event.detail));
    const told = { play: "played", pause: "paused", ended: "paused", seeked: "sought", timeupdate: null };
    for (const [name, ours] of Object.entries(told)) this.audio.addEventListener(name, () => this.changed(ours));
    this.audio.addEventListener("error", () => ((trouble.hidden = false), say(trouble, t("player.trouble"))));
    signal.addEventListener("abort", () => this.audio.pause());
    this.changed(null);
    return get(query(`api/transcripts/${id}/peaks`, { points: BARS }), signal).then(
      ({ peaks }) => this.wave.draw({ ...this.marks(transcript), peaks }),
      () => {}, // without its picture it plays as well
    );
  }

  marks({ duration, seams, coverage }) {
    return { duration, seams, gaps: coverage?.gaps ?? [] };
  }

  get now() {
    return this.audio.currentTime;
  }

  get playing() {
    return !this.audio.paused && !this.audio.ended;
  }

  seek(seconds) {
    this.audio.currentTime = Math.min(this.duration || 0, Math.max(0, seconds));
    this.tell();
  }

  play() {
    return this.audio.play().catch(() => {}); // the error event says why
  }

  toggle() {
    if (this.playing) this.audio.pause();
    else this.play();
  }

  faster(steps) {
    const place = SPEEDS.indexOf(Number(this.speed.value)) + steps;
    this.audio.playbackRate = SPEEDS[Math.min(SPEEDS.length - 1, Math.max(0, place))];
    this.speed.value = String(this.audio.playbackRate);
  }

  changed(what) {
    const label = t(this.playing ? "player.pause" : "player.play");
    if (this.button.getAttribute("aria-label") !== label) {
      this.button.replaceChildren(icon(this.playing ? "pause" : "play"));
      this.button.setAttribute("aria-label", label);
    }
    this.tell();
    if (what) this.dispatchEvent(new Event(what));
    if (what === "played") this.run();
  }

  run() {
    if (!this.playing || this.signal.aborted) return;
    this.tell();
    requestAnimationFrame(() => this.run());
  }

  tell() {
    this.wave.move(this.now);
    say(this.time, `${clock(this.now)} / ${clock(this.duration)}`);
    this.dispatchEvent(new CustomEvent("time", { detail: this.now }));
  }
}

customElements.define("audio-player", AudioPlayer);

// Records from the microphone, and shows how loud it is.

import { h, say } from "./dom.js";
import { clock } from "./format.js";
import { t } from "./i18n.js";
import { icon } from "./icons.js";

const TYPES = ["audio/webm;codecs=opus", "audio/mp4", "audio/ogg;codecs=opus"];
const SUFFIX = { "audio/webm": "webm", "audio/mp4": "m4a", "audio/ogg": "ogg" };

/** Whether this browser can record here; it does so only on this machine or over https. */
export const canRecord = () => Boolean(navigator.mediaDevices?.getUserMedia && globalThis.MediaRecorder);

/**
 * The panel of a recording that has begun; `done(file)` is called with it, or with null where it was thrown away. Whoever
 * leaves the view keeps what was recorded so far.
 */
export async function recorder(done, signal) {
  const microphone = await navigator.mediaDevices.getUserMedia({ audio: true });
  const type = TYPES.find((candidate) => MediaRecorder.isTypeSupported(candidate));
  const recording = new MediaRecorder(microphone, type ? { mimeType: type } : {});
  const pieces = [];
  let keep = true;
  recording.ondataavailable = (event) => event.data.size && pieces.push(event.data);
  recording.onstop = () => {
    clearInterval(clockwork);
    meter.close();
    for (const track of microphone.getTracks()) track.stop();
    done(keep && pieces.length ? named(pieces, recording.mimeType) : null);
  };
  const time = h("output", { class: "time", "aria-label": t("record.time") }, clock(0));
  const level = h("i");
  const end = (kept) => () => {
    keep = kept;
    if (recording.state !== "inactive") recording.stop();
  };
  signal.addEventListener("abort", end(true), { once: true });
  const panel = h("div", { class: "recorder" },
    h("span", { class: "pulse", "aria-hidden": "true" }), time,
    h("div", { class: "bar level", "aria-hidden": "true" }, level),
    h("button", { class: "primary", type: "button", onclick: end(true) }, icon("stop"), t("record.stop")),
    h("button", { type: "button", onclick: end(false) }, t("record.discard")));
  const meter = loudness(microphone);
  const began = performance.now();
  const clockwork = setInterval(() => {
    say(time, clock((performance.now() - began) / 1000));
    level.style.transform = `scaleX(${meter.now()})`;
  }, 100);
  recording.start(1000);
  return panel;
}

function named(pieces, mime) {
  const kind = mime.split(";")[0];
  const stamp = new Date(Date.now() - new Date().getTimezoneOffset() * 60_000).toISOString();
  const name = `${t("record.name")} ${stamp.slice(0, 10)} ${stamp.slice(11, 19).replaceAll(":", "-")}.${SUFFIX[kind] ?? "webm"}`;
  return new File(pieces, name, { type: kind });
}

/** How loud the microphone is, from 0 to 1: the root mean square of what it hears, stretched. */
function loudness(microphone) {
  const context = new AudioContext();
  const analyser = context.createAnalyser();
  context.createMediaStreamSource(microphone).connect(analyser);
  const samples = new Float32Array(analyser.fftSize);
  return {
    now() {
      analyser.getFloatTimeDomainData(samples);
      return Math.min(1, 4 * Math.sqrt(samples.reduce((sum, x) => sum + x * x, 0) / samples.length));
    },
    close: () => context.close(),
  };
}

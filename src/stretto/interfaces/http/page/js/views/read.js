// One transcript: heard, read along, searched, corrected and taken away.

import "../player.js";
import "../text.js";
import { address, get, query, send } from "../api.js";
import { ask, h, say } from "../dom.js";
import { clock, fullMoment, languageName, number } from "../format.js";
import { known, t } from "../i18n.js";
import { icon } from "../icons.js";
import { store, stored, storedJson } from "../memory.js";
import { shortcuts, shortcutsHelp } from "../shortcuts.js";
import { View, badge, toast } from "../view.js";

const REMEMBER_MS = 3000;

class ReadView extends View {
  async show() {
    const id = encodeURIComponent(this.route.id);
    this.path = `api/transcripts/${id}`;
    const [found, { formats }] = await Promise.all([get(this.path, this.signal), get("api/formats", this.signal)]);
    this.found = found;
    this.transcript = found.transcript;
    this.follow = true;
    this.text = h("transcript-text");
    this.player = h("audio-player");
    this.append(this.heading(formats), h("div", { class: "desk" }, found.audio ? this.player : h("p", { class: "notice" }, t("read.noaudio")), this.tools()), this.notices(), this.text, this.savebar(), this.backToNow());
    this.text.load(this.transcript);
    this.text.classList.toggle("shade", stored("shade") !== "no");
    this.listen();
    if (found.audio) this.player.load(id, this.transcript, this.signal);
    this.recallDraft();
    this.moved(this.route);
    document.title = `${found.file} · Stretto`;
  }

  heading(formats) {
    const { file, status, language, duration_s: duration, model, versions } = this.found;
    const facts = [clock(duration), languageName(language), model, t("read.words", { count: this.transcript.text.split(/\s+/).filter(Boolean).length })];
    const history = h("select", { "aria-label": t("read.history"), onchange: () => (location.hash = `#/read/${encodeURIComponent(history.value)}`) },
      versions.map(({ id, version, created_at: at }) => h("option", { value: id }, t("read.version", { n: version, when: fullMoment(at) }))));
    history.value = this.found.id;
    const exports = h("details", { class: "menu" }, h("summary", { class: "button" }, icon("download"), t("read.export")),
      h("ul", {}, formats.map(({ name, suffix }) => h("li", {}, h("a", { href: address(query(`${this.path}/export`, { format: name })), download: true }, known(`format.${name}`) ?? name, h("span", { class: "soft" }, suffix))))));
    exports.addEventListener("keydown", (event) => event.key === "Escape" && ((exports.open = false), exports.firstChild.focus()));
    addEventListener("click", (event) => exports.contains(event.target) || (exports.open = false), { signal: this.signal });
    this.editButton = h("button", { type: "button", "aria-pressed": "false", onclick: () => this.edit(!this.text.editing) }, icon("edit"), t("read.edit"));
    return h("div", { class: "heading" },
      h("div", { class: "lead" }, h("h1", { class: "name" }, file), h("p", { class: "soft row" }, badge(status), facts.join(" · "))),
      h("div", { class: "row" }, versions.length > 1 && history, versions.length > 1 && this.compareButton(), this.editButton, exports,
        h("button", { class: "quiet", type: "button", "aria-label": t("read.delete"), onclick: () => this.destroy() }, icon("trash"))));
  }

  tools() {
    this.box = h("input", { type: "search", id: "find", placeholder: t("read.search"), "aria-label": t("read.search"), autocomplete: "off" });
    this.count = h("output", { class: "soft count", for: "find", "aria-live": "polite" });
    this.box.addEventListener("input", () => this.search(this.box.value));
    this.box.addEventListener("keydown", (event) => event.key === "Enter" && this.step(event.shiftKey ? -1 : 1));
    const arrow = (name, by) => h("button", { class: "quiet", type: "button", "aria-label": t(`read.hit.${name}`), onclick: () => this.step(by) }, icon(name));
    const shade = h("button", { class: "quiet", type: "button", "aria-pressed": String(stored("shade") !== "no"), onclick: () => {
      const on = this.text.classList.toggle("shade");
      shade.setAttribute("aria-pressed", String(on));
      store("shade", on ? null : "no");
    } }, t("read.shade"));
    return h("div", { class: "row tools" },
      h("div", { class: "search" }, icon("search"), this.box, this.count, arrow("up", -1), arrow("down", 1)),
      shade,
      h("button", { class: "quiet", type: "button", onclick: () => this.nextDoubt() }, t("read.doubt")),
      h("button", { class: "quiet", type: "button", "aria-label": t("keys.title"), onclick: () => ask(shortcutsHelp()) }, icon("keyboard")));
  }

  notices() {
    const { coverage, warnings = [], segments } = this.transcript;
    const missing = (coverage?.gaps ?? []).reduce((sum, gap) => sum + gap.end - gap.start, 0);
    return h("div", {},
      missing > 0 && h("p", { class: "notice warn" }, icon("warning"), t("read.missing", { seconds: number(missing, 1), share: number(coverage.speech_s, 1) })),
      warnings.map((warning) => h("p", { class: "notice" }, warning)),
      !segments.length && h("p", { class: "empty" }, t("read.silence")));
  }

  savebar() {
    this.changed = h("span", {});
    const save = h("button", { class: "primary", type: "button", onclick: () => this.act(save, () => this.save()) }, t("read.save"));
    const drop = h("button", { type: "button", onclick: () => this.discard() }, t("read.discard"));
    this.bar = h("div", { class: "savebar", role: "region", "aria-label": t("read.edit"), hidden: true }, this.changed, save, drop);
    return this.bar;
  }

  backToNow() {
    this.back = h("button", { class: "back primary", type: "button", hidden: true, onclick: () => this.followAgain() }, t("read.follow"));
    return this.back;
  }

  listen() {
    const listening = { signal: this.signal };
    this.text.addEventListener("seek", (event) => this.found.audio && this.player.seek(event.detail), listening);
    this.text.addEventListener("draft", () => this.drafted(), listening);
    this.player.addEventListener("time", (event) => this.text.say(event.detail, this.follow && this.player.playing), listening);
    this.player.addEventListener("played", () => this.followAgain(), listening);
    for (const name of ["paused", "sought"]) this.player.addEventListener(name, () => this.remember(), listening);
    // Whoever scrolls wants to look elsewhere: the text stays where it was put.
    for (const name of ["wheel", "touchmove"]) addEventListener(name, () => this.lookAway(), { ...listening, passive: true });
    addEventListener("keydown", (event) => shortcuts(event, this), listening);
    const timer = setInterval(() => this.player.playing && this.remember(), REMEMBER_MS);
    this.signal.addEventListener("abort", () => clearInterval(timer));
  }

  lookAway() {
    if (!this.found.audio || !this.player.playing) return;
    this.follow = false;
    this.back.hidden = false;
  }

  followAgain() {
    this.follow = true;
    this.back.hidden = true;
    if (this.text.index >= 0) this.text.into(this.text.index);
  }

  /** The address says where we are: a reload, or whoever gets the link, begins there. */
  remember() {
    if (this.signal.aborted) return;
    const at = this.found.audio && this.player.now >= 1 ? this.player.now.toFixed(2) : "";
    history.replaceState(history.state, "", query(`#/read/${encodeURIComponent(this.route.id)}`, { t: at, q: this.box.value }));
  }

  /** Go to the second and the words of a route. */
  moved({ query: asked }) {
    const [sought, seconds] = [asked.get("q") ?? "", Number(asked.get("t"))];
    this.box.value = sought;
    this.find(sought);
    if (!(seconds > 0)) return;
    if (this.found.audio) this.player.seek(seconds);
    this.text.say(seconds, false);
    if (this.text.index >= 0) this.text.into(this.text.index);
    this.hit = this.text.hits.findIndex((hit) => hit.index >= this.text.index) - 1;
  }

  find(sought) {
    this.hit = -1;
    this.hits = this.text.search(sought);
    say(this.count, sought.trim() ? t("read.hits", { count: this.hits }) : "");
  }

  search(sought) {
    this.find(sought);
    this.remember();
    if (this.hits) this.step(1, false);
  }

  step(by, play = true) {
    if (!this.hits) return;
    this.hit = (this.hit + by + this.hits) % this.hits;
    const at = this.text.reveal(this.hit);
    say(this.count, t("read.hit", { n: this.hit + 1, count: this.hits }));
    if (play && this.found.audio) this.player.seek(at);
  }

  nextDoubt() {
    const at = this.text.doubtAfter(this.found.audio ? this.player.now : (this.doubted ?? -1));
    if (at === null) return toast(t("read.nodoubt"));
    this.doubted = at;
    if (this.found.audio) this.player.seek(at);
    this.text.say(at, true);
    return undefined;
  }

  compareButton() {
    const { versions, version } = this.found;
    const earlier = versions.find((one) => one.version === version - 1);
    if (!earlier) return null;
    const button = h("button", { type: "button", "aria-pressed": "false", onclick: () => this.act(button, async () => {
      const on = button.getAttribute("aria-pressed") !== "true";
      const before = on ? (await get(`api/transcripts/${earlier.id}`, this.signal)).transcript : null;
      button.setAttribute("aria-pressed", String(on));
      this.text.compare(before);
    }) }, t("read.changes", { n: earlier.version }));
    return button;
  }

  edit(on) {
    this.text.edit(on);
    this.editButton.setAttribute("aria-pressed", String(on));
    this.drafted();
  }

  get draftKey() {
    return `draft:${this.found.id}`;
  }

  drafted() {
    const count = this.text.draft.size;
    say(this.changed, t("read.changed", { count }));
    this.bar.hidden = !count;
    store(this.draftKey, count ? JSON.stringify([...this.text.draft]) : null);
  }

  /** What was typed before a reload is there again. */
  recallDraft() {
    const kept = storedJson(this.draftKey, []);
    if (!kept.length) return;
    this.text.draft = new Map(kept);
    this.edit(true);
  }

  discard() {
    this.text.draft.clear();
    this.edit(false);
  }

  async save() {
    const segments = [...this.text.draft].map(([index, text]) => ({ index, text }));
    const saved = await send("POST", `${this.path}/edits`, { segments }, { signal: this.signal });
    store(this.draftKey, null);
    toast(t("read.saved", { n: saved.version }));
    location.hash = query(`#/read/${encodeURIComponent(saved.id)}`, { t: this.found.audio && this.player.now >= 1 ? this.player.now.toFixed(2) : "" });
  }

  async destroy() {
    const dialog = h("dialog", { "aria-label": t("read.delete") }, h("form", { method: "dialog" },
      h("h2", {}, t("read.delete.title", { name: this.found.file })), h("p", {}, t("read.delete.text")),
      h("div", { class: "row" }, h("button", { class: "danger", value: "delete" }, t("action.delete")), h("button", { value: "" }, t("action.keep")))));
    if ((await ask(dialog)) !== "delete") return;
    await this.act(this.editButton, async () => {
      await send("DELETE", this.path, undefined, { signal: this.signal });
      location.hash = "#/library";
    });
  }
}

customElements.define("read-view", ReadView);

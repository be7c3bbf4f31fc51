// Where recordings come in: dropped, chosen or spoken; and where one sees their text appear.

import { get, poll, query, send } from "../api.js";
import { h, keyed, say } from "../dom.js";
import { bytes, clock, languageName, moment, percent, span } from "../format.js";
import { t } from "../i18n.js";
import { icon } from "../icons.js";
import { store, storedJson } from "../memory.js";
import { Pace } from "../pace.js";
import { canRecord, recorder } from "../record.js";
import { follow } from "../stream.js";
import { uploads } from "../upload.js";
import { View, badge, empty, field, progressBar, toast, words } from "../view.js";

const POLL_MS = 2000;
const LOOKED_AT = 30;
const FINISHED_SHOWN = 6;
const STREAMS = 2; // browsers open six connections to a server, and the page needs some itself
const ORDER = { processing: 0, queued: 1 };

class TranscribeView extends View {
  async show() {
    this.streams = new Map();
    this.cards = h("div", { class: "cards" });
    this.none = empty(t("transcribe.none"), t("transcribe.none.text"));
    this.zone = this.dropZone();
    this.options = this.optionFields();
    this.append(
      h("div", { class: "lead" }, h("h1", {}, t("transcribe.title")), h("p", { class: "soft" }, t("transcribe.lead"))),
      this.zone, this.options,
      h("section", { "aria-labelledby": "work" },
        h("div", { class: "row between" }, h("h2", { id: "work" }, t("transcribe.work")), h("a", { href: "#/queue" }, t("transcribe.all"))),
        this.none, this.cards));
    uploads.addEventListener("change", () => this.draw(), { signal: this.signal });
    await poll(this.signal, POLL_MS, () => this.refresh());
  }

  dropZone() {
    const input = h("input", { type: "file", multiple: true, id: "files", class: "visually-hidden", onchange: () => (this.take(input.files), (input.value = "")) });
    const record = h("button", { type: "button", onclick: () => this.record(record) }, icon("microphone"), t("transcribe.record"));
    const zone = h("div", { class: "drop" },
      icon("upload"),
      h("p", { class: "big" }, t("transcribe.drop")),
      h("p", { class: "soft" }, t("transcribe.drop.text")),
      h("div", { class: "row center" }, input, h("label", { class: "button primary", for: "files" }, t("transcribe.choose")), canRecord() && record),
      this.addressForm());
    const over = (on) => (event) => {
      event.preventDefault();
      zone.classList.toggle("over", on);
    };
    // A file that misses the zone would otherwise open in place of the page.
    addEventListener("dragover", over(true), { signal: this.signal });
    addEventListener("dragleave", (event) => event.relatedTarget ?? zone.classList.remove("over"), { signal: this.signal });
    addEventListener("drop", (event) => (over(false)(event), this.take(event.dataTransfer.files)), { signal: this.signal });
    return zone;
  }

  addressForm() {
    const link = h("input", { type: "url", required: true, placeholder: "https://…", "aria-label": t("transcribe.address") });
    const fetching = (event) => {
      event.preventDefault();
      uploads.add(link.value, this.chosen());
      link.value = "";
    };
    return h("form", { class: "row", onsubmit: fetching }, link, h("button", {}, t("transcribe.fetch")));
  }

  async record(button) {
    button.disabled = true;
    try {
      const panel = await recorder((file) => {
        panel.replaceWith(this.zone);
        button.disabled = false;
        if (file) this.take([file]);
      }, this.signal);
      this.zone.replaceWith(panel);
    } catch {
      button.disabled = false;
      toast(t("record.refused"), "bad");
    }
  }

  take(files) {
    for (const file of files) {
      if (file.size) uploads.add(file, this.chosen());
      else toast(t("transcribe.emptyfile", { name: file.name }), "bad");
    }
  }

  optionFields() {
    const kept = storedJson("options", {});
    const language = h("select", { name: "language" }, h("option", { value: "" }, t("options.detect")));
    const model = h("select", { name: "model" }, h("option", { value: "" }, t("options.default")));
    const task = h("select", { name: "task" }, ["transcribe", "translate"].map((name) => h("option", { value: name }, t(`options.task.${name}`))));
    const priority = h("select", { name: "priority" }, ["high", "medium", "low"].map((name) => h("option", { value: name }, t(`priority.${name}`))));
    const prompt = h("input", { name: "prompt", type: "text", maxlength: 800, placeholder: t("options.prompt.example") });
    priority.value = "medium";
    const controls = { language, model, task, priority, prompt };
    const restore = () => {
      for (const [name, control] of Object.entries(controls)) {
        if (kept[name]) control.value = kept[name];
        if (control.selectedIndex === -1) control.selectedIndex = 0;
      }
    };
    this.chosen = () => {
      const values = Object.entries(controls).map(([name, control]) => [name, control.value.trim()]);
      return Object.fromEntries(values.filter(([, value]) => value));
    };
    this.fillOptions(language, model).then(restore, () => {});
    restore();
    return h("details", { class: "options", open: Object.keys(kept).some((name) => name !== "priority" && name !== "task"), onchange: () => store("options", JSON.stringify(this.chosen())) },
      h("summary", {}, t("options.title")),
      h("div", { class: "fields" },
        field(t("options.language"), language), field(t("options.model"), model), field(t("options.task"), task),
        field(t("options.priority"), priority), field(t("options.prompt"), prompt, "wide")));
  }

  async fillOptions(language, model) {
    const [{ languages }, { models }] = await Promise.all([get("api/languages", this.signal), get("api/models", this.signal)]);
    const named = languages.map(({ code }) => ({ code, name: languageName(code) })).sort((a, b) => a.name.localeCompare(b.name));
    language.append(...named.map(({ code, name }) => h("option", { value: code }, name)));
    model.append(...models.map(({ name }) => h("option", { value: name }, name)));
    const usual = models.find((one) => one.default);
    if (usual) model.options[0].textContent = `${t("options.default")} (${usual.name})`;
  }

  async refresh() {
    const { jobs } = await get(query("api/jobs", { limit: LOOKED_AT }), this.signal);
    const active = jobs.filter((job) => job.status in ORDER).sort((a, b) => ORDER[a.status] - ORDER[b.status]);
    this.jobs = [...active, ...jobs.filter((job) => !(job.status in ORDER)).slice(0, FINISHED_SHOWN)];
    this.draw();
    this.listen(active.filter((job) => job.status === "processing").slice(0, STREAMS));
  }

  draw() {
    const items = [
      ...uploads.list.map((upload) => ({ key: upload.key, upload })),
      ...(this.jobs ?? []).map((job) => ({ key: job.id, job })),
    ];
    this.none.hidden = items.length > 0 || !this.jobs;
    keyed(this.cards, items, (item) => item.key, (item) => (item.job ? jobCard(item.job, this) : uploadCard(item.upload)));
  }

  /** Follow the jobs that are being worked on. */
  listen(jobs) {
    for (const { id } of jobs) {
      if (this.streams.has(id) || this.streams.size >= STREAMS) continue;
      const card = [...this.cards.children].find((one) => one.dataset.key === id);
      this.streams.set(id, card);
      follow(id, (event) => card.hear(event), this.signal)
        .finally(() => this.streams.delete(id))
        .then(() => this.signal.aborted || this.refresh())
        .catch((error) => this.signal.aborted || toast(words(error), "bad"));
    }
  }
}

function uploadCard(upload) {
  const bar = progressBar(upload.name);
  const state = h("p", { class: "soft" });
  const again = h("button", { type: "button", onclick: () => upload.again() }, t("upload.again"));
  const card = h("article", { class: "card" },
    h("div", { class: "row between" }, h("h3", { class: "name" }, upload.name),
      h("div", { class: "row" }, again, h("button", { type: "button", onclick: () => upload.cancel() }, t("action.cancel")))),
    bar, state);
  card.update = () => {
    bar.update(upload.size ? upload.sent / upload.size : 0);
    again.hidden = upload.state !== "failed";
    state.classList.toggle("error", upload.state === "failed");
    const values = { sent: bytes(upload.sent), size: bytes(upload.size) };
    say(state, upload.error ? words(upload.error) : t(`upload.${upload.state}`, values));
  };
  return card;
}

function jobCard(job, view) {
  const label = badge(job.status);
  const bar = progressBar(job.file);
  const state = h("p", { class: "soft state" });
  const text = h("div", { class: "live", tabindex: "0", role: "log", "aria-live": "off", "aria-label": t("transcribe.live"), hidden: true });
  const actions = h("div", { class: "row" });
  const card = h("article", { class: "card" },
    h("div", { class: "row between" }, h("div", { class: "row grow" }, h("h3", { class: "name" }, job.file), label), actions), bar, state, text);
  const pace = new Pace();
  let now = job;
  let attempt = 0;

  const buttons = {
    read: h("a", { class: "button primary", href: "#" }, t("action.read")),
    cancel: h("button", { type: "button", onclick: (event) => change(event.currentTarget, "cancel") }, t("action.cancel")),
    retry: h("button", { type: "button", onclick: (event) => change(event.currentTarget, "retry") }, t("action.retry")),
  };
  actions.append(...Object.values(buttons));
  const change = (button, what) => view.act(button, async () => (await send("POST", `api/jobs/${now.id}/${what}`), view.refresh()));

  card.update = ({ job: latest }) => {
    // The stream is ahead of the list: a bar never goes back.
    const fraction = latest.status === now.status ? Math.max(latest.progress?.fraction ?? 0, now.progress?.fraction ?? 0) : latest.progress?.fraction;
    now = { ...latest, progress: { ...latest.progress, fraction } };
    draw();
  };
  card.hear = (event) => {
    pace.hear(event);
    if (event.event === "JobStarted" || (event.event === "JobTextHeard" && event.attempt !== attempt)) {
      if (event.attempt !== attempt) text.replaceChildren();
      attempt = event.attempt;
    }
    if (event.event === "JobProgressed") now = { ...now, status: "processing", progress: event };
    if (event.event === "JobTextHeard") append(event.segments);
    draw();
  };

  function append(segments) {
    const atEnd = text.scrollHeight - text.scrollTop - text.clientHeight < 40;
    text.append(...segments.map((segment) => h("p", {}, h("span", { class: "time" }, clock(segment.start)), segment.text)));
    text.hidden = false;
    if (atEnd) text.scrollTop = text.scrollHeight;
  }

  function draw() {
    label.update(now.cancelling ? "cancelling" : now.status);
    const working = now.status === "processing";
    bar.hidden = !working;
    bar.update(now.progress?.fraction);
    say(state, sentence());
    state.classList.toggle("error", now.status === "failed");
    buttons.read.href = `#/read/${encodeURIComponent(now.transcript_id ?? "")}`;
    const shown = { read: now.transcript_id, cancel: now.status in ORDER && !now.cancelling, retry: now.status === "failed" || now.status === "cancelled" };
    for (const [name, button] of Object.entries(buttons)) button.hidden = !shown[name];
  }

  function sentence() {
    const { done_s: done, total_s: total, fraction } = now.progress ?? {};
    if (now.status === "failed") return now.error?.message ?? "";
    if (now.status === "queued") return t("job.waiting");
    if (now.status !== "processing") return [now.language && languageName(now.language), now.model, moment(now.updated_at)].filter(Boolean).join(" · ");
    const parts = [total ? t("job.done", { done: clock(done), total: clock(total) }) : t("job.begun"), total && percent(fraction)];
    const left = pace.remaining;
    return [...parts, left !== null && left >= 1 && t("job.left", { span: span(left) })].filter(Boolean).join(" · ");
  }

  return card;
}

customElements.define("transcribe-view", TranscribeView);

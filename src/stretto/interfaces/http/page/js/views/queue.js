// The jobs: what is worked on, what waits and with which priority, what was given up and why.

import { get, poll, query, send } from "../api.js";
import { ask, h, keyed, say } from "../dom.js";
import { clock, fullMoment, moment, percent } from "../format.js";
import { t } from "../i18n.js";
import { View, badge, empty, progressBar, toast } from "../view.js";

const POLL_MS = 2000;
const LIMIT = 100;
const PRIORITIES = ["high", "medium", "low"];
const TABS = { active: activeJobs, finished: finishedJobs, dead: deadJobs };

class QueueView extends View {
  async show() {
    this.tab = this.wanted(this.route);
    this.links = Object.keys(TABS).map((name) => h("a", { href: `#/queue?tab=${name}`, "data-tab": name }, t(`queue.${name}`)));
    this.groups = h("div", { class: "groups" });
    this.append(h("h1", {}, t("nav.queue")), h("nav", { class: "tabs", "aria-label": t("queue.tabs") }, this.links), this.groups);
    await poll(this.signal, POLL_MS, () => this.refresh());
  }

  wanted({ query: asked }) {
    const tab = asked.get("tab");
    return Object.hasOwn(TABS, tab ?? "") ? tab : "active";
  }

  moved(route) {
    this.tab = this.wanted(route);
    this.groups.replaceChildren();
    this.refresh().catch((error) => this.failed(error));
  }

  async refresh() {
    const { tab } = this;
    for (const link of this.links) {
      if (link.dataset.tab === tab) link.setAttribute("aria-current", "page");
      else link.removeAttribute("aria-current");
    }
    const groups = await TABS[tab](this.signal);
    if (tab !== this.tab) return;
    const filled = groups.filter((group) => group.jobs.length);
    keyed(this.groups, filled.length ? filled : [{ name: "empty", tab }], (group) => group.name, (group) => (group.jobs ? this.group(group) : nothing(group.tab)));
  }

  group({ name }) {
    const heading = h("h2", {});
    const rows = h("div", { class: "rows" });
    const section = h("section", { class: "group" }, heading, rows);
    section.update = ({ jobs, more }) => {
      say(heading, `${t(`queue.group.${name}`)} · ${jobs.length}${more ? "+" : ""}`);
      keyed(rows, jobs, (job) => job.id, () => this.row());
    };
    return section;
  }

  row() {
    const title = h("span", { class: "name" });
    const label = badge("queued");
    const priority = h("span", { class: "soft" });
    const bar = progressBar(t("queue.progress"));
    const state = h("span", { class: "soft" });
    const reason = h("p", { class: "error" });
    const actions = h("div", { class: "row" });
    const row = h("article", { class: "item job" }, h("div", { class: "row grow" }, title, label, priority), actions, bar, state, reason);
    let now;
    const buttons = Object.entries(ACTIONS).map(([name, { does, allowed, asks }]) => {
      const button = h("button", { type: "button", onclick: () => this.act(button, async () => {
        if (asks && !(await sure(now))) return;
        await does(now, this);
        await this.refresh();
      }) }, t(`action.${name}`));
      button.update = () => {
        button.hidden = !allowed(now, this.tab);
        button.setAttribute("aria-label", `${t(`action.${name}`)}: ${now.file}`);
      };
      return button;
    });
    const read = h("a", { class: "button" }, t("action.read"));
    actions.append(read, ...buttons);
    row.update = (job) => {
      now = job;
      say(title, job.file);
      label.update(job.cancelling ? "cancelling" : job.status);
      say(priority, job.status === "processing" ? t(`priority.${job.priority}`) : "");
      bar.hidden = job.status !== "processing";
      bar.update(job.progress?.fraction);
      say(state, sentence(job));
      say(reason, job.error ? [job.cause && t(`cause.${job.cause}`), job.error.message].filter(Boolean).join(" ") : "");
      reason.hidden = !job.error || job.status === "completed";
      read.hidden = !job.transcript_id;
      if (job.transcript_id) read.href = `#/read/${encodeURIComponent(job.transcript_id)}`;
      for (const button of buttons) button.update();
    };
    return row;
  }
}

/** What can be done with a job, and when. */
const ACTIONS = {
  cancel: { does: (job) => send("POST", `api/jobs/${job.id}/cancel`), allowed: (job) => ["queued", "processing"].includes(job.status) && !job.cancelling },
  retry: { does: (job) => send("POST", `api/jobs/${job.id}/retry`), allowed: (job, tab) => tab !== "dead" && ["failed", "cancelled"].includes(job.status) },
  requeue: { does: requeue, allowed: (_, tab) => tab === "dead" },
  trace: { does: trace, allowed: (_, tab) => tab === "dead" },
  forget: { does: (job) => send("DELETE", `api/dlq/${job.id}`), allowed: (_, tab) => tab === "dead", asks: true },
};

async function requeue(job) {
  await send("POST", `api/dlq/${job.id}/requeue`);
  toast(t("queue.requeued", { name: job.file }));
}

async function trace(job, view) {
  const { trace: text } = await get(`api/dlq/${job.id}`, view.signal);
  await ask(h("dialog", { class: "wide", "aria-label": t("action.trace") }, h("form", { method: "dialog" },
    h("h2", { class: "name" }, job.file), h("pre", { tabindex: "0" }, text || t("queue.notrace")), h("button", { class: "primary" }, t("action.close")))));
}

async function sure(job) {
  const answer = await ask(h("dialog", { "aria-label": t("action.forget") }, h("form", { method: "dialog" },
    h("h2", {}, t("queue.forget.title", { name: job.file })), h("p", {}, t("queue.forget.text")),
    h("div", { class: "row" }, h("button", { class: "danger", value: "forget" }, t("action.forget")), h("button", { value: "" }, t("action.keep"))))));
  return answer === "forget";
}

function sentence(job) {
  const { done_s: done, total_s: total, fraction } = job.progress ?? {};
  if (job.status === "processing") return total ? `${t("job.done", { done: clock(done), total: clock(total) })} · ${percent(fraction)}` : t("job.begun");
  const tries = job.errors || job.outages || job.crashes ? t("job.tries", job) : "";
  const later = job.status === "queued" && job.run_at * 1000 > Date.now() ? t("job.later", { when: fullMoment(job.run_at) }) : "";
  return [moment(job.status === "queued" ? job.created_at : job.updated_at), later, tries].filter(Boolean).join(" · ");
}

const jobs = (status, signal) => get(query("api/jobs", { status, limit: LIMIT }), signal);

async function activeJobs(signal) {
  const [working, waiting] = await Promise.all(["processing", "queued"].map((status) => jobs(status, signal)));
  const first = (a, b) => a.created_at - b.created_at;
  const by = (priority) => waiting.jobs.filter((job) => job.priority === priority).sort(first);
  return [
    { name: "working", jobs: working.jobs, more: working.next },
    ...PRIORITIES.map((priority) => ({ name: priority, jobs: by(priority), more: waiting.next })),
  ];
}

async function finishedJobs(signal) {
  const [completed, cancelled] = await Promise.all(["completed", "cancelled"].map((status) => jobs(status, signal)));
  return [
    { name: "completed", jobs: completed.jobs, more: completed.next },
    { name: "cancelled", jobs: cancelled.jobs, more: cancelled.next },
  ];
}

async function deadJobs(signal) {
  const { jobs: dead, next } = await get(query("api/dlq", { limit: LIMIT }), signal);
  return [{ name: "dead", jobs: dead, more: next }];
}

function nothing(tab) {
  const submit = h("a", { class: "button primary", href: "#/transcribe" }, t("queue.submit"));
  return empty(t(`queue.none.${tab}`), t(`queue.none.${tab}.text`), tab === "active" && submit);
}

customElements.define("queue-view", QueueView);

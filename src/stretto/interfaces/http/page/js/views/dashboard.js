// How Stretto is doing: what is wrong, what the figures are, who works, and what is kept.

import { ApiError, get, poll, query, request } from "../api.js";
import { lineChart, seriesOf } from "../chart.js";
import { h, keyed, say } from "../dom.js";
import { bytes, fullMoment, moment, number, percent, span } from "../format.js";
import { known, t } from "../i18n.js";
import { View, badge } from "../view.js";

const POLL_MS = 5000;
const SPANS_S = [3600, 21_600, 86_400];

class DashboardView extends View {
  async show() {
    this.range = h("select", { "aria-label": t("dashboard.range"), onchange: () => this.refresh().catch((error) => this.failed(error)) },
      SPANS_S.map((seconds) => h("option", { value: seconds }, span(seconds))));
    this.alerts = h("ul", { class: "alerts" });
    this.tiles = h("dl", { class: "tiles" });
    this.charts = h("div", { class: "boards" });
    this.parts = h("div", { class: "rows" });
    this.workers = h("div", { class: "rows" });
    this.cache = h("div", { class: "rows" });
    this.saved = h("p", { class: "soft" });
    this.nobody = h("p", { class: "soft", hidden: true }, t("dashboard.noworkers"));
    const section = (name, ...content) => h("section", {}, h("h2", {}, t(`dashboard.${name}`)), content);
    this.append(
      h("div", { class: "row between" }, h("h1", {}, t("nav.dashboard")), this.range),
      this.alerts, this.tiles, this.charts,
      h("div", { class: "columns" }, section("health", this.parts), section("workers", this.nobody, this.workers), section("cache", this.saved, this.cache)));
    await poll(this.signal, POLL_MS, () => this.refresh());
  }

  async refresh() {
    const [ready, workers, cache, board] = await Promise.all([
      this.readiness(),
      get("api/workers", this.signal),
      get("api/cache", this.signal),
      this.board(),
    ]);
    this.drawParts(ready.parts ?? {});
    this.drawWorkers(workers.workers);
    this.drawCache(cache);
    this.range.hidden = !board.rows.length;
    keyed(this.charts, filled(board), (row) => row.title, chartRow);
    keyed(this.alerts, (board.alerts ?? []).filter((alert) => alert.status === "firing"), (alert) => alert.rule, alertNote);
    this.drawTiles(workers.workers, cache);
  }

  /** Not being ready is an answer too, though its status is an error. */
  async readiness() {
    const answer = await request("ready", { also: [503], signal: this.signal });
    return answer.json();
  }

  /** The charts, where the server keeps series. */
  async board() {
    try {
      return await get(query("api/metrics/dashboard", { span_s: this.range.value }), this.signal);
    } catch (error) {
      if (error instanceof ApiError && error.status === 404) return { rows: [], alerts: [] };
      throw error;
    }
  }

  drawTiles(workers, cache) {
    const busy = workers.reduce((sum, worker) => sum + (worker.running), 0);
    const saved = Object.values(cache.saved_s ?? {}).reduce((sum, seconds) => sum + seconds, 0);
    const tiles = [
      [t("dashboard.tile.workers"), number(workers.length)],
      [t("dashboard.tile.running"), number(busy)],
      [t("dashboard.tile.hits"), cache.lookups ? percent(cache.hit_rate) : "–"],
      [t("dashboard.tile.saved"), span(saved)],
    ];
    keyed(this.tiles, tiles, ([name]) => name, ([name]) => {
      const value = h("dd");
      const tile = h("div", { class: "tile card" }, h("dt", {}, name), value);
      tile.update = ([, text]) => say(value, text);
      return tile;
    });
  }

  drawParts(parts) {
    keyed(this.parts, Object.entries(parts), ([name]) => name, ([name]) => {
      const label = badge("ok");
      const detail = h("span", { class: "soft" });
      const row = h("div", { class: "item" }, h("span", { class: "name" }, known(`part.${name}`) ?? name), label, detail);
      row.update = ([, part]) => {
        label.update(part.ok ? "ok" : "trouble");
        say(detail, part.detail ?? "");
      };
      return row;
    });
  }

  drawWorkers(workers) {
    this.nobody.hidden = workers.length > 0;
    keyed(this.workers, workers, (worker) => worker.id, (worker) => {
      const label = badge(worker.state);
      const detail = h("span", { class: "soft" });
      const row = h("div", { class: "item" }, h("span", { class: "name" }, `${worker.host} · ${worker.pid}`), label, detail);
      row.update = (now) => {
        label.update(now.state);
        say(detail, t("dashboard.worker", { running: now.running, concurrency: now.concurrency, since: moment(now.started_at) }));
      };
      return row;
    });
  }

  drawCache({ levels, hits, lookups, hit_rate: rate }) {
    say(this.saved, lookups ? t("dashboard.hits", { hits: number(hits), lookups: number(lookups), rate: percent(rate) }) : t("dashboard.nohits"));
    keyed(this.cache, levels, (level) => level.level, ({ level }) => {
      const label = badge("ok");
      const detail = h("span", { class: "soft" });
      const row = h("div", { class: "item" }, h("span", { class: "name" }, `${level} · ${t(`cache.${level}`)}`), label, detail);
      row.update = (now) => {
        label.update(now.working ? "ok" : "trouble");
        say(detail, now.trouble || t("dashboard.entries", { count: now.entries ?? 0, n: number(now.entries ?? 0), size: bytes(now.size_bytes ?? 0) }));
      };
      return row;
    });
  }
}

/** The rows of charts that have something to show; each chart knows when it begins. */
function filled({ rows, start, step_s: step }) {
  return rows
    .map(({ title, charts }) => ({ title, charts: charts.map((chart) => ({ ...chart, start, step_s: step })).filter((chart) => seriesOf(chart).length) }))
    .filter((row) => row.charts.length);
}

function chartRow({ title }) {
  const charts = h("div", { class: "charts" });
  const section = h("section", {}, h("h2", {}, known(`board.${title}`) ?? title), charts);
  section.update = (row) => keyed(charts, row.charts, (chart) => chart.id, lineChart);
  return section;
}

function alertNote(alert) {
  const text = h("span");
  const note = h("li", { class: `notice ${alert.severity === "critical" ? "bad" : "warn"}` }, text);
  note.update = ({ summary, action, since }) => say(text, [summary, action, since && fullMoment(since)].filter(Boolean).join(" · "));
  return note;
}

customElements.define("dashboard-view", DashboardView);

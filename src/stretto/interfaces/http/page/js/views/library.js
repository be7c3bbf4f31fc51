// All transcripts, and a search through everything that was ever said in them.

import { get, query } from "../api.js";
import { h, say } from "../dom.js";
import { clock, languageName, moment } from "../format.js";
import { t } from "../i18n.js";
import { icon } from "../icons.js";
import { View, badge, empty, field } from "../view.js";

const PAGE = 40;
const PATIENCE_MS = 200;

class LibraryView extends View {
  async show() {
    this.asked = 0;
    this.box = h("input", { type: "search", name: "q", placeholder: t("library.search"), "aria-label": t("library.search"), autocomplete: "off" });
    this.status = h("select", {}, ["", "complete", "partial"].map((value) => h("option", { value }, t(value ? `status.${value}` : "library.all"))));
    this.language = h("select", {}, h("option", { value: "" }, t("library.all")));
    this.told = h("p", { class: "soft", role: "status" });
    this.list = h("div", { class: "rows" });
    const filters = h("div", { class: "fields filters" }, field(t("library.status"), this.status), field(t("library.language"), this.language));
    this.filters = filters;
    this.append(h("h1", {}, t("nav.library")), h("div", { class: "search large" }, icon("search"), this.box), filters, this.told, this.list);
    this.take(this.route);
    let timer = 0;
    this.box.addEventListener("input", () => {
      clearTimeout(timer);
      timer = setTimeout(() => this.changed(), PATIENCE_MS);
    });
    for (const select of [this.status, this.language]) select.addEventListener("change", () => this.changed());
    get("api/languages", this.signal).then(({ languages }) => this.fillLanguages(languages), () => {});
    await this.look();
  }

  fillLanguages(languages) {
    const named = languages.map(({ code }) => [code, languageName(code)]).sort((a, b) => a[1].localeCompare(b[1]));
    this.language.append(...named.map(([code, name]) => h("option", { value: code }, name)));
    this.language.value = this.route.query.get("language") ?? "";
  }

  take({ query: asked }) {
    this.box.value = asked.get("q") ?? "";
    this.status.value = asked.get("status") ?? "";
  }

  moved(route) {
    this.route = route;
    this.take(route);
    this.look().catch((error) => this.failed(error));
  }

  changed() {
    const values = { q: this.box.value.trim(), status: this.status.value, language: this.language.value };
    history.replaceState(history.state, "", query("#/library", values));
    this.look().catch((error) => this.failed(error));
  }

  async look() {
    const turn = (this.asked += 1);
    const sought = this.box.value.trim();
    this.filters.hidden = Boolean(sought);
    const elements = sought ? await this.hits(sought) : await this.page("");
    if (turn === this.asked) this.list.replaceChildren(...elements); // a later question has been asked meanwhile
  }

  async hits(sought) {
    const { hits } = await get(query("api/search", { q: sought, limit: 100 }), this.signal);
    say(this.told, t("library.hits", { count: hits.length }));
    if (!hits.length) return [empty(t("library.nothing", { sought }), t("library.nothing.text"))];
    const files = Map.groupBy(hits, (hit) => hit.id);
    return [...files].map(([id, found]) => h("section", { class: "card" },
      h("h2", { class: "name" }, h("a", { href: `#/read/${encodeURIComponent(id)}` }, found[0].file)),
      h("ul", { class: "hits" }, found.map((hit) => h("li", {}, h("a", { href: query(`#/read/${encodeURIComponent(id)}`, { t: hit.at, q: plain(sought) }) },
        h("span", { class: "time" }, clock(hit.at)), h("span", {}, marked(hit))))))));
  }

  async page(after) {
    const asked = { limit: PAGE, after, status: this.status.value, language: this.language.value || this.route.query.get("language") };
    const { transcripts, next } = await get(query("api/transcripts", asked), this.signal);
    if (!after) say(this.told, "");
    const filtered = asked.status || asked.language;
    if (!transcripts.length && !after) {
      return filtered
        ? [empty(t("library.nomatch"), t("library.nomatch.text"))]
        : [empty(t("library.none"), t("library.none.text"), h("a", { class: "button primary", href: "#/transcribe" }, t("library.first")))];
    }
    const rows = transcripts.map(row);
    const more = h("button", { type: "button", onclick: () => this.act(more, async () => more.replaceWith(...(await this.page(next)))) }, t("action.more"));
    return next ? [...rows, more] : rows;
  }
}

function row(one) {
  const facts = [clock(one.duration_s), languageName(one.language), one.model, one.version > 1 && t("read.version.short", { n: one.version })];
  return h("a", { class: "item", href: `#/read/${encodeURIComponent(one.id)}` },
    h("span", { class: "name" }, one.file), one.status === "partial" && badge(one.status),
    h("span", { class: "soft" }, facts.filter(Boolean).join(" · ")), h("span", { class: "soft when" }, moment(one.created_at)));
}

/** The text of a hit with its matches marked; the server counts characters, and JavaScript halves of some. */
function marked({ text, matches }) {
  const characters = Array.from(text);
  const pieces = [];
  let end = 0;
  for (const [from, to] of matches) {
    pieces.push(characters.slice(end, from).join(""), h("mark", {}, characters.slice(from, to).join("")));
    end = to;
  }
  return [...pieces, characters.slice(end).join("")];
}

/** What to look for in one text: the search's quotation marks and stars mean nothing there. */
const plain = (sought) => sought.replace(/["*]/g, "").trim();

customElements.define("library-view", LibraryView);

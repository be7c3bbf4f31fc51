// The frame around the views: where one is, the switches, and what is said when the server is away.

import { ApiError, connection, get, send } from "./api.js";
import { ask, h } from "./dom.js";
import { LANGUAGES, language, preferred, speak, t } from "./i18n.js";
import { icon, mark } from "./icons.js";
import { store, stored } from "./memory.js";
import { words } from "./view.js";

const VIEWS = {
  transcribe: { icon: "upload", load: () => import("./views/transcribe.js") },
  library: { icon: "library", load: () => import("./views/library.js") },
  queue: { icon: "queue", load: () => import("./views/queue.js") },
  dashboard: { icon: "dashboard", load: () => import("./views/dashboard.js") },
  read: { load: () => import("./views/read.js") },
};
const PARENT = { read: "library" };
const THEMES = ["light", "dark"];

let shown = null;

/** Where the fragment leads: `#/read/ID?t=12` is the view read, with ID and t. */
function route() {
  const [path, asked = ""] = location.hash.replace(/^#\/?/, "").split("?");
  const [name, id = ""] = path.split("/").map(decoded);
  return { name: Object.hasOwn(VIEWS, name) ? name : "transcribe", id, query: new URLSearchParams(asked) };
}

function decoded(part) {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}

/** Show the view of the route; one that is there already is only told of the new place in it. */
async function go({ again = false } = {}) {
  const here = route();
  const main = document.querySelector("main");
  if (!again && shown && shown.name === here.name && shown.id === here.id) {
    main.firstElementChild?.moved?.(here);
    return;
  }
  const first = shown === null;
  shown = here;
  await VIEWS[here.name].load();
  if (shown !== here) return;
  const view = document.createElement(`${here.name}-view`);
  view.route = here;
  main.replaceChildren(view);
  for (const link of document.querySelectorAll(".top nav a")) {
    const current = link.dataset.view === (PARENT[here.name] ?? here.name);
    if (current) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  document.title = `${t(`nav.${here.name}`)} · Stretto`;
  if (!first && !again) {
    scrollTo(0, 0);
    main.focus({ preventScroll: true });
  }
}

function theme() {
  const chosen = document.documentElement.dataset.theme;
  return chosen ?? (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light");
}

function themeSwitch() {
  const button = h("button", { class: "quiet", type: "button", onclick: turn });
  function turn() {
    const next = THEMES[1 - THEMES.indexOf(theme())];
    document.documentElement.dataset.theme = next;
    store("theme", next);
    draw();
  }
  function draw() {
    button.replaceChildren(icon(theme() === "dark" ? "sun" : "moon"));
    button.setAttribute("aria-label", t(theme() === "dark" ? "theme.light" : "theme.dark"));
  }
  draw();
  return button;
}

function languageSwitch() {
  const other = language === "en" ? "ru" : "en";
  const change = async () => {
    store("language", other);
    await speak(other);
    frame();
    await go({ again: true });
  };
  const attributes = { class: "quiet", type: "button", lang: other, "aria-label": LANGUAGES[other], onclick: change };
  return h("button", attributes, other.toUpperCase());
}

function frame() {
  const links = Object.entries(VIEWS)
    .filter(([, view]) => view.icon)
    .map(([name, view]) => h("a", { href: `#/${name}`, "data-view": name }, icon(view.icon), h("span", {}, t(`nav.${name}`))));
  const away = h("p", { id: "away", class: "notice warn", role: "status", hidden: true });
  document.body.replaceChildren(
    h("a", { class: "skip", href: "#main", onclick: (event) => (event.preventDefault(), document.querySelector("main").focus()) }, t("nav.skip")),
    h("header", { class: "top" },
      h("a", { class: "brand", href: "#/transcribe", "aria-label": t("nav.home") }, mark(), "Stretto"),
      h("nav", { "aria-label": t("nav.main") }, links),
      h("div", { class: "switches" }, languageSwitch(), themeSwitch())),
    away,
    h("main", { id: "main", tabindex: "-1" }),
    h("div", { id: "toasts", role: "status", "aria-live": "polite" }),
  );
}

function away(lost) {
  const note = document.querySelector("#away");
  note.textContent = lost ? t("error.away") : "";
  note.hidden = !lost;
}

let asking = false;

/** Ask for the key that the server wants, and begin again with it. */
async function unlock() {
  if (asking) return;
  asking = true;
  const key = h("input", { type: "password", autocomplete: "current-password", required: true, id: "key" });
  const trouble = h("p", { class: "error", role: "alert" });
  const form = h("form", {},
    h("h2", {}, t("key.title")),
    h("p", {}, t("key.text")),
    h("label", { class: "field", for: "key" }, h("span", {}, t("key.label")), key),
    trouble,
    h("button", { class: "primary", type: "submit" }, t("key.open")));
  const dialog = h("dialog", { "aria-label": t("key.title") }, form);
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    try {
      await send("POST", "api/session", { key: key.value.trim() });
      dialog.close("open");
    } catch (error) {
      trouble.textContent = error instanceof ApiError && error.status === 401 ? t("key.wrong") : words(error);
    }
  });
  const answer = await ask(dialog);
  asking = false;
  if (answer === "open") await go({ again: true });
}

async function start() {
  await speak(preferred());
  frame();
  connection.addEventListener("lost", () => away(true));
  connection.addEventListener("found", () => away(false));
  connection.addEventListener("locked", unlock);
  addEventListener("hashchange", () => go());
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
    if (!stored("theme")) document.querySelector(".switches").lastChild.replaceWith(themeSwitch());
  });
  const session = await get("api/session").catch(() => null);
  if (session?.key_required && !session.authenticated) await unlock();
  await go();
  performance.mark("interactive");
}

start();

// The keys of the reading view. They can be switched off, because some people speak to their computer.

import { h } from "./dom.js";
import { t } from "./i18n.js";
import { store, stored } from "./memory.js";

const STEP_S = 5;

/** Key, what it does, and what is said of it. */
const KEYS = [
  { keys: [" ", "k"], shown: "Space", name: "toggle", act: (view) => view.player.toggle() },
  { keys: ["j", "ArrowLeft"], shown: "←", name: "back", act: (view) => view.player.seek(view.player.now - STEP_S) },
  { keys: ["l", "ArrowRight"], shown: "→", name: "ahead", act: (view) => view.player.seek(view.player.now + STEP_S) },
  { keys: ["["], shown: "[", name: "slower", act: (view) => view.player.faster(-1) },
  { keys: ["]"], shown: "]", name: "faster", act: (view) => view.player.faster(1) },
  { keys: ["/"], shown: "/", name: "search", act: (view) => view.box.focus() },
  { keys: ["n"], shown: "N", name: "doubt", act: (view) => view.nextDoubt() },
  { keys: ["e"], shown: "E", name: "edit", act: (view) => view.edit(!view.text.editing) },
];
const SILENT = new Set(["search", "edit", "doubt"]); // those that need no recording
const TYPING = "input, textarea, select, button, a, summary, dialog, [role=slider]";

/** Do what the key asks, unless somebody types, or the keys are off. */
export function shortcuts(event, view) {
  if (event.ctrlKey || event.metaKey || event.altKey || stored("keys") === "no") return;
  if (event.target.closest?.(TYPING)) return;
  const wanted = KEYS.find(({ keys }) => keys.includes(event.key));
  if (!wanted || !(view.found.audio || SILENT.has(wanted.name))) return;
  event.preventDefault();
  wanted.act(view);
}

/** The dialog that explains them. */
export function shortcutsHelp() {
  const use = h("input", { type: "checkbox", onchange: () => store("keys", use.checked ? null : "no") });
  use.checked = stored("keys") !== "no";
  return h("dialog", { "aria-label": t("keys.title") }, h("form", { method: "dialog" },
    h("h2", {}, t("keys.title")),
    h("dl", { class: "keys" }, KEYS.map(({ shown, name }) => [h("dt", {}, h("kbd", {}, shown)), h("dd", {}, t(`keys.${name}`))])),
    h("label", { class: "row" }, use, t("keys.use")),
    h("button", { class: "primary" }, t("action.close"))));
}

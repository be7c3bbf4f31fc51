// The words of the page, in the language that was chosen or that the browser asks for.

import { stored } from "./memory.js";

export const LANGUAGES = { en: "English", ru: "Русский" };

let table = {};
let plurals = new Intl.PluralRules("en");

/** "en" or "ru". */
export let language = "en";

/** The language with the customs of the country, where the browser knows them. */
export const locale = () => navigator.languages.find((one) => one.split("-")[0] === language) ?? language;

export function preferred() {
  const chosen = stored("language") ?? navigator.language ?? "en";
  return chosen.startsWith("ru") ? "ru" : "en";
}

export async function speak(code) {
  const answer = await fetch(new URL(`i18n/${code}.json`, document.baseURI));
  table = await answer.json();
  language = code;
  plurals = new Intl.PluralRules(code);
  document.documentElement.lang = code;
}

/** The sentence of that name; `{name}` in it is replaced, and `count` chooses the form of the plural. */
export function t(name, values = {}) {
  const entry = table[name] ?? name;
  const text = typeof entry === "string" ? entry : (entry[plurals.select(values.count)] ?? entry.other);
  return text.replace(/\{(\w+)\}/g, (_, key) => String(values[key] ?? ""));
}

/** As `t`, and null where there is no such sentence. */
export function known(name) {
  return name in table ? t(name) : null;
}

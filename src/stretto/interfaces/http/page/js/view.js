// What the views have in common: they live as long as they are shown, and tell what went wrong.

import { ApiError } from "./api.js";
import { h, say } from "./dom.js";
import { t } from "./i18n.js";

/** A view is a custom element; what it listens to and waits for ends with `this.signal` when it is left. */
export class View extends HTMLElement {
  connectedCallback() {
    this.leaving = new AbortController();
    this.signal = this.leaving.signal;
    Promise.resolve(this.show()).catch((error) => this.failed(error));
  }

  disconnectedCallback() {
    this.leaving.abort();
  }

  /** Errors of a view are shown in its place. */
  failed(error) {
    if (error.name === "AbortError" || this.signal.aborted) return;
    this.replaceChildren(h("h1", { tabindex: "-1" }, t("error.title")), h("p", { class: "notice bad", role: "alert" }, words(error)));
  }

  /** Do what a button asks; while it lasts the button is off, and what goes wrong is said. */
  async act(button, work) {
    button.disabled = true;
    try {
      return await work();
    } catch (error) {
      if (error.name !== "AbortError") toast(words(error), "bad");
      return undefined;
    } finally {
      button.disabled = false;
    }
  }
}

/** An error as a sentence. */
export function words(error) {
  if (error instanceof ApiError) return error.status === 0 ? t("error.unreachable") : error.message;
  return t("error.unexpected", { what: String(error?.message ?? error) });
}

/** A sentence at the edge of the page that goes away by itself. */
export function toast(text, kind = "") {
  const note = h("p", { class: `toast ${kind}` }, text);
  document.querySelector("#toasts").append(note);
  setTimeout(() => note.remove(), kind === "bad" ? 10_000 : 5_000);
}

/** A bar from 0 to 1 with a name. */
export function progressBar(name) {
  const fill = h("i");
  const bar = h("div", { class: "bar", role: "progressbar", "aria-label": name, "aria-valuemin": 0, "aria-valuemax": 100 }, fill);
  bar.update = (fraction) => {
    const share = Math.min(1, Math.max(0, fraction ?? 0));
    bar.setAttribute("aria-valuenow", Math.round(share * 100));
    fill.style.transform = `scaleX(${share})`;
  };
  return bar;
}

/** The state of a job or a transcript as a small label. */
export function badge(status) {
  const label = h("span", { class: "badge" });
  label.update = (now) => {
    label.dataset.status = now;
    say(label, t(`status.${now}`));
  };
  label.update(status);
  return label;
}

/** What a page shows when there is nothing: why, and what to do. */
export function empty(title, text, ...actions) {
  return h("div", { class: "empty" }, h("h2", {}, title), h("p", {}, text), actions);
}

/** A choice with a label above it. */
export function field(label, control, kind = "") {
  return h("label", { class: `field ${kind}` }, h("span", {}, label), control);
}

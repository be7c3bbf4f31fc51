// How times, sizes and shares are written.

import { language, locale, t } from "./i18n.js";

/** 0:07, 12:40, 1:02:03. */
export function clock(seconds) {
  const whole = Math.max(0, Math.floor(seconds ?? 0));
  const two = (number) => String(number).padStart(2, "0");
  const minutes = Math.floor(whole / 60) % 60;
  const hours = Math.floor(whole / 3600);
  return hours ? `${hours}:${two(minutes)}:${two(whole % 60)}` : `${minutes}:${two(whole % 60)}`;
}

/** A span in words, in its largest unit: 40 s, 3 min, 2 h 10 min. */
export function span(seconds) {
  const whole = Math.max(0, Math.round(seconds));
  if (whole < 60) return t("span.seconds", { n: whole });
  if (whole < 3600) return t("span.minutes", { n: Math.round(whole / 60) });
  const [hours, minutes] = [Math.floor(Math.round(whole / 60) / 60), Math.round(whole / 60) % 60];
  return minutes ? `${t("span.hours", { n: hours })} ${t("span.minutes", { n: minutes })}` : t("span.hours", { n: hours });
}

/** A moment of Unix time: the time if it was today, else the date. */
export function moment(unix) {
  const at = new Date(unix * 1000);
  const today = at.toDateString() === new Date().toDateString();
  const parts = today ? { timeStyle: "short" } : { dateStyle: "medium" };
  return new Intl.DateTimeFormat(locale(), parts).format(at);
}

/** The date and the time. */
export function fullMoment(unix) {
  return new Intl.DateTimeFormat(locale(), { dateStyle: "medium", timeStyle: "short" }).format(new Date(unix * 1000));
}

export function percent(fraction) {
  return new Intl.NumberFormat(language, { style: "percent", maximumFractionDigits: 0 }).format(fraction ?? 0);
}

export function number(value, digits = 0) {
  return new Intl.NumberFormat(language, { maximumFractionDigits: digits }).format(value).replace("-", "−");
}

export function bytes(size) {
  const step = size < 1e6 ? [1e3, "kilobyte"] : size < 1e9 ? [1e6, "megabyte"] : [1e9, "gigabyte"];
  const style = { style: "unit", unit: step[1], maximumFractionDigits: size / step[0] < 10 ? 1 : 0 };
  return new Intl.NumberFormat(language, style).format(size / step[0]);
}

/** The language of a recording by its own name in the language of the page. */
export function languageName(code) {
  if (!code) return t("language.unknown");
  try {
    return new Intl.DisplayNames([language], { type: "language" }).of(code) ?? code;
  } catch {
    return code;
  }
}

// Draws series over time as lines: a small chart that is read at a glance, and to the second under the pointer.

import { h, say, svg } from "./dom.js";
import { bytes, number, percent, span } from "./format.js";
import { known, locale, t } from "./i18n.js";

const WIDTH = 480;
const HEIGHT = 160;
const LEFT = 6;
const BOTTOM = 20;
const TOP = 8;
const COLOURS = 7;

/** How a value of each unit is written. */
const UNITS = {
  seconds: (value) => (value < 10 ? t("unit.seconds", { n: number(value, 2) }) : span(value)),
  share: percent,
  bytes,
};

/** Two digits that count: also of rates that are far below one. */
const plain = (n) => number(n, n >= 10 ? 0 : n >= 0.1 || n <= 0 ? 2 : 1 - Math.floor(Math.log10(n)));

const written = (value, unit) => (value === null || value === undefined ? "–" : (UNITS[unit] ?? plain)(value));

/** A rounded number that is at least `value`: the top of the axis. */
export function ceiling(value) {
  if (!(value > 0)) return 1;
  const power = 10 ** Math.floor(Math.log10(value));
  return [1, 2, 2.5, 5, 10].find((step) => step * power >= value) * power;
}

/** Its `update(chart)` takes `{id, title, unit, start, step_s, lines: [{name, values: [number or null]}]}`. */
export function lineChart() {
  const figure = h("figure", { class: "chart card" });
  figure.update = (chart) => {
    if (figure.matches(":hover")) return; // nobody likes what he reads to be changed
    figure.replaceChildren(...drawn(chart));
  };
  return figure;
}

/** The lines that have a value, as `{name, points: [[unix_s, value]]}`. */
export function seriesOf({ lines, start, step_s: step }) {
  return lines
    .filter((line) => line.values.some((value) => value !== null))
    .map(({ name, values }) => ({ name: known(`line.${name}`) ?? name, points: values.map((value, index) => [start + index * step, value]) }));
}

function drawn(chart) {
  const { id, unit } = chart;
  const title = known(`chart.${id}`) ?? chart.title;
  const series = seriesOf(chart);
  const points = series.flatMap((one) => one.points);
  const values = points.map(([, value]) => value).filter((value) => value !== null);
  const last = series.map((one) => [one.name, one.points.findLast(([, value]) => value !== null)?.[1] ?? null]);
  const legend = h("ul", { class: "legend" }, last.map(([name, value], index) => h("li", { "data-series": index % COLOURS }, h("i"), h("span", {}, name), h("b", {}, written(value, unit)))));
  const caption = h("figcaption", {}, h("h3", {}, title, unit === "per second" && h("small", {}, t("unit.persecond"))), legend);
  const [from, to] = [Math.min(...points.map(([at]) => at)), Math.max(...points.map(([at]) => at))];
  const top = ceiling(Math.max(...values));
  const x = (at) => LEFT + ((at - from) / Math.max(1, to - from)) * (WIDTH - 2 * LEFT);
  const y = (value) => TOP + (1 - value / top) * (HEIGHT - TOP - BOTTOM);
  const cursor = svg("line", { class: "cursor", y1: TOP, y2: HEIGHT - BOTTOM, visibility: "hidden" });
  const label = `${title}: ${last.map(([name, value]) => `${name} ${written(value, unit)}`).join(", ")}`;
  const picture = svg("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", "aria-label": label },
    [0, 0.5, 1].map((share) => [
      svg("line", { class: "grid", x1: LEFT, x2: WIDTH - LEFT, y1: y(top * share), y2: y(top * share) }),
      share > 0 && svg("text", { x: LEFT, y: y(top * share) - 3 + (share === 1 ? 14 : 0) }, written(top * share, unit)),
    ]),
    [from, (from + to) / 2, to].map((at, index) => svg("text", { x: x(at), y: HEIGHT - 5, "text-anchor": ["start", "middle", "end"][index] }, hour(at))),
    series.map((one, index) => svg("path", { class: "line", "data-series": index % COLOURS, d: path(one.points, x, y) })),
    cursor);
  picture.addEventListener("pointermove", (event) => {
    const box = picture.getBoundingClientRect();
    point(from + ((((event.clientX - box.left) / box.width) * WIDTH - LEFT) / (WIDTH - 2 * LEFT)) * (to - from));
  });
  picture.addEventListener("pointerleave", () => {
    cursor.setAttribute("visibility", "hidden");
    last.forEach(([, value], index) => say(legend.children[index].querySelector("b"), written(value, unit)));
  });

  /** Show the values of the moment under the pointer in place of the latest. */
  function point(at) {
    series.forEach((one, index) => {
      const nearest = one.points.reduce((best, other) => (Math.abs(other[0] - at) < Math.abs(best[0] - at) ? other : best), one.points[0]);
      if (nearest) say(legend.children[index].querySelector("b"), written(nearest[1], unit));
    });
    for (const end of ["x1", "x2"]) cursor.setAttribute(end, x(Math.min(to, Math.max(from, at))));
    cursor.setAttribute("visibility", "visible");
  }
  return [caption, picture];
}

/** Lines between neighbours; where a value is missing the line is broken, and never invented. */
function path(points, x, y) {
  let drawing = false;
  return points
    .map(([at, value]) => {
      if (value === null) return ((drawing = false), "");
      const command = drawing ? `L${x(at).toFixed(1)} ${y(value).toFixed(1)}` : `M${x(at).toFixed(1)} ${y(value).toFixed(1)}h0`;
      drawing = true;
      return command;
    })
    .join("");
}

const hour = (at) => new Intl.DateTimeFormat(locale(), { hour: "2-digit", minute: "2-digit" }).format(new Date(at * 1000));

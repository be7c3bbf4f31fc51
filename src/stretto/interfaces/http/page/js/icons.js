// The few pictures of the page, drawn as lines of 24 by 24.

import { svg } from "./dom.js";

const PATHS = {
  upload: "M12 16V4M7 9l5-5 5 5M4 16v3a1 1 0 0 0 1 1h14a1 1 0 0 0 1-1v-3",
  microphone: "M12 3a3 3 0 0 0-3 3v5a3 3 0 0 0 6 0V6a3 3 0 0 0-3-3ZM5 11a7 7 0 0 0 14 0M12 18v3",
  stop: "M7 7h10v10H7Z",
  play: "M8 5v14l11-7Z",
  pause: "M8 5v14M16 5v14",
  search: "M11 4a7 7 0 1 0 0 14 7 7 0 0 0 0-14ZM20 20l-4-4",
  library: "M5 4h4v16H5ZM9 4h4v16H9ZM14.5 5l3.8-1 4 15.4-3.8 1Z",
  queue: "M4 6h16M4 12h10M4 18h6",
  dashboard: "M4 20V10M10 20V4M16 20v-7M22 20H2",
  sun: "M12 8a4 4 0 1 0 0 8 4 4 0 0 0 0-8ZM12 2v2M12 20v2M4 12H2M22 12h-2M5 5l1.4 1.4M17.6 17.6 19 19M19 5l-1.4 1.4M6.4 17.6 5 19",
  moon: "M20 14.5A8.5 8.5 0 0 1 9.5 4 8.5 8.5 0 1 0 20 14.5Z",
  edit: "M4 20h4L19 9l-4-4L4 16ZM13 7l4 4",
  download: "M12 4v12M7 11l5 5 5-5M4 20h16",
  trash: "M4 7h16M9 7V4h6v3M6 7l1 13h10l1-13",
  keyboard: "M3 6h18v12H3ZM7 10h.01M11 10h.01M15 10h.01M8 14h8",
  back: "M11 5a7 7 0 1 1-6.5 4.4M4 4v5.5h5.5",
  ahead: "M13 5a7 7 0 1 0 6.5 4.4M20 4v5.5h-5.5",
  up: "M6 15l6-6 6 6",
  down: "M6 9l6 6 6-6",
  warning: "M12 4 2.5 20h19ZM12 10v4M12 17h.01",
};

/** A picture beside words: hidden from those who have it read to them. */
export function icon(name) {
  const attributes = { class: "icon", viewBox: "0 0 24 24", "aria-hidden": "true", focusable: "false" };
  return svg("svg", attributes, svg("path", { d: PATHS[name] }));
}

/** The mark: voices that enter before the last one has finished. */
export function mark() {
  const voices = [[1, 5], [6, 11], [11, 17]].map(([x, y]) => svg("rect", { x, y, width: 12, height: 3.6, rx: 1.8 }));
  return svg("svg", { class: "mark", viewBox: "0 0 24 24", "aria-hidden": "true" }, voices);
}

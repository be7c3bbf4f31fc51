// Lays the words of a transcript into its text, and finds what is searched for. Pure: no elements here.

/**
 * The text of a segment in parts, in order: `{text, from, to}` by characters, with `word` where it is one. Words are sought in
 * the text one after the other, so that it does not matter how a language parts them; those not found are left out.
 */
export function parts({ text, words = [] }) {
  const found = [];
  let end = 0;
  for (const word of words) {
    const said = word.word.trim();
    const from = said ? text.indexOf(said, end) : -1;
    if (from === -1) continue;
    if (from > end) found.push({ text: text.slice(end, from), from: end, to: from });
    end = from + said.length;
    found.push({ text: said, from, to: end, word });
  }
  if (end < text.length) found.push({ text: text.slice(end), from: end, to: text.length });
  return found;
}

/** Without regard to case and to the dots of ё; as long as the text. */
function folded(text) {
  const low = text.toLowerCase().replaceAll("ё", "е");
  return low.length === text.length ? low : text;
}

/** Where `sought` occurs: `{index, from, to}` by segment and character, in order. */
export function occurrences(texts, sought) {
  const needle = folded(sought.trim());
  const hits = [];
  if (!needle) return hits;
  for (const [index, text] of texts.entries()) {
    const hay = folded(text);
    for (let from = hay.indexOf(needle); from !== -1; from = hay.indexOf(needle, from + needle.length)) {
      hits.push({ index, from, to: from + needle.length });
    }
  }
  return hits;
}

/** The last of `items` that begins at `seconds` or before, by its number; -1 before the first. */
export function lastBegun(items, seconds) {
  let low = 0;
  let high = items.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (items[middle].start <= seconds) low = middle + 1;
    else high = middle;
  }
  return low - 1;
}

/** What became of the words of `before` in `after`: `[kind, words]` with kind same, gone or new (longest common subsequence). */
export function changes(before, after) {
  const [a, b] = [before.split(/\s+/), after.split(/\s+/)];
  const common = Array.from({ length: a.length + 1 }, () => new Uint16Array(b.length + 1));
  for (let i = a.length - 1; i >= 0; i -= 1) {
    for (let j = b.length - 1; j >= 0; j -= 1) {
      common[i][j] = a[i] === b[j] ? common[i + 1][j + 1] + 1 : Math.max(common[i + 1][j], common[i][j + 1]);
    }
  }
  const told = [];
  const tell = (kind, word) => (told.at(-1)?.[0] === kind ? told.at(-1)[1].push(word) : told.push([kind, [word]]));
  let [i, j] = [0, 0];
  while (i < a.length || j < b.length) {
    if (i < a.length && j < b.length && a[i] === b[j]) tell("same", a[(j += 1, i++)]);
    else if (j >= b.length || (i < a.length && common[i + 1][j] >= common[i][j + 1])) tell("gone", a[i++]);
    else tell("new", b[j++]);
  }
  return told.map(([kind, list]) => [kind, list.join(" ")]);
}

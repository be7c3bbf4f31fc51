// What the browser keeps for its user: choices, and work that the server does not know of yet.

export function stored(name) {
  try {
    return localStorage.getItem(name);
  } catch {
    return null; // a browser that keeps nothing asks each time
  }
}

/** Keep a text; null forgets it. */
export function store(name, value) {
  try {
    if (value === null) localStorage.removeItem(name);
    else localStorage.setItem(name, value);
  } catch {
    // It holds until the page is closed.
  }
}

/** What was kept as JSON, or `otherwise` where nothing was, or nothing that can be read. */
export function storedJson(name, otherwise) {
  try {
    return JSON.parse(stored(name)) ?? otherwise;
  } catch {
    return otherwise;
  }
}

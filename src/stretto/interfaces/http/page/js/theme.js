// Runs before the first paint, so that nobody is dazzled: not a module, which would run later.
(() => {
  try {
    const theme = localStorage.getItem("theme");
    if (theme === "light" || theme === "dark") document.documentElement.dataset.theme = theme;
  } catch {
    // A browser that keeps nothing shows what its system prefers.
  }
})();

// Runs in the head, before anything is painted: the theme of last time, or the system's.
(function () {
  let theme = null;
  try { theme = localStorage.getItem("attune-theme"); } catch { /* private window */ }
  if (theme !== "light" && theme !== "dark") {
    theme = window.matchMedia && window.matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light";
  }
  document.documentElement.setAttribute("data-bs-theme", theme);
})();

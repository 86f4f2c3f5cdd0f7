// Loaded before the page is drawn, so that a dark page is never light first.
(() => {
  const root = document.documentElement;
  const chosen = localStorage.getItem("mitoscan-theme");
  if (chosen) root.dataset.theme = chosen;
  window.flipTheme = () => {
    const now = root.dataset.theme ?? (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light");
    root.dataset.theme = now === "dark" ? "light" : "dark";
    localStorage.setItem("mitoscan-theme", root.dataset.theme);
  };
})();

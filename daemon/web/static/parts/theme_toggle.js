// Light or dark: the system's choice, until somebody makes another one on this device.
const root = document.documentElement;
const system = matchMedia("(prefers-color-scheme: dark)");

function isDark() {
  return root.dataset.theme ? root.dataset.theme === "dark" : system.matches;
}

function show() {
  for (const button of document.querySelectorAll("[data-theme-toggle]")) {
    button.setAttribute("aria-pressed", String(isDark()));
  }
  document.dispatchEvent(new CustomEvent("strongroom:theme", { detail: { dark: isDark() } }));
}

function choose(theme) {
  const asSystem = (theme === "dark") === system.matches;
  if (asSystem) delete root.dataset.theme;
  else root.dataset.theme = theme;
  try {
    if (asSystem) localStorage.removeItem("strongroom-theme");
    else localStorage.setItem("strongroom-theme", theme);
  } catch {
    // It lasts as long as the page.
  }
  show();
}

document.addEventListener("click", (event) => {
  if (event.target.closest("[data-theme-toggle]")) choose(isDark() ? "light" : "dark");
});
system.addEventListener("change", show);
show();

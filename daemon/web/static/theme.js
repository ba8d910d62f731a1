// Loaded before the page is drawn, so that it never flashes in the other theme.
(function () {
  "use strict";
  var root = document.documentElement;
  root.classList.add("js");
  try {
    var chosen = localStorage.getItem("strongroom-theme");
    if (chosen === "light" || chosen === "dark") root.dataset.theme = chosen;
  } catch (error) {
    // Without storage the system's theme is the theme.
  }
})();

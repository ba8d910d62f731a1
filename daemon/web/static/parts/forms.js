// Forms: the first thing that is wrong gets the focus, filters apply themselves, and a second click sends nothing twice.
document.querySelector("main [data-focus]")?.focus();

document.addEventListener("change", (event) => {
  const form = event.target.closest("form[data-apply]");
  if (form && event.target.matches("select, input[type=checkbox], input[type=radio]")) form.requestSubmit();
});

document.addEventListener("submit", (event) => {
  const form = event.target;
  if (event.defaultPrevented || form.method !== "post") return;
  if (form.dataset.sent) event.preventDefault();
  form.dataset.sent = "yes";
});

// A page that comes back from the browser's cache was sent, and may be sent again.
addEventListener("pageshow", () => {
  for (const form of document.querySelectorAll("form[data-sent]")) delete form.dataset.sent;
});

// The answer to a form that shows a secret once: loading it again shall not make another one.
if (document.querySelector("[data-once]")) history.replaceState(null, "", document.querySelector("[data-once]").dataset.once);

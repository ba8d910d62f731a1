// Copy buttons: data-copy is the text itself, or #id of the element that holds it.
document.addEventListener("click", async (event) => {
  const button = event.target.closest("[data-copy]");
  if (!button) return;
  const what = button.dataset.copy;
  const text = what.startsWith("#") ? document.querySelector(what).textContent : what;
  const label = button.getAttribute("aria-label");
  const span = button.querySelector("span");
  const words = span?.textContent;
  try {
    await navigator.clipboard.writeText(text);
    button.dataset.copied = "yes";
    if (label) button.setAttribute("aria-label", "Copied");
    if (span) span.textContent = "Copied";
  } catch {
    // No clipboard without https: the text is selected, and the keyboard copies it.
    const source = what.startsWith("#") ? document.querySelector(what) : button.previousElementSibling;
    if (source) getSelection().selectAllChildren(source);
    return;
  }
  setTimeout(() => {
    delete button.dataset.copied;
    if (label) button.setAttribute("aria-label", label);
    if (span) span.textContent = words;
  }, 2000);
});

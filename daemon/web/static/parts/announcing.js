// Says something to whoever cannot see that the page has changed.
const region = document.getElementById("announcer");

export function announce(text) {
  if (region && text) region.textContent = text;
}

// Parts with data-announce are said when their text is another one than before.
const said = new Map();

function look(speak) {
  for (const element of document.querySelectorAll("[data-announce]")) {
    const text = element.textContent.trim();
    if (speak && said.get(element.dataset.announce) !== text) announce(text);
    said.set(element.dataset.announce, text);
  }
  const title = document.querySelector("[data-title]")?.dataset.title;
  if (title && document.title !== title) document.title = title;
}

look(false);
document.addEventListener("htmx:afterSwap", () => look(true));

// What came with the page is not news to a reader of screens, unless it is written once more.
const toasts = [...document.querySelectorAll("#toasts p")].map((paragraph) => paragraph.textContent);
if (toasts.length > 0) setTimeout(() => announce(toasts.join(" ")), 500);

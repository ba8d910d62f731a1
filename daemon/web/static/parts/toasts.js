// Short messages: those that came with the page, and what went wrong with a part of it.
const AWAY_AFTER_MS = 10_000;
const box = document.getElementById("toasts");

export function toast(text, tone = "problem") {
  const template = document.getElementById("toast-template");
  if (!box || !template) return;
  const made = template.content.firstElementChild.cloneNode(true);
  made.dataset.tone = tone;
  made.querySelector("p").textContent = text;
  box.append(made);
  if (tone === "good") leave(made);
}

function leave(element) {
  setTimeout(() => {
    if (element.matches(":hover, :focus-within")) leave(element);
    else element.remove();
  }, AWAY_AFTER_MS);
}

for (const element of document.querySelectorAll('.toast[data-tone="good"]')) leave(element);

document.addEventListener("click", (event) => {
  if (event.target.closest("[data-dismiss]")) event.target.closest(".toast").remove();
});

document.addEventListener("htmx:responseError", (event) => {
  const answer = event.detail.xhr;
  let words = `The coordinator answered with status ${answer.status}.`;
  try {
    words = JSON.parse(answer.responseText).detail || words;
  } catch {
    // Not one of our problems: the status has to do.
  }
  toast(words);
});

document.addEventListener("htmx:sendError", (event) => {
  // What refreshes by itself fails quietly: the sign of live updates tells of it.
  if (!event.detail.elt.closest("[data-live]")) toast("The coordinator does not answer. Try again in a moment.");
});

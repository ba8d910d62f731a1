// Single keys outside of text fields, unless somebody switched them off on this device.
const PLACES = { o: "/", s: "/services", p: "/projects", n: "/nodes", a: "/activity" };
const NEXT_KEY_MS = 1500;
const help = document.getElementById("help");
const box = document.querySelector("[data-shortcuts]");
let goes = 0;

function on() {
  try {
    return localStorage.getItem("strongroom-shortcuts") !== "off";
  } catch {
    return true;
  }
}

function writes(target) {
  return target.closest("input, textarea, select, [contenteditable], dialog[open]") !== null;
}

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || writes(event.target) || !on()) return;
  const wasGoing = Date.now() - goes < NEXT_KEY_MS;
  goes = 0;
  if (wasGoing && PLACES[event.key]) location.assign(PLACES[event.key]);
  else if (event.key === "g") goes = Date.now();
  else if (event.key === "/") find(event);
  else if (event.key === "?") help?.showModal();
});

function find(event) {
  const fields = [...document.querySelectorAll("[data-search]")].filter((field) => field.checkVisibility());
  const field = fields.find((each) => each.closest("main")) ?? fields[0];
  if (!field) return;
  event.preventDefault();
  field.focus();
  field.select();
}

document.addEventListener("click", (event) => {
  if (event.target.closest("[data-help]")) help?.showModal();
});

if (box) {
  box.checked = on();
  box.addEventListener("change", () => {
    try {
      localStorage.setItem("strongroom-shortcuts", box.checked ? "on" : "off");
    } catch {
      // It lasts as long as the page.
    }
  });
}

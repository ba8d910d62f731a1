// Keeps "3 min ago" true while the page is open, and adds the time of this place to the title.
const UNITS = [[86400, "d"], [3600, "h"], [60, "min"]];

function largest(seconds) {
  for (const [unit, name] of UNITS) if (seconds >= unit) return `${Math.floor(seconds / unit)} ${name}`;
  return `${Math.floor(seconds)} s`;
}

// As daemon.cli.figures says it.
function words(kind, seconds) {
  if (kind === "ago") return seconds < 5 ? "just now" : `${largest(seconds)} ago`;
  return -seconds < 1 ? "now" : `in ${largest(-seconds)}`;
}

// How far the clock of this device is from the server's.
const skew = Date.parse(document.body.dataset.now ?? "") - Date.now() || 0;

function refresh() {
  const now = Date.now() + skew;
  for (const time of document.querySelectorAll("time[data-time]")) {
    const text = words(time.dataset.time, (now - Date.parse(time.dateTime)) / 1000);
    if (time.textContent !== text) time.textContent = text;
  }
}

const local = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "medium" });
document.addEventListener("pointerover", (event) => {
  const time = event.target.closest?.("time[title]");
  if (!time || time.dataset.local) return;
  time.dataset.local = "yes";
  time.title += `\n${local.format(new Date(time.dateTime))} here`;
});

setInterval(refresh, 10_000);

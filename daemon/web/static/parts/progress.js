// How far runs are: elements with data-run="<id>" hold a bar and words.  Nothing here is announced: it changes every second.
const UNITS = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];

// As daemon.cli.figures says it.
export function size(bytes) {
  let value = bytes;
  let unit = 0;
  while (value >= 999.5 && unit < UNITS.length - 1) {
    value /= 1024;
    unit += 1;
  }
  if (unit === 0) return `${Math.round(value)} B`;
  return `${value.toFixed(value < 9.995 ? 2 : value < 99.95 ? 1 : 0)} ${UNITS[unit]}`;
}

export function duration(seconds) {
  const whole = Math.max(0, Math.round(seconds));
  if (whole < 60) return `${whole} s`;
  if (whole < 3600) return `${Math.floor(whole / 60)} min`;
  return `${Math.floor(whole / 3600)} h ${Math.floor((whole % 3600) / 60)} min`;
}

const shown = new Map();

function show(progress) {
  shown.set(progress.run_id, progress);
  for (const element of document.querySelectorAll(`[data-run="${CSS.escape(progress.run_id)}"]`)) draw(element, progress);
}

function draw(element, progress) {
  const { plain_bytes: done, estimate_bytes: whole, elapsed_s: elapsed } = progress;
  const bar = element.querySelector("[data-run-bar]");
  const words = element.querySelector("[data-run-words]");
  const part = whole > 0 ? Math.min(done / whole, 0.99) : 0;
  if (bar) {
    bar.hidden = false;
    if (part > 0) bar.value = part;
    else bar.removeAttribute("value");
  }
  if (!words) return;
  const said = [progress.phase, `${size(progress.stored_bytes)} stored`];
  if (elapsed > 1 && progress.stored_bytes) said.push(`${size(progress.stored_bytes / elapsed)}/s`);
  if (part > 0.02 && elapsed > 3) said.push(`about ${duration((elapsed / part) * (1 - part))} left`);
  words.textContent = said.join(" · ");
}

document.addEventListener("strongroom:progress", (event) => show(event.detail));
// A part that was made anew shows what was known before.
document.addEventListener("htmx:afterSwap", () => {
  for (const element of document.querySelectorAll("[data-run]")) {
    const known = shown.get(element.dataset.run);
    if (known) draw(element, known);
  }
});

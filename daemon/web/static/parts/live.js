// One feed for the page: parts with data-live ask for themselves again when something of their kind happens.
//
//   <section data-live="backup restore node" hx-get="…" hx-trigger="live" hx-swap="…">
//
// The words are the first halves of event types; data-live-project and data-live-service narrow them.  Progress of runs is
// passed on as the event strongroom:progress of the document.  A page that nobody looks at has no feed: browsers have few
// connections for each server.
const SOON_MS = 250;
const CALM_MS = 2000;
const EVERY_MS = 60_000;
const state = document.querySelector("[data-live-state]");
const words = document.querySelector("[data-live-words]");
const waiting = new Map();
let feed = null;
let wasAway = false;

function parts() {
  return document.querySelectorAll("[data-live]");
}

function concerns(part, change) {
  const { live, liveProject, liveService } = part.dataset;
  if (live !== "all" && !live.split(" ").includes(change.type.split(".")[0])) return false;
  if (liveProject && change.project && change.project !== liveProject) return false;
  return !(liveService && change.service && change.service !== liveService);
}

// Many events at once are one refresh, and refreshes keep their distance.
function refresh(part) {
  const key = part.id || part;
  if (waiting.has(key)) return;
  const last = Number(part.dataset.refreshed || 0);
  const pause = Math.max(SOON_MS, last + CALM_MS - Date.now());
  waiting.set(key, setTimeout(() => {
    waiting.delete(key);
    const present = part.isConnected ? part : document.getElementById(part.id);
    if (!present) return;
    present.dataset.refreshed = String(Date.now());
    htmx.trigger(present, "live");
  }, pause));
}

function refreshAll() {
  for (const part of parts()) refresh(part);
}

function show(tone, text) {
  if (!state) return;
  state.hidden = false;
  state.dataset.tone = tone;
  if (words.textContent !== text) words.textContent = text;
}

function open() {
  const url = document.body.dataset.liveUrl;
  if (feed || !url || document.hidden || parts().length === 0) return;
  feed = new EventSource(url);
  feed.addEventListener("hello", (event) => {
    show("good", "Live");
    // What happened between the making of the page and now is not in it, and was not heard of.
    if (wasAway || JSON.parse(event.data).seen > Number(document.body.dataset.seen)) refreshAll();
    wasAway = false;
  });
  feed.addEventListener("change", (event) => {
    const change = JSON.parse(event.data);
    for (const part of parts()) if (concerns(part, change)) refresh(part);
    document.dispatchEvent(new CustomEvent("strongroom:change", { detail: change }));
  });
  feed.addEventListener("progress", (event) => {
    document.dispatchEvent(new CustomEvent("strongroom:progress", { detail: JSON.parse(event.data) }));
  });
  feed.addEventListener("error", () => {
    wasAway = true;
    if (feed.readyState === EventSource.CLOSED) {
      show("problem", "Not live: load the page again");
      feed = null;
    } else {
      show("warning", "Connecting …");
    }
  });
}

document.addEventListener("visibilitychange", () => {
  if (document.hidden) {
    feed?.close();
    feed = null;
    wasAway = true;
  } else {
    open();
  }
});

// A part that comes back as it was is left as it is: nothing is announced, nothing jumps.
const before = new WeakMap();
document.addEventListener("htmx:beforeSwap", (event) => {
  const part = event.detail.target;
  if (!part.matches?.("[data-live]") || event.detail.xhr.status !== 200) return;
  const text = event.detail.xhr.responseText.replace(/(<time[^>]*>)[^<]*<\/time>/g, "$1");
  if (before.get(part) === text) event.detail.shouldSwap = false;
  before.set(part, text);
});

// What changes by the clock alone, such as a run that is overdue, no event tells of.
setInterval(() => {
  if (feed?.readyState === EventSource.OPEN) refreshAll();
}, EVERY_MS);

addEventListener("pagehide", () => {
  feed?.close();
  feed = null;
  wasAway = true;
});
addEventListener("pageshow", open);
open();

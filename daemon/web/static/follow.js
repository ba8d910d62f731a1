// Panels of runs under way: each [data-follow] has a feed of ready parts, which ends with the run.
const MOST_LINES = 500;
const feeds = new Map();

function follow(panel) {
  const feed = new EventSource(panel.dataset.follow);
  feeds.set(panel, feed);
  const part = (name) => panel.querySelector(`[data-follow-${name}]`);
  feed.addEventListener("picture", (event) => {
    part("picture").innerHTML = event.data;
  });
  feed.addEventListener("words", (event) => {
    part("words").textContent = event.data;
  });
  feed.addEventListener("line", (event) => {
    const log = part("log");
    const wasAtEnd = log.scrollTop + log.clientHeight >= log.scrollHeight - 8;
    log.insertAdjacentHTML("beforeend", event.data);
    while (log.childElementCount > MOST_LINES) log.firstElementChild.remove();
    if (wasAtEnd) log.scrollTop = log.scrollHeight;
  });
  feed.addEventListener("over", () => {
    leave(panel);
    // The page around knows how to show what has ended.
    const around = panel.closest("[data-live]");
    if (around) htmx.trigger(around, "live");
  });
  feed.addEventListener("end", (event) => {
    if (JSON.parse(event.data).reason === "refused") leave(panel);
  });
}

function leave(panel) {
  feeds.get(panel)?.close();
  feeds.delete(panel);
}

function look() {
  for (const panel of feeds.keys()) if (!panel.isConnected || document.hidden) leave(panel);
  if (document.hidden) return;
  for (const panel of document.querySelectorAll("[data-follow]")) {
    if (feeds.has(panel)) continue;
    // A feed begins with the first line that is kept.
    panel.querySelector("[data-follow-log]").replaceChildren();
    follow(panel);
  }
}

document.addEventListener("htmx:afterSettle", look);
document.addEventListener("visibilitychange", look);
addEventListener("pagehide", () => [...feeds.keys()].forEach(leave));
addEventListener("pageshow", look);
look();

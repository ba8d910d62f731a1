// Sizes and durations over time, drawn by uPlot; the arrow keys go from backup to backup, and say what they come to.
const UNITS = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];
const HEIGHT = 260;
const boxes = [...document.querySelectorAll("[data-chart]")];

function size(bytes) {
  let value = bytes;
  let unit = 0;
  while (value >= 999.5 && unit < UNITS.length - 1) {
    value /= 1024;
    unit += 1;
  }
  return `${unit ? Number(value.toPrecision(3)) : Math.round(value)} ${UNITS[unit]}`;
}

function duration(seconds) {
  if (seconds < 10) return `${Math.round(seconds * 10) / 10} s`;
  if (seconds < 60) return `${Math.round(seconds)} s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min${Math.round(seconds % 60) ? ` ${Math.round(seconds % 60)} s` : ""}`;
  return `${Math.floor(seconds / 3600)} h${Math.floor((seconds % 3600) / 60) ? ` ${Math.floor((seconds % 3600) / 60)} min` : ""}`;
}

function when(seconds) {
  return `${new Date(seconds * 1000).toISOString().slice(0, 16).replace("T", " ")} UTC`;
}

const MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
const DAY_S = 86_400;

// Dates that nobody reads wrongly: 17 Oct; with the year where that changes, with the time where days are divided.
function dates(seconds, stepS) {
  let year = null;
  return seconds.map((each) => {
    const date = new Date(each * 1000);
    const day = `${date.getUTCDate()} ${MONTHS[date.getUTCMonth()]}`;
    const time = date.toISOString().slice(11, 16);
    const changed = date.getUTCFullYear() !== year;
    year = date.getUTCFullYear();
    if (stepS < DAY_S) return changed || time === "00:00" ? `${time}\n${day}` : time;
    return changed ? `${day}\n${year}` : day;
  });
}

const powers = [];
for (let power = 0; power < 50; power += 1) powers.push(2 ** power);
const times = [0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 28800, 43200, 86400];

const KINDS = {
  size: {
    columns: (data) => [data.at, data.plain_bytes, data.stored_bytes],
    series: [["Data", "--quiet"], ["Stored", "--accent"]],
    words: size,
    incrs: powers,
  },
  duration: {
    columns: (data) => [data.at, data.took_s],
    series: [["Took", "--accent"]],
    words: duration,
    incrs: times,
  },
};

function colour(name) {
  // light-dark() resolves where it is used: a property that browsers compute tells the colour of this theme.
  const probe = document.createElement("span");
  probe.style.color = `var(${name})`;
  document.body.append(probe);
  const found = getComputedStyle(probe).color;
  probe.remove();
  return found;
}

function draw(box, data) {
  const kind = KINDS[box.dataset.chart];
  const axis = { stroke: colour("--quiet"), grid: { stroke: colour("--line"), width: 1 }, ticks: { stroke: colour("--line"), width: 1 }, font: "12px system-ui" };
  const few = data.at.length < 120;
  const options = {
    width: Math.max(240, box.clientWidth),
    height: HEIGHT,
    tzDate: (seconds) => uPlot.tzDate(new Date(seconds * 1000), "Etc/UTC"),
    scales: { y: { range: (_, __, most) => [0, Math.max(1, most * 1.08)] } },
    cursor: { drag: { x: true, y: false }, points: { size: 7 } },
    legend: { live: true },
    axes: [{ ...axis, values: (_, seconds, __, ___, stepS) => dates(seconds, stepS) }, { ...axis, size: 84, incrs: kind.incrs, values: (_, values) => values.map(kind.words) }],
    series: [
      { label: "Backup", value: (_, at) => (at == null ? "–" : when(at)) },
      ...kind.series.map(([label, name], index) => ({
        label,
        stroke: colour(name),
        width: 2,
        fill: index === kind.series.length - 1 ? colour("--chart-ground") : undefined,
        points: { show: few, size: 5, fill: colour(name) },
        value: (_, value) => (value == null ? "–" : kind.words(value)),
      })),
    ],
  };
  box.replaceChildren();
  return new uPlot(options, kind.columns(data), box);
}

function prepare(box, data) {
  const words = document.querySelector(`[data-chart-words="${box.dataset.chart}"]`);
  const kind = KINDS[box.dataset.chart];
  let plot = draw(box, data);
  let at = -1;

  const show = (index) => {
    at = Math.min(data.at.length - 1, Math.max(0, index));
    const columns = kind.columns(data);
    plot.setCursor({ left: plot.valToPos(data.at[at], "x"), top: plot.valToPos(columns.at(-1)[at] ?? 0, "y") });
    const values = kind.series.map(([label], index) => {
      const value = columns[index + 1][at];
      return `${label.toLowerCase()} ${value == null ? "unknown" : kind.words(value)}`;
    });
    words.textContent = `${when(data.at[at])}: ${values.join(", ")}`;
  };

  box.addEventListener("keydown", (event) => {
    const steps = { ArrowRight: at + 1, ArrowLeft: at < 0 ? data.at.length - 1 : at - 1, Home: 0, End: data.at.length - 1 };
    if (event.key in steps) {
      event.preventDefault();
      show(steps[event.key]);
    } else if (event.key === "Enter" && at >= 0) {
      location.assign(`${box.dataset.backups}/${data.ids[at]}`);
    }
  });
  document.addEventListener("strongroom:theme", () => {
    plot.destroy();
    plot = draw(box, data);
  });
  new ResizeObserver(() => {
    const width = Math.max(240, box.clientWidth);
    if (width !== plot.width) plot.setSize({ width, height: HEIGHT });
  }).observe(box.parentElement);
}

async function begin() {
  if (boxes.length === 0) return;
  const answer = await fetch(boxes[0].dataset.source, { headers: { Accept: "application/json" } });
  if (!answer.ok) {
    for (const box of boxes) box.textContent = "The figures cannot be loaded at the moment; the table below has them.";
    return;
  }
  const data = await answer.json();
  for (const box of boxes) prepare(box, data);
  if (data.left_out) document.querySelector("[data-chart-words]").textContent = `The newest ${data.at.length} of ${data.at.length + data.left_out} backups.`;
}

begin();

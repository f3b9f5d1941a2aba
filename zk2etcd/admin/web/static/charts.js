// Small charts of the last 15 minutes, drawn with the DOM; each says in words what it shows.

const SVG = "http://www.w3.org/2000/svg";
const WIDTH = 600;
const HEIGHT = 100;
const SPANS = [120, 300, 600, 900]; // s: a supervisor that just started shows what there is
const KINDS = {
  lag: { title: "Lag", least: 5, show: duration },
  rate: { title: "Keys written a second", least: 10, show: rate },
};
const CURSORS = new WeakMap(); // host -> index of the sample under the pointer
const DRAWN = new WeakMap(); // host -> version of the samples

export function draw(recent) {
  for (const host of document.querySelectorAll("[data-chart]")) {
    if (DRAWN.get(host) === recent.version) continue;
    DRAWN.set(host, recent.version);
    drawOne(host, recent);
  }
}

// Pointer and arrow keys read single samples off the large charts.
export function listen(recent) {
  for (const host of document.querySelectorAll(".chart.large")) {
    const move = (index) => {
      if (index === null) CURSORS.delete(host);
      else CURSORS.set(host, Math.max(0, Math.min(recent.at.length - 1, index)));
      drawOne(host, recent);
    };
    host.addEventListener("pointermove", (event) => {
      const box = host.getBoundingClientRect();
      const { start, span } = extent(recent.at);
      const moment = start + ((event.clientX - box.left) / box.width) * span;
      move(recent.at.length ? nearest(recent.at, moment) : null);
    });
    host.addEventListener("pointerleave", () => move(null));
    host.addEventListener("blur", () => move(null));
    host.addEventListener("keydown", (event) => {
      const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
      if (!step || !recent.at.length) return;
      event.preventDefault();
      move((CURSORS.get(host) ?? recent.at.length - (step < 0 ? 0 : 1)) + step);
    });
  }
}

function drawOne(host, recent) {
  const kind = KINDS[host.dataset.chart];
  const values = recent.values(host.dataset.chart, host.dataset.shard);
  const bands = host.dataset.shard ? recent.values("progress", host.dataset.shard) : [];
  const large = host.classList.contains("large");
  const { start, span } = extent(recent.at);
  const known = values.filter((value) => value !== null);
  const top = ceiling(Math.max(kind.least, ...known));
  const x = (index) => ((recent.at[index] - start) / span) * WIDTH;
  const y = (value) => HEIGHT - (value / top) * HEIGHT;

  const svg = element("svg", {
    viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", role: "img",
    "aria-label": said(kind, host.dataset.name, known, span),
  });
  for (const [from, to] of runs(bands)) {
    const left = x(Math.max(0, from - 1));
    svg.append(element("rect", {
      class: "band", x: left, y: 0, width: Math.max(2, x(to) - left), height: HEIGHT }));
  }
  if (large) for (const share of [0, 0.5]) svg.append(rule("grid", 0, WIDTH, HEIGHT * share));
  svg.append(rule("base", 0, WIDTH, HEIGHT));
  for (const [from, to] of runs(values)) {
    const points = [];
    for (let index = from; index <= to; index++) {
      points.push(`${x(index).toFixed(1)} ${y(values[index]).toFixed(1)}`);
    }
    if (from === to) points.push(points[0]); // a dot
    const line = `M${points.join("L")}`;
    svg.append(element("path", {
      class: "area", d: `${line}V${HEIGHT}H${x(from).toFixed(1)}Z` }));
    svg.append(element("path", { class: "line", d: line }));
  }
  host.replaceChildren(svg);
  if (large) annotate(host, svg, recent, values, { kind, top, span, x });
}

function annotate(host, svg, recent, values, { kind, top, span, x }) {
  host.append(label("top", kind.show(top)), label("from", `${span / 60} min ago`));
  host.append(label("to", "now"));
  const cursor = CURSORS.get(host);
  const index = cursor ?? values.length - 1;
  const readout = document.querySelector(`.readout[data-for="${host.dataset.chart}"]`);
  const value = values[index] ?? null;
  let words = value === null ? "no samples yet" : kind.show(value);
  if (cursor !== undefined && recent.at.length) {
    const at = element("line", { class: "cursor", x1: x(index), x2: x(index), y1: 0, y2: HEIGHT });
    svg.append(at);
    const moment = new Date(recent.at[index] * 1000).toLocaleTimeString([], { hour12: false });
    words = `${moment} · ${value === null ? "unknown" : kind.show(value)}`;
  }
  if (readout.textContent !== words) readout.textContent = words;
}

function said(kind, name, known, span) {
  const what = `${kind.title}${name ? ` of ${name}` : ""} over the last ${span / 60} minutes`;
  if (!known.length) return `${what}: no samples yet`;
  const now = kind.show(known[known.length - 1]);
  return `${what}: now ${now}, highest ${kind.show(Math.max(...known))}`;
}

function extent(at) {
  const now = at.length ? at[at.length - 1] : 0;
  const age = at.length ? now - at[0] : 0;
  const span = SPANS.find((each) => each >= age) ?? SPANS[SPANS.length - 1];
  return { start: now - span, span };
}

function nearest(at, moment) {
  let best = 0;
  for (let index = 1; index < at.length; index++) {
    if (Math.abs(at[index] - moment) < Math.abs(at[best] - moment)) best = index;
  }
  return best;
}

// [first, last] of each run of known values.
function runs(values) {
  const found = [];
  values.forEach((value, index) => {
    if (value === null) return;
    const last = found[found.length - 1];
    if (last && last[1] === index - 1) last[1] = index;
    else found.push([index, index]);
  });
  return found;
}

function ceiling(value) {
  const power = 10 ** Math.floor(Math.log10(value));
  return [1, 2, 5, 10].map((step) => step * power).find((each) => each >= value);
}

function element(name, attributes) {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  return made;
}

function rule(name, from, to, height) {
  return element("line", { class: name, x1: from, x2: to, y1: height, y2: height });
}

function label(place, words) {
  const made = document.createElement("span");
  made.className = `label ${place}`;
  made.setAttribute("aria-hidden", "true");
  made.textContent = words;
  return made;
}

function duration(seconds) {
  if (seconds < 1) return `${Math.round(seconds * 1000)} ms`;
  if (seconds < 60) return `${seconds < 9.95 ? seconds.toFixed(1) : Math.round(seconds)} s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)}m ${Math.round(seconds % 60)}s`;
  return `${Math.floor(seconds / 3600)}h ${Math.round((seconds % 3600) / 60)}m`;
}

function rate(value) {
  const digits = value >= 10 || value === 0 ? 0 : 1;
  return `${value.toLocaleString("en-US", { maximumFractionDigits: digits })}/s`;
}

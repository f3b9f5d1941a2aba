// Brings the page up to date in place. The server draws it, so this asks for it again and takes
// over what differs; without JavaScript the browser reloads the page by itself.
import * as charts from "./charts.js";
import * as copying from "./copying.js";
import { morph } from "./morph.js";
import { Recent } from "./recent.js";

const EVERY = 2000; // ms
const PATIENCE = 5000;
const AT_MOST = 30000;
// Of the supervisor's time: a page of many hundred shards asks less often.
const SHARE = 20;

const lost = document.getElementById("lost");
const pulse = document.getElementById("pulse");
const recent = new Recent();
let timer = 0;
let since = null;
let asking = false;

async function refresh() {
  if (asking) return; // when it is done it sees that the tab is shown again
  asking = true;
  const started = performance.now();
  const text = await ask();
  const waited = performance.now() - started;
  try {
    if (text === null) missing();
    else show(text);
  } finally {
    asking = false;
    clearTimeout(timer);
    if (!document.hidden) timer = setTimeout(refresh, pause(waited));
  }
}

// The page anew, null when there is no answer; the samples that are new are taken in as well.
async function ask() {
  const signal = AbortSignal.timeout(PATIENCE);
  try {
    const answer = await fetch(`.${location.search}`, { signal });
    if (!answer.ok) return null;
    const text = await answer.text();
    await recent.refresh(signal);
    return text;
  } catch {
    return null;
  }
}

function show(text) {
  const fresh = new DOMParser().parseFromString(text, "text/html");
  morph(document.querySelector("main"), fresh.querySelector("main"));
  charts.draw(recent);
  document.title = fresh.title;
  found();
}

function pause(waited) {
  return since ? EVERY : Math.min(AT_MOST, Math.max(EVERY, waited * SHARE));
}

function found() {
  since = null;
  lost.hidden = true;
  document.documentElement.classList.remove("lost");
  if (!document.hidden) pulse.textContent = `live · ${clock(new Date())}`;
}

function missing() {
  since ??= new Date();
  const words = `The supervisor has not answered since ${clock(since)}. What you see is old.`;
  if (lost.textContent !== words) lost.textContent = words;
  lost.hidden = false;
  document.documentElement.classList.add("lost");
  document.title = "No answer · zk2etcd";
  pulse.textContent = "no answer";
}

function clock(moment) {
  return moment.toLocaleTimeString([], { hour12: false });
}

document.addEventListener("visibilitychange", () => {
  clearTimeout(timer);
  if (document.hidden) pulse.textContent = "paused while this tab is hidden";
  else refresh();
});
copying.offer();
charts.listen(recent);
refresh();

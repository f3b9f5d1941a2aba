// Brings the page up to date in place, so that scroll and selection stay; without it the browser
// reloads the page by itself.
"use strict";

const EVERY = 2000;

async function refresh() {
  let lost = true;
  try {
    const answer = await fetch(".", { signal: AbortSignal.timeout(EVERY * 2) });
    if (answer.ok) {
      const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
      document.querySelector("main").replaceWith(fresh.querySelector("main"));
      document.title = fresh.title;
      lost = false;
    }
  } catch (error) {
    console.warn("no answer from the supervisor", error);
  }
  document.getElementById("lost").hidden = !lost;
  setTimeout(refresh, EVERY);
}

setTimeout(refresh, EVERY);

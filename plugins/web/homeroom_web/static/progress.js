// Follows a run; when it has ended, the page is loaded with what can be done then. Without this script one looks again.
"use strict";
const live = document.getElementById("live");

async function look() {
  try {
    const answer = await fetch(live.dataset.from, { headers: { Accept: "text/html" }, redirect: "error" });
    if (answer.ok) live.innerHTML = await answer.text();
    if (document.getElementById("progress")?.dataset.underWay === "no") return location.reload();
  } catch {
    // The network is away for a moment: the next turn tries again.
  }
  setTimeout(look, 1500);
}

setTimeout(look, 500);

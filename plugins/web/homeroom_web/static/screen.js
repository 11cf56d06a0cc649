// Fetches the next code when this one ends, and how many are in every few seconds.
"use strict";
const place = document.getElementById("code");
const OFTEN = 3000;

async function renew() {
  try {
    const answer = await fetch(place.dataset.from, { headers: { Accept: "text/html" }, redirect: "error" });
    if (answer.ok) place.innerHTML = await answer.text();
  } catch {
    // The network is away for a moment: the next turn tries again.
  }
  wait();
}

function wait() {
  const digits = place.querySelector("[data-until]");
  const left = digits ? Date.parse(digits.dataset.until) - Date.now() : OFTEN;
  setTimeout(renew, Math.max(200, Math.min(left, OFTEN)));
}

wait();

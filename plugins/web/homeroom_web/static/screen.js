// Counts down to the next code and fetches it then; how many are in, every few seconds.
"use strict";
const place = document.getElementById("code");
const OFTEN = 3000;
let end = 0;

function begin() {
  const left = place.querySelector("[data-left]");
  end = left ? performance.now() + Number(left.textContent) * 1000 : 0; // by the server's clock: ours may be wrong
}

function tick() {
  const left = place.querySelector("[data-left]");
  if (left) left.textContent = Math.max(0, Math.ceil((end - performance.now()) / 1000));
}

async function renew() {
  try {
    const answer = await fetch(place.dataset.from, { headers: { Accept: "text/html" }, redirect: "error" });
    if (answer.ok) {
      place.innerHTML = await answer.text();
      begin();
    }
  } catch {
    // The network is away for a moment: the next turn tries again.
  }
  wait();
}

function wait() {
  const left = end ? end - performance.now() : OFTEN;
  setTimeout(renew, Math.max(200, Math.min(left, OFTEN)));
}

begin();
setInterval(tick, 250);
wait();

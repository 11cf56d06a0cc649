// Counts down to the next code and fetches it then; how many are in, as they come.
"use strict";
const place = document.getElementById("code");
const here = document.getElementById("here");
const LONGEST = 30000;
const IN = ["present", "tardy"];
const statuses = new Map(Object.entries(JSON.parse(here.dataset.marks)));
let end = 0;
let pause = 0; // after a failure, longer and longer

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
    if (!answer.ok) throw new Error(answer.status);
    place.innerHTML = await answer.text();
    begin();
    pause = 0;
  } catch {
    pause = Math.min(Math.max(1000, 2 * pause), LONGEST);
  }
  wait();
}

function wait() {
  const left = end ? end - performance.now() : LONGEST;
  setTimeout(renew, Math.max(200, pause, Math.min(left, LONGEST)));
}

function take(message) {
  const session = message.session_id ?? message.session?.id;
  if (session !== here.dataset.session) return;
  if (message.type === "session") return location.reload();
  if (message.type === "hello") statuses.clear();
  for (const mark of message.marks ?? [message]) {
    statuses.set(mark.student_id, message.type === "withdrawn" ? "" : mark.status);
  }
  const many = [...statuses.values()].filter((status) => IN.includes(status)).length;
  here.textContent = here.dataset.text.replace("{here}", many);
}

begin();
setInterval(tick, 250);
wait();
follow(here.dataset.class, take);

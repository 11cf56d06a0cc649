// The tablet at the door: answers without leaving the page, goes back to the start by itself, and says when the network is away.
"use strict";
const main = document.getElementById("main");
const away = document.getElementById("away");
const said = document.getElementById("said");
const ANSWER = 6000, IDLE = 30000, LOOK = 60000, AGAIN = 5000;
let turn = 0, timer = 0, field = null;

async function show(path, sent) {
  const mine = ++turn;
  clearTimeout(timer);
  let page;
  try {
    const given = sent ? { method: "POST", body: new URLSearchParams(sent) } : {};
    const answer = await fetch(path, given);
    page = new DOMParser().parseFromString(await answer.text(), "text/html");
    if (!page.getElementById("main")) throw new Error("not a page of ours");
  } catch {
    if (mine === turn) isAway();
    return;
  }
  if (mine !== turn) return;
  away.hidden = true;
  away.textContent = "";
  main.replaceChildren(...page.getElementById("main").childNodes);
  begin();
}

// Nothing that was shown is kept for later: whoever stood here must not believe to be recorded.
function isAway() {
  main.querySelector(".answer")?.remove();
  main.querySelector("form")?.reset();
  away.textContent = away.dataset.text;
  away.hidden = false;
  timer = setTimeout(show, AGAIN, "/kiosk");
}

function begin() {
  const answer = main.querySelector(".answer");
  const pad = main.querySelector(".pad");
  if (pad) pad.hidden = false;
  field = main.querySelector("[autofocus]");
  field?.focus();
  said.textContent = answer ? answer.querySelector(".says").textContent : "";
  wait(answer ? ANSWER : pad ? IDLE : LOOK);
}

function wait(time) {
  clearTimeout(timer);
  if (main.querySelector("[data-kiosk]")) timer = setTimeout(show, time, "/kiosk");
}

document.addEventListener("submit", (event) => {
  if (!event.target.matches("[data-kiosk]")) return;
  event.preventDefault();
  const sent = new FormData(event.target);
  event.target.querySelectorAll("input[name=card], input[name=number], input[name=pin]").forEach((one) => { one.value = ""; });
  show("/kiosk", sent);
});

document.addEventListener("click", (event) => {
  const link = event.target.closest('a[href^="/kiosk"]');
  if (!link) return;
  event.preventDefault();
  show(link.getAttribute("href"));
});

document.addEventListener("click", (event) => {
  const key = event.target.closest("[data-key]")?.dataset.key;
  if (!key || !field) return;
  field.value = key === "back" ? field.value.slice(0, -1) : field.value + key;
});

document.addEventListener("focusin", (event) => {
  if (event.target.matches("#card, #number, #pin")) field = event.target;
});

// A scanner types wherever the focus happens to be.
document.addEventListener("keydown", (event) => {
  const card = document.getElementById("card");
  if (card && event.key.length === 1 && event.target !== card && event.key !== " ") card.focus();
});

document.addEventListener("input", () => wait(IDLE));

begin();

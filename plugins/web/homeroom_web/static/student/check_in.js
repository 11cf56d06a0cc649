// On the page for checking in: what waits on this device, the camera, and the service worker. Without this script the
// page works as long as there is a network.
"use strict";
const place = document.getElementById("waiting");
const words = Object.fromEntries(
  [...document.getElementById("check-in-words").content.querySelectorAll("[data-word]")].map((one) => [one.dataset.word, one.textContent]),
);
let sent = 0;
let wasAway = false;  // whether this page has seen the network come back
const outcomes = [];  // told once and gone from the device, so they stay on the page until it is left
let turn = Promise.resolve();
const isShell = !place.hasAttribute("data-person");

function line(text, kind) {
  const made = document.createElement("p");
  made.textContent = text;
  if (kind) made.className = kind;
  return made;
}

function say(word, time) {
  const options = { weekday: "long", hour: "numeric", minute: "2-digit" };
  return words[word].replace("{time}", time ? new Date(time).toLocaleString(document.documentElement.lang, options) : "");
}

function button(word, act) {
  const made = document.createElement("button");
  made.textContent = words[word];
  made.addEventListener("click", () => act().then(refresh));
  return made;
}

// What became of an entry that was sent; it is gone from the device once it has been read here.
function outcome(entry) {
  if (entry.told.outcome === "too-old") return [line(say("too-old", entry.occurred_at), "problem")];
  const heading = document.createElement("h2");
  heading.textContent = entry.told.heading;
  const told = document.createElement("div");
  told.className = entry.told.good ? "outcome" : "problem";
  told.append(...entry.told.lines.map((text) => line(text)));
  return [heading, told];
}

// An entry that was made while nobody was signed in: its owner is asked for.
function unclaimed(entry) {
  const row = document.createElement("p");
  row.append(
    button("mine", () => checkIns.put({ ...entry, owner: place.dataset.person })), " ",
    button("not-mine", () => checkIns.remove(entry)),
  );
  return [line(say("whose", entry.occurred_at)), row];
}

async function show(why) {
  const me = await checkIns.person();
  const parts = [];
  for (const entry of await checkIns.all()) {
    if (entry.owner && entry.owner !== me) continue;
    if (entry.told) { sent += entry.told.outcome === "too-old" ? 0 : 1; outcomes.push(...outcome(entry)); await checkIns.remove(entry); }
    else if (!entry.owner && place.dataset.person) parts.push(...unclaimed(entry));
    else parts.push(line(say("kept", entry.occurred_at), "outcome"));
  }
  if (why === "sign-in") {
    const link = document.createElement("a");
    link.href = "/sign-in?next=%2Fcheck-in";
    link.textContent = words["sign-in"];
    const row = document.createElement("p");
    row.append(link);
    parts.push(row);
  }
  if (why === "later") parts.push(line(words.later));
  place.replaceChildren(...outcomes, ...parts);
}

// On the page for no network: that there is one again, what was sent and what still waits, and the way on.
async function tellBack(why) {
  const back = document.getElementById("back");
  if (!back) return;
  const isBack = why !== "offline" && (outcomes.length > 0 || wasAway && navigator.onLine);
  for (const one of document.querySelectorAll("[data-away]")) one.hidden = isBack;
  if (!isBack) return back.replaceChildren();
  const me = await checkIns.person();
  const left = (await checkIns.all()).filter((entry) => !entry.told && (!entry.owner || entry.owner === me)).length;
  document.querySelector("h1").textContent = words.back;
  const link = document.createElement("a");
  link.href = "/check-in";
  link.textContent = words.onward;
  const row = document.createElement("p");
  row.append(link);
  back.replaceChildren(line(words["is-back"].replace("{sent}", sent).replace("{left}", left)), row);
}

async function sendAndShow() {
  await show();
  const why = await checkIns.send();
  await show(why);
  await tellBack(why);
}

const refresh = () => (turn = turn.then(sendAndShow).catch(() => {}));  // one after the other

function full() {
  place.replaceChildren(line(words.full, "problem"));
}

async function keep(form) {
  try {
    await checkIns.keep(form);
  } catch {
    return full();
  }
  await refresh();
}

async function begin() {
  if (!isShell) await checkIns.belongs(place.dataset.person);
  const asked = new URLSearchParams(location.search);
  if (isShell && asked.has("session") && asked.has("scan")) {
    history.replaceState(null, "", "/check-in");  // a picture is kept once, however often the page is loaded
    await keep(asked);
  } else if (location.hash === "#full") {
    history.replaceState(null, "", "/check-in");
    full();
  } else {
    await refresh();
  }
}

for (const form of document.querySelectorAll("form[data-check-in]")) {
  form.addEventListener("submit", (event) => {
    if (navigator.onLine || navigator.serviceWorker?.controller) return;  // the service worker keeps what does not get through
    event.preventDefault();
    keep(new FormData(form)).then(() => form.reset());
  });
}
addEventListener("online", () => { wasAway = true; refresh(); });

const scanner = document.getElementById("scanner");
if (scanner && navigator.mediaDevices?.getUserMedia) {
  const start = scanner.querySelector("button");
  start.hidden = false;
  start.addEventListener("click", async () => {
    const told = scanner.querySelector("[role=status]");
    told.textContent = "";
    start.disabled = true;
    try {
      const { scan } = await import(scanner.dataset.script);
      await scan(scanner, words, told);
    } catch {
      told.textContent = words["no-scanner"];
    }
    start.disabled = false;
  });
}

begin().catch(() => {});  // a browser that keeps nothing: the page still works with a network
navigator.serviceWorker?.register("/service-worker.js").catch(() => {});

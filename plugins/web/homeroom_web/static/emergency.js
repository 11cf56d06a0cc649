// Keeps the emergency roll as it is while others say who is where, and sends a tap without leaving the page.
// Without this script every tap loads the page anew, and it is right when it is loaded.
"use strict";
const table = document.getElementById("roll");
const counts = document.getElementById("counts");
const lost = document.getElementById("lost");
const OFTEN = 3000;
const SLOWEST = 15000;
let pause = OFTEN;
let reading = Promise.resolve();
let leaving = false;

function place(fresh) {
  const known = document.activeElement?.closest("tr")?.id;
  const named = document.activeElement?.value;
  const old = table.tBodies[0];
  const rows = new Map([...old.rows].map((row) => [row.id, row]));
  const after = known && rows.get(known)?.nextElementSibling?.id;
  const body = fresh.getElementById("roll").tBodies[0];
  const wanted = [...body.rows].map((row) => {
    const kept = rows.get(row.id);
    return kept && kept.innerHTML === row.innerHTML && kept.className === row.className ? kept : document.adoptNode(row);
  });
  if (wanted.length !== old.rows.length || wanted.some((row, at) => row !== old.rows[at])) {
    old.replaceChildren(...wanted);
    if (known && !document.getElementById(known)?.contains(document.activeElement)) {
      const row = document.getElementById(known) ?? document.getElementById(after);
      (row?.querySelector(`button[value="${named}"]`) ?? row?.querySelector("button"))?.focus({ preventScroll: true });
    }
  }
  const said = fresh.getElementById("counts").innerHTML;
  if (counts.innerHTML !== said) counts.innerHTML = said;
}

// Whoever is on the way to another page is not called back: who ends the roll is led to its report.
function loadAnew() {
  if (!leaving) location.reload();
}

async function read() {
  const answer = await fetch(location.href, { headers: { Accept: "text/html" }, redirect: "error" });
  if (!answer.ok) throw new Error("not now");
  const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
  const roll = fresh.getElementById("roll");
  if (!roll?.dataset.news) return loadAnew();
  place(fresh);
  table.dataset.cursor = roll.dataset.cursor;
}

function readSoon() {
  reading = reading.catch(() => {}).then(read);
  return reading;
}

async function look() {
  const address = `${table.dataset.news}?after=${table.dataset.cursor}`;
  try {
    const answer = await fetch(address, { redirect: "error" });
    if (!answer.ok) throw new Error("not now");
    const news = await answer.json();
    if (news.ended) return loadAnew();
    if (news.changed) await readSoon();
    lost.hidden = true;
    pause = OFTEN;
  } catch {
    lost.hidden = false;
    pause = Math.min(pause * 2, SLOWEST);
  }
  setTimeout(look, pause);
}

table.addEventListener("submit", async (event) => {
  event.preventDefault();
  const form = event.target;
  const said = new URLSearchParams(new FormData(form, event.submitter));
  try {
    const answer = await fetch(form.action, { method: "POST", body: said });
    if (!answer.ok) throw new Error("refused");
    await readSoon();
  } catch {
    const state = document.createElement("input");
    state.type = "hidden";
    state.name = "state";
    state.value = event.submitter.value;
    form.append(state);
    form.submit(); // by hand: what is wrong is said on the page that follows
  }
});

addEventListener("pageshow", () => { leaving = false; });
document.addEventListener("submit", (event) => { leaving ||= !table.contains(event.target); });
table.dataset.live = "yes";
setTimeout(look, OFTEN);

// Keeps the board as it is at school, mark by mark, and marks without loading the page anew.
// Without this script the page is right when it is loaded, and each form works by itself.
"use strict";
const board = document.querySelector("table.board");
const flags = document.getElementById("flags");
const words = Object.fromEntries(
  [...document.getElementById("words").content.querySelectorAll("[data-word]")].map((one) => [one.dataset.word, one.textContent]),
);
let looking = null;

function mark(row) {
  const line = document.getElementById(`student-${row.student_id}`);
  const cell = line?.querySelector("[data-status]");
  if (!cell) return;
  cell.dataset.status = row.status;
  cell.textContent = row.status ? (words[row.status] ?? row.status) : "–";
  const flag = line.querySelector("[data-flag]");
  if (flag.hidden === Boolean(row.needs_review)) look();
  flag.hidden = !row.needs_review;
  const save = line.querySelector("[data-save]");
  if (save) Object.assign(save, { value: row.status, disabled: !row.status });
  const record = line.querySelector("[data-record]");
  if (record && row.record_id) record.href = `/attendance/${row.record_id}`;
  if (record) record.hidden = !row.record_id;
}

function count() {
  for (const place of document.querySelectorAll("[data-count]")) {
    const many = String(board.querySelectorAll(`[data-status="${place.dataset.count}"]`).length);
    if (place.textContent !== many) place.textContent = many; // what is said aloud is only what has changed
  }
}

function look() {
  clearTimeout(looking);
  looking = setTimeout(async () => {
    const answer = await fetch(flags.dataset.from, { redirect: "error" }).catch(() => null);
    if (answer?.ok) flags.innerHTML = await answer.text();
  }, 200);
}

// Whether the page shows another session than it would now; one that was left open before it is no reason.
function isStale(open) {
  return "open" in board.dataset || (open && new Date(open.starts_at) > new Date(board.dataset.starts));
}

function begin(marks) {
  const marked = new Set(marks.map((one) => one.student_id));
  for (const line of board.querySelectorAll("tr[id]")) {
    const student = line.id.replace("student-", "");
    if (!marked.has(student)) mark({ student_id: student, status: "" });
  }
  marks.forEach(mark);
}

function take(message) {
  const here = (message.session_id ?? message.session?.id) === board.dataset.session;
  if (message.type === "hello") {
    if (!here && isStale(message.session)) return location.reload();
    if (here) begin(message.marks);
  } else if (message.type === "attendance" && here) {
    mark(message);
  } else if (message.type === "withdrawn" && here) {
    mark({ student_id: message.student_id, status: "" });
  } else if (message.type === "session") {
    return location.reload();
  }
  count();
}

function live(open) {
  if (open) board.dataset.live = "yes";
  else delete board.dataset.live;
}

async function send(form, button) {
  const fields = new URLSearchParams(new FormData(form));
  fields.set(button.name, button.value);
  const answer = await fetch(form.action, { method: "POST", body: fields, redirect: "manual" }).catch(() => null);
  if (answer?.type === "opaqueredirect") {
    form.elements.note_was.value = form.elements.note.value;
    form.closest("tr").querySelector(".note").textContent = form.elements.note.value;
    return; // the socket brings what came of it
  }
  const chosen = document.createElement("input"); // what went wrong is told by the page that the form leads to
  Object.assign(chosen, { type: "hidden", name: button.name, value: button.value });
  form.append(chosen);
  form.submit();
}

board.addEventListener("submit", (event) => {
  if (!board.dataset.live || !event.submitter || !event.target.matches("form.mark")) return;
  event.preventDefault();
  send(event.target, event.submitter);
});

follow(board.dataset.class, take, live);

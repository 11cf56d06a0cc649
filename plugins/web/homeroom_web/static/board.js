// Keeps the board as it is at school, mark by mark. Without this script the page is right when it is loaded.
"use strict";
const board = document.querySelector("table.board");
const words = Object.fromEntries(
  [...document.getElementById("words").content.querySelectorAll("[data-word]")].map((one) => [one.dataset.word, one.textContent]),
);
let cursor = null;
let pause = 500;

function mark(row) {
  const cell = document.getElementById(`student-${row.student_id}`)?.querySelector("[data-status]");
  if (!cell) return;
  cell.dataset.status = row.status;
  cell.textContent = words[row.status] ?? row.status;
}

function count() {
  for (const place of document.querySelectorAll("[data-count]")) {
    place.textContent = board.querySelectorAll(`[data-status="${place.dataset.count}"]`).length;
  }
}

function take(message) {
  if (message.cursor) cursor = message.cursor;
  if (message.type === "hello") {
    if ((message.session?.id ?? "") !== board.dataset.session && message.session) return location.reload();
    message.marks.forEach(mark);
  } else if (message.type === "attendance" && message.session_id === board.dataset.session) {
    mark(message);
  } else if (message.type === "session") {
    return location.reload();
  }
  count();
}

async function listen() {
  const answer = await fetch("/ticket", { method: "POST", redirect: "error" });
  if (!answer.ok) throw new Error("no ticket");
  const address = new URL(`/ws/class/${board.dataset.class}`, location.href);
  address.protocol = address.protocol.replace("http", "ws");
  address.searchParams.set("ticket", await answer.text());
  if (cursor) address.searchParams.set("after", cursor);
  const socket = new WebSocket(address);
  socket.onopen = () => { pause = 500; board.dataset.live = "yes"; };
  socket.onmessage = (event) => take(JSON.parse(event.data));
  socket.onclose = () => { delete board.dataset.live; again(); };
}

function again() {
  setTimeout(() => listen().catch(again), pause);
  pause = Math.min(pause * 2, 30000);
}

listen().catch(again);

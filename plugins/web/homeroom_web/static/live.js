// A class as it is at school: one socket that comes back by itself and then tells what was missed.
"use strict";

// `take` is given each message; `live` is told whether the socket is open.
function follow(classId, take, live = () => {}) {
  let cursor = null;
  let pause = 500;

  async function listen() {
    const answer = await fetch("/ticket", { method: "POST", redirect: "error" });
    if (!answer.ok) throw new Error("no ticket");
    const address = new URL(`/ws/class/${classId}`, location.href);
    address.protocol = address.protocol.replace("http", "ws");
    address.searchParams.set("ticket", await answer.text());
    if (cursor) address.searchParams.set("after", cursor);
    const socket = new WebSocket(address);
    socket.onopen = () => live(true);
    socket.onmessage = (event) => {
      pause = 500; // not when it opens: one that is refused opens, too, and closes at once
      const message = JSON.parse(event.data);
      if (message.cursor) cursor = message.cursor;
      take(message);
    };
    socket.onclose = () => { live(false); again(); };
  }

  function again() {
    setTimeout(() => listen().catch(again), pause);
    pause = Math.min(pause * 2, 30000);
  }

  listen().catch(again);
}

// Keeps the files and one page that is the same for everybody, so that checking in works without a network. It keeps no
// other page. FILES and queue.js come before this text.
"use strict";
const SHELL = "/offline";
const CACHE = `homeroom ${FILES.join(" ")}`;
const PATIENCE = 10000;

self.addEventListener("install", (event) => {
  const asked = [...FILES, SHELL].map((path) => new Request(path, { credentials: "omit", cache: "reload" }));
  event.waitUntil(caches.open(CACHE).then((cache) => cache.addAll(asked)).then(() => self.skipWaiting()));
});

self.addEventListener("activate", (event) => {
  event.waitUntil((async () => {
    for (const name of await caches.keys()) if (name !== CACHE) await caches.delete(name);
    await self.clients.claim();
  })());
});

const shell = async () => (await caches.match(SHELL, { ignoreVary: true })) ?? Response.error();
const later = () => new Promise((_, reject) => setTimeout(reject, PATIENCE, new Error("no answer in time")));

async function visit(event) {
  try {
    return await Promise.race([fetch(event.request), later()]);
  } catch {
    return shell();
  }
}

// A form that reaches nobody is kept. The server may have taken it all the same: it then gives the same record again.
async function arrive(event) {
  const form = event.request.clone().formData();
  try {
    return await Promise.race([fetch(event.request), later()]);
  } catch {
    try {
      await checkIns.keep(await form);
    } catch {
      return Response.redirect("/check-in#full", 303);
    }
    return shell();
  }
}

async function file(request) {
  const kept = await caches.match(request, { ignoreVary: true });
  if (kept) return kept;
  const answer = await fetch(request);
  if (answer.ok && request.url.includes("/vendor/")) await (await caches.open(CACHE)).put(request, answer.clone());
  return answer;
}

self.addEventListener("fetch", (event) => {
  const address = new URL(event.request.url);
  if (address.origin !== location.origin) return;
  if (event.request.method === "GET" && address.pathname.startsWith("/static/") && address.searchParams.has("v")) {
    event.respondWith(file(event.request));
  } else if (event.request.mode === "navigate" && ["/", "/check-in"].includes(address.pathname)) {
    event.respondWith(event.request.method === "POST" ? arrive(event) : visit(event));
  }
});

self.addEventListener("sync", (event) => {
  if (event.tag !== checkIns.SYNC) return;
  event.waitUntil(checkIns.send().then((why) => { if (why === "offline") throw new Error("still no network"); }));
});

// Check-ins that were made without a network: kept on this device until they are sent. For pages and the service worker.
"use strict";
self.checkIns = (() => {
  const HOURS = 24;
  const SYNC = "check-ins";

  function open() {
    return new Promise((resolve, reject) => {
      const asked = indexedDB.open("homeroom", 1);
      asked.onupgradeneeded = () => {
        asked.result.createObjectStore("check_ins", { keyPath: "client_id" });
        asked.result.createObjectStore("device");
      };
      asked.onsuccess = () => resolve(asked.result);
      asked.onerror = () => reject(asked.error);
    });
  }

  // What `work` gives of a store, once it is on the disk.
  async function within(name, mode, work) {
    const database = await open();
    try {
      return await new Promise((resolve, reject) => {
        const transaction = database.transaction(name, mode, { durability: "strict" });
        const asked = work(transaction.objectStore(name));
        transaction.oncomplete = () => resolve(asked?.result);
        transaction.onabort = transaction.onerror = () => reject(transaction.error ?? asked?.error);
      });
    } finally {
      database.close();
    }
  }

  const all = () => within("check_ins", "readonly", (store) => store.getAll());
  const put = (entry) => within("check_ins", "readwrite", (store) => store.put(entry));
  const remove = (entry) => within("check_ins", "readwrite", (store) => store.delete(entry.client_id));
  const person = () => within("device", "readonly", (store) => store.get("person")).then((found) => found ?? "");

  // Whose pages this device shows: a key that says nothing of them; "" for nobody.
  async function belongs(to) {
    if (await person() === to) return;
    await within("device", "readwrite", (store) => store.put(to, "person"));
    if (to) return;
    for (const entry of await all()) if (entry.told) await remove(entry);
  }

  function random() {
    return Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");
  }

  // Keep what a form would have sent. The same picture or the same form is kept once. Rejects when the device is full.
  async function keep(form) {
    const given = (name) => String(form.get(name) ?? "").trim();
    const entry = {
      client_id: given("client_id") || random(),
      owner: given("owner") || await person(),
      session: given("session"),
      code: given("code"),
      scan: given("scan"),
      occurred_at: new Date().toISOString(),
    };
    if (!entry.code && !entry.scan) return;
    const known = await all();
    const same = (one) => one.client_id === entry.client_id || (entry.scan && one.scan === entry.scan);
    if (known.some((one) => !one.told && same(one))) return;
    await put(entry);
    const here = self.registration ?? await navigator.serviceWorker?.getRegistration();
    await here?.sync?.register(SYNC).catch(() => {});  // a browser without it sends when a page is open
  }

  const age = (entry) => Math.max(0, (Date.now() - Date.parse(entry.occurred_at)) / 1000);

  // "" once its outcome is known, else what stands in the way.
  async function sendOne(entry) {
    const body = new URLSearchParams({ ...entry, age: age(entry).toFixed(1) });
    const answer = await fetch("/check-in/late", { method: "POST", body, redirect: "error" });
    if (answer.status === 401) return "sign-in";
    if (!answer.ok) return "later";
    const told = await answer.json();
    if (told.outcome !== "told") return told.outcome;
    await put({ ...entry, told });
    return "";
  }

  // Send what belongs to whoever is signed in here. Says what stands in the way: "", "sign-in", "later" or "offline".
  async function sendAll() {
    const me = await person();
    let why = "";
    for (const entry of await all()) {
      if (entry.told) continue;
      const mine = entry.owner && entry.owner === me;
      if (age(entry) > HOURS * 3600) await (mine ? put({ ...entry, told: { outcome: "too-old" } }) : remove(entry));
      else if (mine) why = await sendOne(entry).catch(() => "offline") || why;
      else if (!me) why = "sign-in";
    }
    return why;
  }

  // One page or the service worker sends at a time.
  const send = () => (navigator.locks ? navigator.locks.request(SYNC, sendAll) : sendAll());

  return { SYNC, all, put, remove, person, belongs, keep, send };
})();

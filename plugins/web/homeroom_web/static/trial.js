// Tries settings without leaving the form, so that what was typed stays. Without this script the page is loaded anew.
"use strict";
const form = document.querySelector("form[data-trial]");
const place = document.getElementById("trial");

function say(id) {
  place.textContent = document.getElementById(id).content.textContent;
}

form?.addEventListener("submit", async (event) => {
  const button = event.submitter;
  if (button?.value !== "test") return;
  event.preventDefault();
  const sent = new URLSearchParams(new FormData(form, button));
  button.disabled = true;
  say("waiting");
  try {
    const answer = await fetch(form.getAttribute("action"), { method: "POST", body: sent, headers: { "X-Fragment": "1" }, redirect: "error" });
    if (answer.ok) place.innerHTML = await answer.text();
    else say("lost");
  } catch {
    say("lost");
  }
  button.disabled = false;
});

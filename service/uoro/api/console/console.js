// The page: which view is shown, how the service is, the theme, the key.

import { call, key, onKeyAsked, setKey } from "./api.js";
import { redrawAll } from "./charts.js";
import { ask, note, say } from "./dom.js";
import { showList } from "./list.js";
import { showStream } from "./stream.js";

const THEME = "uoro-theme";
const HEALTH_EVERY_MS = 3000;
const main = document.getElementById("main");
let leave = () => {};

function route() {
  leave();
  main.replaceChildren();
  const found = /^#\/streams\/(.+)$/.exec(location.hash);
  leave = found ? showStream(main, decodeURIComponent(found[1])) : showList(main);
  scrollTo(0, 0);
}

async function checkHealth() {
  const element = document.getElementById("health");
  let text = "service not reached";
  try {
    const response = await fetch("/readyz", { cache: "no-store" });
    const told = await response.json();
    text = response.ok ? "ready" : told.detail;
  } catch { /* the words above say it */ }
  say(element, text);
  element.classList.toggle("bad", text !== "ready");
}

function setTheme(name) {
  if (name) document.documentElement.dataset.theme = name;
  redrawAll();
}

document.getElementById("theme").addEventListener("click", () => {
  const now = document.documentElement.dataset.theme ?? (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light");
  const next = now === "dark" ? "light" : "dark";
  localStorage.setItem(THEME, next);
  setTheme(next);
});
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redrawAll);
setTheme(localStorage.getItem(THEME));

const keyButton = document.getElementById("key");
let isAsking = false;
let isDeclined = false;

/** Ask for a key; one who does not want to give one is left alone until the button is pressed. */
async function askForKey() {
  if (isAsking || isDeclined) return;
  isAsking = true;
  const values = await ask("This service asks for a key", "It is kept for this tab only and sent to this service alone.",
    [{ name: "key", label: "Key", type: "password", hint: "uoro_… as `uoro keys create` showed it" }], "Use it");
  isAsking = false;
  isDeclined = values === null;
  if (isDeclined) return;
  setKey(values.key.trim());
  showKey();
  try {
    await call("GET", "/v1/streams?limit=1");
    note("The key is taken.");
  } catch (error) {
    note(error.message, "error");
  }
  route();
}
function showKey() {
  say(keyButton, key() ? "Forget key" : "Key");
}
onKeyAsked(askForKey);
keyButton.addEventListener("click", () => {
  isDeclined = false;
  if (!key()) { askForKey(); return; }
  setKey(null);
  showKey();
  route();
});
showKey();

addEventListener("hashchange", route);
addEventListener("keydown", (event) => {
  if (event.target.closest("input, textarea, select, dialog") || event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.key === "/") { const box = document.getElementById("prefix"); if (box) { event.preventDefault(); box.focus(); } }
  if (event.key === "Escape" && location.hash.startsWith("#/streams/")) location.hash = "#/";
});
setInterval(checkHealth, HEALTH_EVERY_MS);
checkHealth();
route();

// What the keyboard does. Keys that a button, a field or a tick needs are left to it.

import { focusChart } from "./chart.js";
import { $, make } from "./dom.js";
import { open as openExports } from "./exports.js";
import { exposeOn, redraw, space } from "./gap.js";
import { press as pressInHints } from "./hints.js";
import { isPlaying, stop, toggle } from "./player.js";
import { cycleOnion, flip, nextZoom } from "./stage.js";
import { store } from "./store.js";

const ROLL = [-1, 0, 1, 0], ROLL_EVERY = 140; // milliseconds
let rolling = 0;

const SHORTCUTS = [
  ["Space", "play, stop", () => toggle()],
  ["Shift+Space", "play this gap alone", () => toggle(true)],
  ["ArrowLeft", "previous drawing", () => store.step(-1), "←"],
  ["ArrowRight", "next drawing", () => store.step(1), "→"],
  ["ArrowUp", "previous key", () => store.stepKey(-1), "↑"],
  ["ArrowDown", "next key", () => store.stepKey(1), "↓"],
  ["Home", "first drawing", () => store.select(0)],
  ["End", "last drawing", () => store.select(Infinity)],
  ["A", "flip to the previous drawing, while held", () => flip(-1)],
  ["D", "flip to the next drawing, while held", () => flip(1)],
  ["F", "roll: previous, current, next, while held", () => roll()],
  ["O", "onion skin: off, neighbours, keys", cycleOnion],
  ["Z", "zoom: all, 1, 2, 4", nextZoom],
  ["0–9", "as many in-betweens, evenly spaced", null],
  ["Alt+1–3", "drawn on ones, twos, threes", null],
  ["T", "to the timing chart; there arrows move a tick, Delete removes it", focusChart],
  ["H", "hints; there arrows move a cross, Enter sets both places, Delete removes the last", () => store.setHinting(!store.isHinting)],
  ["R", "redraw the gap", redraw],
  ["L", "loop", () => store.edit("loop", null, !store.state.loop)],
  ["Ctrl+Z", "undo", () => store.undo()],
  ["Ctrl+Shift+Z", "redo", () => store.redo()],
  ["X", "export", openExports],
  ["?", "this list", () => openHelp()],
];
const BY_NAME = Object.fromEntries(SHORTCUTS.map(([name, , act]) => [name, act]));
BY_NAME["Ctrl+Y"] = BY_NAME["Ctrl+Shift+Z"];

function nameOf(event) {
  const letter = event.key === " " ? "Space" : event.key.length === 1 ? event.key.toUpperCase() : event.key;
  if (letter === "?") return letter;
  const ctrl = event.ctrlKey || event.metaKey ? "Ctrl+" : "", alt = event.altKey ? "Alt+" : "";
  return ctrl + alt + (event.shiftKey ? "Shift+" : "") + letter;
}

function isElsewhere(event) {
  const { target } = event;
  if (document.querySelector("dialog[open]")) return true;
  if (target.matches("input[type=number], input[type=text], select")) return true;
  return target.matches("button, input, summary") && (event.key === " " || event.key === "Enter");
}

document.addEventListener("keydown", (event) => {
  if (event.defaultPrevented || isElsewhere(event) || !store.state) return;
  if (event.repeat && "adfADF".includes(event.key)) return;
  if (store.isHinting && pressInHints(event)) return void event.preventDefault();
  if (digit(event)) return void event.preventDefault();
  const act = BY_NAME[nameOf(event)];
  if (!act) return undefined;
  event.preventDefault();
  if (isPlaying() && !nameOf(event).endsWith("Space")) stop();
  act();
  return undefined;
});

// What was pressed with the mouse gives the keyboard back.
document.addEventListener("click", ({ target, detail }) => {
  if (detail > 0 && !target.closest("dialog, .tick")) target.closest("button, input[type=checkbox], label")?.blur();
});
for (const id of ["rate", "onion", "paper"]) {
  $(id).addEventListener("change", () => $(id).blur());
}

document.addEventListener("keyup", (event) => {
  if (!"adfADF".includes(event.key) || event.key.length > 1) return;
  clearInterval(rolling);
  flip(0);
});
window.addEventListener("blur", () => { // the key may be released elsewhere
  clearInterval(rolling);
  flip(0);
});

function digit(event) {
  const number = event.code.match(/^(?:Digit|Numpad)(\d)$/)?.[1];
  if (number === undefined || event.ctrlKey || event.metaKey || event.shiftKey) return false;
  if (!event.altKey) space(Number(number));
  else if (number > 0 && number < 4) exposeOn(Number(number));
  return true;
}

function roll() {
  let turn = 0;
  clearInterval(rolling);
  const next = () => flip(ROLL[turn++ % ROLL.length]);
  next();
  rolling = setInterval(next, ROLL_EVERY);
}

function openHelp() {
  if (!$("shortcuts").children.length) {
    for (const [name, does, , shown] of SHORTCUTS) {
      $("shortcuts").append(make("dt", {}, make("kbd", {}, shown ?? name)), make("dd", {}, does));
    }
  }
  $("help").showModal();
}

$("help-button").addEventListener("click", openHelp);

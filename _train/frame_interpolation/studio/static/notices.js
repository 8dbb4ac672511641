// Sentences about what happened, and the line of what is going on.

import { $, make, say } from "./dom.js";
import { on, store } from "./store.js";

const SHOWN_FOR = 12000; // milliseconds
const LOST = "The program has ended, or does not answer. All that was done is saved; start it again and open its new address.";

let hasConnection = true;
let tabs = 1;

function notice(sentence) {
  for (const old of $("notices").children) if (old.firstChild.textContent === sentence) old.remove();
  const close = make("button", { type: "button", "aria-label": "Dismiss" }, "×");
  const item = make("li", {}, make("span", {}, sentence), close);
  close.addEventListener("click", () => item.remove());
  setTimeout(() => item.remove(), SHOWN_FOR);
  $("notices").append(item);
}

function render() {
  const { state } = store;
  say($("problem"), hasConnection ? state?.problem ?? "" : LOST);
  if (state) {
    $("name").textContent = state.name;
    document.title = `${state.name} – Studio`;
    $("undo").disabled = !state.canUndo;
    $("redo").disabled = !state.canRedo;
  }
  $("status").textContent = status(state);
}

function status(state) {
  if (!state || !hasConnection) return "";
  const shared = tabs > 1 ? ` This project is open in ${tabs} tabs; they show the same, and each edit is made once.` : "";
  if (!state.method) return (state.problem ? "" : "The method is being loaded …") + shared;
  return `${progress(store)}.${shared}`;
}

function progress({ missing, failed }) {
  const counted = (count) => `${count} in-between${count > 1 ? "s" : ""}`;
  if (missing) return `${counted(missing)} to draw` + (failed ? `, ${failed} cannot be drawn` : "");
  return failed ? `${counted(failed)} cannot be drawn` : "All in-betweens are drawn";
}

on("state drawn", render);
on("notice", notice);
on("tabs", (count) => { tabs = count; render(); });
on("connection", (is) => { hasConnection = is; render(); });

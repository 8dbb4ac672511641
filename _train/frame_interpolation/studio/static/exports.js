// The dialog of exports.

import { $, make } from "./dom.js";
import { on, store } from "./store.js";

export function open() {
  if (!$("formats").children.length) $("formats").append(...store.formats.map(choice));
  render();
  $("exports").showModal();
}

function choice({ name, label }, i) {
  const input = make("input", { type: "radio", name: "format", value: name, checked: i === 0 });
  return make("label", {}, input, ` ${label}`);
}

function render() {
  const one = store.export;
  const goesOn = one?.phase === "drawing" || one?.phase === "writing";
  $("export-start").disabled = goesOn;
  $("export-cancel").hidden = $("export-progress").hidden = !goesOn;
  if (goesOn) {
    $("export-progress").max = Math.max(1, one.total);
    $("export-progress").value = one.done;
  }
  $("export-said").textContent = one ? said(one) : "";
}

function said({ phase, done, total, sentence, path }) {
  return {
    drawing: `Drawing missing in-betweens: ${done} of ${total}.`,
    writing: `Writing: ${done} of ${total}.`,
    done: `Written to ${path}`,
    cancelled: "Cancelled; nothing was written.",
    failed: sentence,
  }[phase];
}

async function start() {
  const format = document.querySelector("input[name=format]:checked").value;
  $("export-said").textContent = "";
  if (!(await store.startExport(format))) $("exports").close();
}

$("export-button").addEventListener("click", open);
$("export-start").addEventListener("click", start);
$("export-cancel").addEventListener("click", () => store.cancelExport());
on("state export", render);

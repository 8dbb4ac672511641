// What can be done with the gap that is worked on, but for its chart and hints.

import { $, say } from "./dom.js";
import { on, store } from "./store.js";

function render() {
  const row = store.row;
  $("gap").classList.toggle("none", !row?.next);
  $("gap-body").hidden = !row?.next;
  $("gap-title").textContent = row?.next ? `${row.key} → ${row.next}` : "No gap";
  if (!row?.next) return;
  say($("gap-problem"), row.problem);
  $("count").textContent = row.drawings.length;
  $("fewer").disabled = row.drawings.length === 0;
  for (const button of document.querySelectorAll("#on button")) {
    button.setAttribute("aria-pressed", Number(button.dataset.on) === row.on);
  }
  renderProgress();
}

function renderProgress() {
  const row = store.row;
  if (!row?.next) return;
  const progress = $("gap-progress");
  const done = store.drawnOf(row), total = row.drawings.length;
  progress.max = Math.max(total, 1);
  progress.value = total ? done : 1;
  progress.classList.toggle("done", done === total || Boolean(row.problem));
}

export const space = (count) => store.row?.next && store.edit("spacing", store.row.key, { count, ease: "none" });
const spaceMore = (by, ease = "none") => store.row?.next && store.change("spacing", store.row.key,
  (row) => ({ count: Math.max(row.drawings.length + by, 0), ease }));

export const exposeOn = (frames) => store.row?.next && store.edit("on", store.row.key, frames);

export const redraw = () => store.row?.next && store.redraw(store.row);

$("fewer").addEventListener("click", () => spaceMore(-1));
$("more").addEventListener("click", () => spaceMore(1));
$("spacing").addEventListener("click", ({ target }) => target.dataset.ease && spaceMore(0, target.dataset.ease));
$("on").addEventListener("click", ({ target }) => target.dataset.on && exposeOn(Number(target.dataset.on)));
$("everywhere").addEventListener("click", () => store.edit("everywhere", store.row.key, null));
$("redraw").addEventListener("click", redraw);

on("state select", render);
on("drawn", renderProgress);

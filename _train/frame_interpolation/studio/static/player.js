// Playing at the rate of the project, each drawing for as long as it is exposed, again and again.

import { $ } from "./dom.js";
import { load } from "./pictures.js";
import { render, showNow } from "./stage.js";
import { on, store } from "./store.js";

const AHEAD = 24; // frames whose pictures are fetched

let playing = null; // {key of the gap that is played alone, or null; frames; from; start; at; request}

const exposed = (cells) => cells.flatMap((cell) => Array(cell.exposure).fill(cell));

export const isPlaying = () => playing !== null;

export function toggle(onlyGap = false) {
  if (playing) return stop();
  if (!store.cells.length) return undefined;
  if (store.isHinting) store.setHinting(false);
  playing = { key: onlyGap && store.row.next ? store.row.key : null };
  const { cell } = store;
  begin(cell);
  if (playing.from === playing.frames.length - cell.exposure) playing.from = 0; // at the end, it begins anew
  document.body.classList.add("playing");
  renderButton();
  playing.request = requestAnimationFrame(advance);
  return undefined;
}

// Count from a drawing on, of the frames as they are now.
function begin(cell) {
  const frames = exposed(range(playing.key));
  const from = frames.findIndex((one) => one.row.key === cell?.row.key && one.number === cell.number);
  Object.assign(playing, { frames, from: Math.max(0, from), start: performance.now(), at: -1 });
}

function range(key) {
  const first = store.cells.findIndex((cell) => cell.row.key === key);
  if (first < 0) return store.cells;
  const last = store.cells.findIndex((cell) => cell.isKey && cell.row.key === store.cells[first].row.next);
  return store.cells.slice(first, last > first ? last + 1 : undefined);
}

export function stop() {
  if (!playing) return;
  cancelAnimationFrame(playing.request);
  const cell = playing.frames[Math.max(0, playing.at)];
  playing = null;
  document.body.classList.remove("playing");
  renderButton();
  store.select(store.cells.indexOf(cell));
  render();
}

function advance(now) {
  const { frames, from, start } = playing;
  const frame = (from + Math.floor(Math.max(0, now - start) * store.state.rate / 1000)) % frames.length;
  if (frame !== playing.at) {
    playing.at = frame;
    showNow(frames[frame]); // one that is not there yet leaves the one before
    renderClock(frame, frames.length);
    for (let i = 1; i <= AHEAD; i++) {
      const next = frames[(frame + i) % frames.length];
      if (store.isDrawn(next)) load(next.id, "view");
    }
  }
  playing.request = requestAnimationFrame(advance);
}

function renderButton() {
  const name = playing ? "Stop" : "Play";
  $("play").querySelector("use").setAttribute("href", playing ? "#i-pause" : "#i-play");
  $("play").setAttribute("aria-label", name);
  $("play").title = `${name} (Space)`;
}

function renderClock(frame, count) {
  const { rate } = store.state;
  $("clock").textContent = `frame ${frame + 1} of ${count} · ${(frame / rate).toFixed(2)} s`;
}

function renderTransport() {
  const { rate, loop } = store.state;
  if (document.activeElement !== $("rate")) $("rate").value = Math.round(rate * 1000) / 1000;
  $("loop").checked = loop;
  if (playing && store.cells.length) begin(playing.frames[Math.max(0, playing.at)]);
  else renderSelected();
}

function renderSelected() {
  if (playing || !store.cells.length) return;
  const frames = exposed(store.cells);
  renderClock(Math.max(0, frames.indexOf(store.cell)), frames.length);
}

$("play").addEventListener("click", () => toggle());
$("rate").addEventListener("change", () => store.edit("rate", null, $("rate").value));
$("loop").addEventListener("change", () => store.edit("loop", null, $("loop").checked));
on("state", renderTransport);
on("select", renderSelected);

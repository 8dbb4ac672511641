// Playing at the rate of the project, each drawing for as long as it is exposed, again and again.

import { $ } from "./dom.js";
import { load } from "./pictures.js";
import { render, showNow } from "./stage.js";
import { on, store } from "./store.js";

const AHEAD = 24; // frames whose pictures are fetched

let playing = null; // {frames, start, from, request, at}

const exposed = (cells) => cells.flatMap((cell) => Array(cell.exposure).fill(cell));

export const isPlaying = () => playing !== null;

export function toggle(onlyGap = false) {
  if (playing) return stop();
  if (!store.cells.length) return undefined;
  if (store.isHinting) store.setHinting(false);
  const { row } = store;
  const last = store.cells.findIndex((cell) => cell.row.key === row.next && cell.isKey);
  const first = store.cells.findIndex((cell) => cell.row.key === row.key);
  const range = onlyGap && row.next ? store.cells.slice(first, last > first ? last + 1 : undefined) : store.cells;
  const frames = exposed(range);
  const at = Math.max(0, frames.indexOf(store.cell));
  // At the end, as after an earlier playing, it begins anew.
  playing = { frames, from: at === frames.length - store.cell.exposure ? 0 : at, start: performance.now(), at: -1 };
  document.body.classList.add("playing");
  renderButton();
  playing.request = requestAnimationFrame(advance);
  return undefined;
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
  if (playing) stop();
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

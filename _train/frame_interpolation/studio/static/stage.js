// The large picture: a drawing, its onion skin, or in hint mode both keys of a gap.

import { $ } from "./dom.js";
import { load, ready } from "./pictures.js";
import { on, store } from "./store.js";

const SKIN = 0.5; // opacity of onion skins
const BEFORE = "#e4572e", AFTER = "#2176c7"; // their tints
const PAPERS = { white: "#fff", grey: "#9a9a9a", black: "#000" };
const LARGEST_VIEW = 1280; // pixels: of "view", as the server reduces it
const ZOOMS = [0, 1, 2, 4]; // screen pixels for each of the picture; 0 fits

const canvas = $("canvas"), frame = $("frame"), stage = $("stage");
const context = canvas.getContext("2d");
const scratch = document.createElement("canvas");
let flipped = 0; // drawings away from the selected one, as long as a key is held
let zoom = 0;
let shown = 0; // counts what is shown, so that a picture that comes late is not

const settings = { onion: "off", paper: "white" };

export function render() {
  if (store.isHinting) return flipped ? show(keyCell(flipped < 0 ? store.row : store.follower(store.row)), []) : renderHinting(false);
  const cell = store.cells[Math.max(0, Math.min(store.index + flipped, store.cells.length - 1))];
  if (!cell) return clear();
  show(cell, settings.onion === "off" || flipped ? [] : skinsOf(cell));
}

// Both keys of a gap over one another; the one that is looked for a place in is the clearer.
export function renderHinting(isSecond) {
  const row = store.row, follower = store.follower(row);
  const keys = [keyCell(row), keyCell(follower)];
  const [clear, skin] = isSecond ? [keys[1], [keys[0], BEFORE]] : [keys[0], [keys[1], AFTER]];
  show(clear, [skin]);
}

const keyCell = (row) => ({ row, number: 0, id: row.id, isKey: true });

// A drawing at once, as in playing; returns whether it was there.
export function showNow(cell) {
  const bitmap = store.isDrawn(cell) && ready(cell.id, "view");
  if (!bitmap) return false;
  shown++;
  paint(cell, bitmap, []);
  return true;
}

export function flip(by) {
  flipped = by;
  render();
}

export function nextZoom() {
  zoom = (zoom + 1) % ZOOMS.length;
  render();
}

async function show(cell, skins) {
  const turn = ++shown;
  const isDrawn = store.isDrawn(cell);
  describe(cell, isDrawn);
  const base = isDrawn ? cell : standIn(cell);
  const [bitmap, ...others] = await Promise.all([base, ...skins.map(([other]) => other)].map(picture));
  if (turn !== shown) return;
  paint(cell, bitmap, others.map((other, i) => [other, skins[i][1]]).filter(([other]) => other));
}

// The nearest drawing before one that is not there yet.
const standIn = (cell) => store.cells.slice(0, store.cells.indexOf(cell)).findLast((other) => store.isDrawn(other));

function picture(cell) {
  if (!cell?.id) return undefined;
  const { width, height } = cell.row;
  return load(cell.id, ZOOMS[zoom] && Math.max(width, height) > LARGEST_VIEW ? "full" : "view");
}

function skinsOf(cell) {
  const at = store.cells.indexOf(cell);
  const isWanted = settings.onion === "keys" ? (other) => other.isKey : (other) => store.isDrawn(other);
  const before = store.cells.slice(0, at).findLast(isWanted), after = store.cells.slice(at + 1).find(isWanted);
  return [[before, BEFORE], [after, AFTER]].filter(([other]) => other);
}

function paint(cell, bitmap, skins) {
  fit(cell.row.width, cell.row.height, bitmap);
  drawPaper(context, canvas.width, canvas.height, settings.paper);
  if (bitmap) context.drawImage(bitmap, 0, 0, canvas.width, canvas.height);
  for (const [other, tint] of skins) {
    context.globalAlpha = SKIN;
    context.globalCompositeOperation = "multiply";
    context.drawImage(tinted(other, tint), 0, 0, canvas.width, canvas.height);
    context.globalAlpha = 1;
    context.globalCompositeOperation = "source-over";
  }
}

// Over white, with what is dark in the colour of the tint.
function tinted(bitmap, tint) {
  [scratch.width, scratch.height] = [bitmap.width, bitmap.height];
  const ink = scratch.getContext("2d");
  drawPaper(ink, scratch.width, scratch.height, "white");
  ink.drawImage(bitmap, 0, 0);
  ink.globalCompositeOperation = "screen";
  ink.fillStyle = tint;
  ink.fillRect(0, 0, scratch.width, scratch.height);
  return scratch;
}

function drawPaper(ink, w, h, name) {
  if (name === "checks") {
    for (let y = 0; y < h; y += 16) for (let x = 0; x < w; x += 16) {
      ink.fillStyle = (x + y) % 32 ? "#ccc" : "#fff";
      ink.fillRect(x, y, 16, 16);
    }
    return;
  }
  ink.fillStyle = PAPERS[name];
  ink.fillRect(0, 0, w, h);
}

function fit(width, height, bitmap) {
  const [w, h] = bitmap ? [bitmap.width, bitmap.height] : [width || 16, height || 9];
  if (canvas.width !== w || canvas.height !== h) [canvas.width, canvas.height] = [w, h];
  const margin = 16;
  const fitting = Math.min((stage.clientWidth - margin) / (width || w), (stage.clientHeight - margin) / (height || h));
  const scale = ZOOMS[zoom] ? ZOOMS[zoom] / devicePixelRatio : fitting;
  frame.style.width = `${(width || w) * scale}px`;
  frame.style.height = `${(height || h) * scale}px`;
  frame.classList.toggle("pixels", ZOOMS[zoom] > 1);
  $("arrows").setAttribute("viewBox", `-0.5 -0.5 ${width || w} ${height || h}`);
}

function clear() {
  drawPaper(context, canvas.width, canvas.height, settings.paper);
  $("caption").textContent = "";
}

function describe(cell, isDrawn) {
  const { row } = cell;
  const name = cell.isKey ? row.key : `${row.key} + ${cell.number} of ${row.drawings.length}, at ${cell.tick}`;
  const problem = cell.isKey ? row.keyProblem : row.problem;
  const waits = isDrawn || problem ? "" : store.drawing === cell.id ? " — is being drawn …" : " — not drawn yet";
  canvas.setAttribute("aria-label", name);
  canvas.classList.toggle("waiting", !isDrawn);
  $("caption").textContent = store.isHinting ? `${store.row.key} → ${store.row.next}` : name + waits;
}

// Browsers that block storage throw at any access to it.
function remembered(id) {
  try {
    return localStorage.getItem(id);
  } catch {
    return null;
  }
}

function remember(id, value) {
  try {
    localStorage.setItem(id, value);
  } catch {}
}

for (const id of ["onion", "paper"]) {
  settings[id] = remembered(id) ?? settings[id];
  if ($(id).selectedIndex >= 0) $(id).value = settings[id];
  $(id).addEventListener("change", () => {
    settings[id] = $(id).value;
    remember(id, settings[id]);
    render();
  });
}
export function cycleOnion() {
  $("onion").selectedIndex = ($("onion").selectedIndex + 1) % 3;
  $("onion").dispatchEvent(new Event("change"));
}

on("drawn", (id) => store.cell?.id === id && render());
on("drawing", (id) => store.cell?.id === id && render());
new ResizeObserver(render).observe(stage);

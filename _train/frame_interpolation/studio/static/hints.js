// Hints of a gap: arrows from a point of the first key to its place in the second.
//
// They are dragged with the mouse, or placed by the keyboard with a cross: arrows, Shift for larger steps, Enter.

import { $, follow, make, makeSvg } from "./dom.js";
import { address } from "./pictures.js";
import { renderHinting } from "./stage.js";
import { on, store } from "./store.js";

const GRIP = 7, STEP = 2, LARGE_STEP = 20; // screen pixels; pixels of the picture

const arrows = $("arrows");
let draft = null; // {from, to} of a hint that is being made; to may be missing
let cross = null; // [x, y] of the keyboard's cross

const points = (stroke) => (typeof stroke[0] === "number" ? [stroke] : stroke);
const isPoint = (hint) => typeof hint.from[0] === "number";
const round = ([x, y]) => [Math.round(x * 10) / 10, Math.round(y * 10) / 10];
const inside = ([x, y]) => {
  const { width, height } = store.row;
  return [Math.min(Math.max(x, 0), width - 1), Math.min(Math.max(y, 0), height - 1)];
};

function place(event) {
  const at = new DOMPoint(event.clientX, event.clientY).matrixTransform(arrows.getScreenCTM().inverse());
  return round(inside([at.x, at.y]));
}

function render() {
  const row = store.row;
  document.body.classList.toggle("hinting", store.isHinting);
  $("hinting").setAttribute("aria-pressed", store.isHinting);
  if (!store.isHinting) draft = cross = null;
  renderArrows();
  renderList(row);
  renderResult(row);
}

function renderArrows() {
  arrows.replaceChildren();
  if (!store.isHinting) return;
  const scale = 1 / (arrows.getScreenCTM()?.a || 1);
  store.row.hints.forEach((hint, i) => arrows.append(arrow(hint, scale, i)));
  if (draft?.to) arrows.append(arrow(draft, scale, -1));
  else if (draft) arrows.append(dot(draft.from, scale, "from"));
  if (cross) {
    const [x, y] = cross, r = 12 * scale;
    arrows.append(makeSvg("path", { class: "cross", d: `M${x - r} ${y}H${x + r}M${x} ${y - r}V${y + r}` }));
  }
}

function arrow(hint, scale, number) {
  const [start, end] = [points(hint.from), points(hint.to)];
  const group = makeSvg("g", { class: "hint" });
  for (const stroke of [start, end]) {
    if (stroke.length > 1) group.append(makeSvg("polyline", { points: stroke.join(" "), class: "stroke" }));
  }
  const [[x0, y0], [x1, y1]] = [start[0], end[0]];
  group.append(makeSvg("line", { x1: x0, y1: y0, x2: x1, y2: y1 }), dot(start[0], scale, "from"), dot(end[0], scale, "to"));
  if (number >= 0 && isPoint(hint)) {
    group.querySelectorAll("circle").forEach((circle) => circle.addEventListener("pointerdown", (event) => move(event, number, circle.classList[0])));
  }
  return group;
}

const dot = ([x, y], scale, end) => makeSvg("circle", { cx: x, cy: y, r: GRIP * scale, class: end });

function renderList(row) {
  const items = (row?.hints ?? []).map((hint, i) => {
    const remove = make("button", { type: "button", "aria-label": `Remove hint ${i + 1}`, title: "Remove" }, "×");
    remove.addEventListener("click", () => removeHint(hint));
    const told = [hint.from, hint.to].map((stroke) => points(stroke)[0].map(Math.round).join(", ")).join(" → ");
    return make("li", {}, make("span", {}, isPoint(hint) ? told : `stroke at ${told}`), remove);
  });
  $("hint-list").replaceChildren(...items);
}

// What comes of the hints: the in-between in the middle.
function renderResult(row) {
  const middle = row?.drawings[Math.floor(row.drawings.length / 2)];
  $("result").hidden = !store.isHinting || !middle;
  if ($("result").hidden) return;
  const isDrawn = store.drawnOf({ drawings: [middle] }) > 0;
  $("result").classList.toggle("waiting", !isDrawn);
  if (isDrawn) $("result").src = address(middle.id, "view");
}

const change = (to) => store.changeHints(store.row.key, to);
const isSame = (one, other) => JSON.stringify(one) === JSON.stringify(other);
const add = (hint) => change((hints) => [...hints, hint]);
const removeHint = (hint) => change((hints) => hints.filter((other) => !isSame(other, hint)));
const removeLast = () => store.row?.hints.length && change((hints) => hints.slice(0, -1));

// Draw a hint until the pointer is released; `finish` has its last place.
function draw(event, moved, finish) {
  event.stopPropagation();
  renderHinting(true);
  follow(event, arrows, (now) => { moved(place(now)); renderArrows(); }, (now) => {
    renderHinting(false);
    finish(now.type === "pointerup" ? place(now) : null);
    draft = null;
    renderArrows();
  });
}

arrows.addEventListener("pointerdown", (event) => {
  if (!store.isHinting || event.button !== 0) return;
  const from = place(event);
  cross = null;
  draft = { from };
  draw(event, (to) => { draft = { from, to }; }, (to) => to && add({ from, to }));
});

// Take one end of a hint elsewhere.
function move(event, number, end) {
  if (event.button !== 0) return;
  const moved = store.row.hints[number];
  draw(event, (at) => { draft = { ...moved, [end]: at }; },
    (at) => at && change((hints) => hints.map((hint) => (isSame(hint, moved) ? { ...hint, [end]: at } : hint))));
}

// The keyboard in hint mode; returns whether it was of use.
export function press(event) {
  const direction = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
  if (direction) {
    const { width, height } = store.row, by = event.shiftKey ? LARGE_STEP : STEP;
    cross = cross ? inside(cross.map((x, i) => x + by * direction[i])) : [Math.round(width / 2), Math.round(height / 2)];
    if (draft) draft.to = cross;
  } else if (event.key === "Enter" && cross) {
    if (draft) {
      add({ from: draft.from, to: cross });
      draft = null;
    } else {
      draft = { from: cross };
    }
    renderHinting(Boolean(draft));
  } else if (event.key === "Escape") {
    if (!draft) store.setHinting(false);
    draft = cross = null;
    if (store.isHinting) renderHinting(false);
  } else if (event.key === "Delete" || event.key === "Backspace") {
    removeLast();
  } else {
    return false;
  }
  renderArrows();
  return true;
}

$("hinting").addEventListener("click", () => store.setHinting(!store.isHinting));
on("state select drawn", render);
new ResizeObserver(renderArrows).observe($("frame"));

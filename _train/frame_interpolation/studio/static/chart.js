// The timing chart of a gap, as animators draw it: a line from key to key with a tick for each in-between.
//
// Ticks are dragged, or moved by the arrows. They rest on 96ths of the gap; with Shift on 12ths, with Alt on 1000ths.

import { $, follow, make } from "./dom.js";
import { on, store } from "./store.js";

const FINE = 96, COARSE = 12, FREE = 1000;
const CLOSE = 0.08; // of the gap, for labels

const chart = $("chart");
const line = make("div", { className: "line" });
const ends = [make("span", { className: "end first" }), make("span", { className: "end second" })];
chart.append(ends[0], line, ends[1]);

function render() {
  const row = store.row;
  if (!row?.next) return;
  [ends[0].textContent, ends[1].textContent] = [row.key, row.next];
  const hadFocus = line.contains(document.activeElement);
  while (line.children.length > row.drawings.length) line.lastChild.remove();
  while (line.children.length < row.drawings.length) line.append(newTick());
  row.drawings.forEach((one, i) => fill(line.children[i], row, one, i));
  spreadLabels();
  if (hadFocus && !line.contains(document.activeElement)) line.lastChild?.focus();
}

// Labels of ticks that are close to one another stand in two columns.
function spreadLabels() {
  let isAside = false, above = -1;
  for (const tick of line.children) {
    isAside = tick.position - above < CLOSE && !isAside;
    tick.classList.toggle("aside", isAside);
    above = tick.position;
  }
}

function newTick() {
  const tick = make("button", { type: "button", className: "tick", role: "slider", "aria-orientation": "vertical" },
    make("span"));
  tick.addEventListener("pointerdown", drag);
  tick.addEventListener("keydown", press);
  tick.addEventListener("click", () => select(tick));
  return tick;
}

function fill(tick, row, one, i) {
  tick.row = row;
  tick.number = i;
  place(tick, one.position, one.tick);
  tick.setAttribute("aria-label", `In-between ${i + 1}`);
  tick.setAttribute("aria-valuemin", "0");
  tick.setAttribute("aria-valuemax", "1");
  tick.classList.toggle("selected", store.cell?.row.key === row.key && store.cell.number === i + 1);
}

function place(tick, position, text) {
  tick.position = position;
  tick.style.top = `${100 * position}%`;
  tick.lastChild.textContent = text.length > 7 ? position.toFixed(3) : text;
  tick.setAttribute("aria-valuenow", position.toFixed(4));
  tick.setAttribute("aria-valuetext", text);
}

const select = (tick) => store.select(store.cells.findIndex((cell) => cell.row.key === tick.row.key && cell.number === tick.number + 1));

const stepOf = (event) => (event.altKey ? FREE : event.shiftKey ? COARSE : FINE);

// The nearest position on the given parts of the gap that lies between the neighbours, as a fraction.
function rest(drawings, number, position, parts) {
  const above = drawings[number - 1]?.position ?? 0, below = drawings[number + 1]?.position ?? 1;
  const part = Math.min(Math.max(Math.round(position * parts), Math.floor(above * parts + 1e-9) + 1),
    Math.ceil(below * parts - 1e-9) - 1);
  if (part / parts <= above || part / parts >= below) return null;
  return reduced(part, parts);
}

function reduced(part, parts) {
  const divisor = (a, b) => (b ? divisor(b, a % b) : a);
  const by = divisor(part, parts);
  return { position: part / parts, text: `${part / by}/${parts / by}` };
}

function drag(event) {
  if (event.button !== 0) return;
  const tick = event.currentTarget;
  const { top, height } = line.getBoundingClientRect();
  let last = null;
  tick.focus();
  follow(event, tick, (moved) => {
    const rested = rest(tick.row.drawings, tick.number, (moved.clientY - top) / height, stepOf(moved));
    if (rested) place(tick, (last = rested).position, rested.text);
    spreadLabels();
  }, (ended) => {
    if (last && ended.type === "pointerup") move(tick, () => last.text);
    else render();
  });
}

function press(event) {
  const tick = event.currentTarget;
  const direction = { ArrowUp: -1, ArrowLeft: -1, ArrowDown: 1, ArrowRight: 1 }[event.key];
  if (direction) {
    const parts = stepOf(event);
    move(tick, (drawings, number) => stepped(drawings, number, direction, parts));
  } else if (event.key === "Delete" || event.key === "Backspace") {
    change(tick, () => []);
  } else {
    return;
  }
  event.preventDefault();
  event.stopPropagation();
}

function stepped(drawings, number, direction, parts) {
  const { position, tick: text } = drawings[number];
  const rested = rest(drawings, number, position + direction / parts, parts);
  return rested && Math.sign(rested.position - position) === direction ? rested.text : text;
}

async function move(tick, textOf) {
  select(tick);
  if (!(await change(tick, textOf))) render();
}

// Change the tick that is shown; if an earlier edit has moved or removed it meanwhile, the one in its place.
function change({ row, number }, textOf) {
  const { tick: shown } = row.drawings[number];
  return store.changeTicks(row.key, (drawings) => {
    const found = drawings.findIndex((one) => one.tick === shown);
    const at = found < 0 ? Math.min(number, drawings.length - 1) : found;
    return drawings.flatMap((one, i) => (i === at ? textOf(drawings, i) : one.tick));
  });
}

// A press on the line itself adds a tick there.
line.addEventListener("click", (event) => {
  if (event.target !== line) return;
  const { top, height } = line.getBoundingClientRect(), row = store.row;
  const { position, text } = reduced(Math.min(FINE - 1, Math.max(1, Math.round((event.clientY - top) / height * FINE))), FINE);
  store.changeTicks(row.key, (drawings) =>
    [...drawings, { position, tick: text }].sort((a, b) => a.position - b.position).map((one) => one.tick));
});

export const focusChart = () => (line.querySelector(".selected") ?? line.firstChild)?.focus();

on("state select", render);

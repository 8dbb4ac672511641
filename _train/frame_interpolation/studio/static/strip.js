// The film strip: a cell for each drawing; pictures are fetched as they come near.

import { $, make } from "./dom.js";
import { address } from "./pictures.js";
import { on, store } from "./store.js";

const AHEAD = "0px 1500px"; // how far beyond what is seen pictures are fetched

const strip = $("strip");
const observer = new IntersectionObserver((entries) => {
  for (const { isIntersecting, target } of entries) {
    target.near = isIntersecting;
    showPicture(target);
  }
}, { root: strip, rootMargin: AHEAD });

function render() {
  while (strip.children.length > store.cells.length) strip.lastChild.remove();
  while (strip.children.length < store.cells.length) strip.append(newCell());
  store.cells.forEach((cell, i) => fill(strip.children[i], cell, i));
  renderSelection();
}

function newCell() {
  const picture = make("img", { alt: "", decoding: "async", draggable: false });
  const element = make("li", { role: "option" }, make("div", { className: "picture" }, picture), make("span"));
  observer.observe(element);
  return element;
}

function fill(element, cell, i) {
  element.cell = cell;
  element.id = `cell-${i}`;
  element.classList.toggle("key", cell.isKey);
  const { width, height } = cell.row;
  element.style.setProperty("--ratio", width && height ? width / height : 16 / 9);
  const label = cell.isKey ? cell.row.key : cell.tick.length > 6 ? cell.position.toFixed(3) : cell.tick;
  const exposed = cell.exposure > 1 ? ` ×${cell.exposure}` : "";
  if (element.lastChild.textContent !== label + exposed) element.lastChild.textContent = label + exposed;
  renderState(element);
}

function renderState(element) {
  const { cell } = element;
  const isDrawn = store.isDrawn(cell);
  const problem = cell.isKey ? cell.row.keyProblem : cell.row.problem;
  element.classList.toggle("missing", !isDrawn && !problem);
  element.classList.toggle("drawing", !isDrawn && store.drawing !== "" && store.drawing === cell.id);
  element.classList.toggle("bad", Boolean(problem) && !isDrawn);
  const state = isDrawn ? "" : problem || "not drawn yet";
  const name = cell.isKey ? `key ${cell.row.key}` : `in-between ${cell.number} of ${cell.row.key}, at ${cell.tick}`;
  element.setAttribute("aria-label", state ? `${name}, ${state}` : name);
  element.title = state || name;
  showPicture(element);
}

function showPicture(element) {
  const picture = element.querySelector("img");
  const wanted = element.near && store.isDrawn(element.cell) ? address(element.cell.id, "thumbnail") : "";
  if (!wanted && store.isDrawn(element.cell)) return; // far away: what it shows, it goes on showing
  if ((picture.getAttribute("src") ?? "") === wanted) return;
  if (wanted) picture.src = wanted;
  else picture.removeAttribute("src");
}

function renderSelection() {
  const at = store.index;
  for (const element of strip.querySelectorAll("[aria-selected=true]")) element.removeAttribute("aria-selected");
  const element = strip.children[at];
  if (!element) return;
  element.setAttribute("aria-selected", "true");
  strip.setAttribute("aria-activedescendant", element.id);
  const { left, right } = strip.getBoundingClientRect(), own = element.getBoundingClientRect();
  if (own.left < left || own.right > right) strip.scrollLeft += own.left - left - (right - left - own.width) / 2;
}

strip.addEventListener("click", (event) => {
  const element = event.target.closest("li");
  if (element) store.select([...strip.children].indexOf(element));
});
strip.addEventListener("wheel", (event) => {
  if (event.deltaX || !event.deltaY) return;
  event.preventDefault();
  strip.scrollLeft += event.deltaY;
}, { passive: false });

on("state", render);
on("select", renderSelection);
on("drawn drawing", () => [...strip.children].forEach(renderState));

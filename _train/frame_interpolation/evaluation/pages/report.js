// The report's page: summary, distributions, a table of items of which only the rows in view exist, and a viewer.
// DATA comes from data.js, written by report.py, which says what is in it. All of its text goes in as text nodes.
"use strict";

const byId = (id) => document.getElementById(id);

function element(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else node.setAttribute(name, value);
  }
  node.append(...children);
  return node;
}

// ---- Items -------------------------------------------------------------------------------------------------------

const methods = DATA.scores.map(({ method }) => method);
const score = (item, method, metric) => DATA.scores[method].columns[metric][item];
const labelsOf = (item) => DATA.labels.sets[DATA.labels.column[item]];
const metadataOf = (item, field) => field.values[field.column[item]] ?? "";
const pictureOf = (item, picture) => `items/${DATA.folders[item]}/${picture}.webp`;

function thumbnail(item, picture) {
  const [width, height] = DATA.sizes[item];
  const count = labelsOf(item).length;
  const node = element("span", { class: "thumbnail" });
  node.style.aspectRatio = `${width} / ${height}`;
  node.style.backgroundImage = `url("items/${DATA.folders[item]}/thumbnails.webp")`;
  node.style.backgroundSize = `${100 * count}% 100%`;
  node.style.backgroundPosition = `${count > 1 ? (100 * picture) / (count - 1) : 0}% 0`;
  return node;
}

// ---- Numbers -----------------------------------------------------------------------------------------------------

function quantile(sorted, share) {
  const place = share * (sorted.length - 1);
  const below = Math.floor(place);
  return sorted[below] + (place - below) * ((sorted[below + 1] ?? sorted[below]) - sorted[below]);
}

const finite = (values) => values.filter(Number.isFinite).sort((a, b) => a - b);

// Of each metric, its finite values over all items and methods, and how a value is written: with four digits or so.
const metrics = DATA.metrics.map((metric, m) => {
  const values = finite(DATA.scores.flatMap(({ columns }) => columns[m]));
  const size = Math.abs(quantile(finite(values.map(Math.abs)), 0.5)) || 1;
  const decimals = Math.max(0, 3 - Math.floor(Math.log10(size)));
  const format = (value) => {
    if (Number.isNaN(value)) return "–";
    if (!Number.isFinite(value)) return value > 0 ? "∞" : "−∞";
    return (decimals > 6 ? value.toExponential(3) : value.toFixed(decimals)).replace("-", "−");
  };
  return { ...metric, values, format };
});

const better = (metric) => (metric.higherIsBetter ? "higher is better" : "lower is better");

function bestOf(item, m) {
  const values = methods.map((_, method) => score(item, method, m)).filter((value) => !Number.isNaN(value));
  return methods.length > 1 ? (metrics[m].higherIsBetter ? Math.max : Math.min)(...values) : NaN;
}

// ---- Summary -----------------------------------------------------------------------------------------------------

function showSummary() {
  const { columns, rows } = DATA.summary;
  byId("summary").hidden = rows.length === 0;
  const isNumber = columns.map((_, c) => rows.every((row) => /^([−+-]?[\d.]|[–∞]|$)/.test(row[c])));
  const kind = (c) => (isNumber[c] ? { class: "number" } : {});
  byId("summary-table").append(
    element("thead", {}, element("tr", {}, ...columns.map((name, c) => element("th", { scope: "col", ...kind(c) }, name)))),
    element("tbody", {}, ...rows.map((row) => element("tr", {}, ...row.map((cell, c) => element("td", kind(c), cell))))),
  );
}

// ---- Distributions -----------------------------------------------------------------------------------------------

function shape(tag, attributes) {
  const node = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  return node;
}

function ticks(low, high) {
  const rough = (high - low) / 4;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = power * [1, 2, 5, 10].find((factor) => factor * power >= rough);
  const first = Math.ceil(low / step);
  return Array.from({ length: Math.floor(high / step) - first + 1 }, (_, i) => Number(((first + i) * step).toPrecision(6)));
}

function showDistributions(items) {
  byId("distributions").replaceChildren(...metrics.map((metric, m) => distribution(metric, m, items)));
}

function distribution(metric, m, items) {
  const figure = element("figure", {}, element("figcaption", {}, metric.name, " ", element("span", {}, better(metric))));
  if (metric.values.length === 0) return figure;
  let [low, high] = [0.005, 0.995].map((share) => quantile(metric.values, share));
  if (low === high) [low, high] = [low - 0.5, high + 0.5];
  const x = (value) => 100 * Math.min(1, Math.max(0, (value - low) / (high - low)));
  const columns = methods.map((_, method) => items.map((item) => score(item, method, m)).filter((value) => !Number.isNaN(value)));
  const bins = Math.round(Math.min(80, Math.max(12, 2.5 * Math.sqrt(items.length))));
  const counts = columns.map((values) => {
    const found = new Array(bins).fill(0);
    for (const value of values) found[Math.min(bins - 1, Math.floor((x(value) / 100) * bins))] += 1;
    return found;
  });
  const tallest = Math.max(1, ...counts.flat());
  methods.forEach((method, place) => {
    const sorted = columns[place].sort((a, b) => a - b);
    const [quarter, median, threeQuarters] = [0.25, 0.5, 0.75].map((share) => (sorted.length ? quantile(sorted, share) : NaN));
    const svg = shape("svg", { viewBox: "0 0 100 40", preserveAspectRatio: "none", role: "img" });
    svg.setAttribute("aria-label", `${method}: median ${metric.format(median)}, half of the items from `
      + `${metric.format(quarter)} to ${metric.format(threeQuarters)}`);
    if (sorted.length) {
      const steps = counts[place].map((count, i) => `V${40 - (36 * count) / tallest}H${(100 * (i + 1)) / bins}`);
      svg.append(
        shape("rect", { class: "middle", x: x(quarter), y: 0, width: x(threeQuarters) - x(quarter), height: 40 }),
        shape("path", { class: "area", d: `M0 40${steps.join("")}V40Z` }),
        shape("line", { x1: x(median), x2: x(median), y1: 0, y2: 40 }),
      );
    }
    figure.append(
      element("span", { class: "method", title: method }, method),
      svg,
      element("span", { class: "median" }, metric.format(median)),
    );
  });
  const axis = element("div", { class: "axis", "aria-hidden": "true" });
  for (const value of ticks(low, high)) {
    const tick = element("span", {}, String(value).replace("-", "−"));
    tick.style.left = `${x(value)}%`;
    axis.append(tick);
  }
  figure.append(axis);
  return figure;
}

// ---- Table of items ----------------------------------------------------------------------------------------------

const ROW = 56; // pixels, as in the style sheet
const BEYOND = 8; // rows kept above and below those in view

const text = new Intl.Collator(undefined, { numeric: true });
const width = (texts, least, most) => Math.min(most, Math.max(least, ...texts.map((t) => t.length + 3)));

const columns = [
  { label: "Name", ch: width(DATA.names, 16, 36), value: (item) => DATA.names[item] },
  ...DATA.metadata.map((field) => ({
    label: field.name,
    ch: width([field.name, ...field.values], 7, 22),
    value: (item) => metadataOf(item, field),
  })),
  ...metrics.flatMap((metric, m) => methods.map((method, place) => ({
    label: method,
    group: metric.name,
    startsGroup: place === 0,
    ch: width([method, ...DATA.scores[place].columns[m].map(metric.format)], 9, 18),
    higherIsBetter: metric.higherIsBetter,
    isNumber: true,
    metric: m,
    value: (item) => score(item, place, m),
  }))),
];

let listed = DATA.names.map((_, item) => item); // items in the table, in its order
let sorting = { column: 0, isReversed: false }; // numbers: the best first unless reversed
const rows = new Map(); // item -> its row, of those that exist
const spaces = [0, 1].map(() => element("tr", { class: "space", "aria-hidden": "true" }, element("td", { colspan: columns.length + 1 })));
const body = element("tbody");

function showTable() {
  const widths = [...columns.map(({ ch }) => `${ch}ch`)];
  const groups = columns.filter(({ startsGroup }) => startsGroup).map(({ group, metric }) =>
    element("th", { scope: "colgroup", colspan: methods.length, class: "group", title: better(metrics[metric]) }, group));
  const heads = columns.map((column, c) => {
    const kind = [column.isNumber ? "number" : "", column.startsGroup ? "group" : ""].join(" ").trim();
    const button = element("button", { type: "button", title: column.label, onclick: () => sortBy(c) }, column.label);
    if (column.group) button.setAttribute("aria-label", `${column.group} of ${column.label}`);
    return element("th", { scope: "col", ...(kind && { class: kind }) }, button);
  });
  const table = byId("items-table");
  table.append(
    element("colgroup", {}, element("col"), ...columns.map(() => element("col"))),
    element("thead", {},
      element("tr", {}, element("td", { colspan: 2 + DATA.metadata.length }), ...groups),
      element("tr", {}, element("th", { "aria-label": "Picture" }), ...heads)),
    body,
  );
  table.querySelectorAll("col").forEach((col, c) => { col.style.width = c ? widths[c - 1] : "112px"; });
  table.style.width = `calc(112px + ${widths.join(" + ")})`;
  table.style.minWidth = "100%";
  body.append(...spaces);
  byId("items").addEventListener("scroll", showRows, { passive: true });
  new ResizeObserver(showRows).observe(byId("items"));
}

function sortBy(column) {
  sorting = { column, isReversed: sorting.column === column && !sorting.isReversed };
  list();
}

function compare(a, b) {
  const { value, isNumber, higherIsBetter } = columns[sorting.column];
  const [first, second] = [value(a), value(b)];
  const sign = sorting.isReversed ? -1 : 1;
  if (!isNumber) return sign * text.compare(first, second);
  if (Number.isNaN(first) || Number.isNaN(second)) return Number.isNaN(first) - Number.isNaN(second);
  return first === second ? 0 : sign * (first < second ? -1 : 1) * (higherIsBetter ? -1 : 1);
}

// Filters and sorts, and shows what is left from its top on.
function list() {
  const wanted = byId("search").value.toLowerCase();
  const chosen = [...document.querySelectorAll("#filters select")].map((select) => [DATA.metadata[select.dataset.field], select.value]);
  listed = DATA.names
    .map((_, item) => item)
    .filter((item) => DATA.names[item].toLowerCase().includes(wanted))
    .filter((item) => chosen.every(([field, place]) => place === "" || field.column[item] === Number(place)))
    .sort((a, b) => compare(a, b) || a - b);
  const total = `${DATA.names.length} ${DATA.names.length === 1 ? "item" : "items"}`;
  byId("count").value = listed.length === DATA.names.length ? total : `${listed.length} of ${total}`;
  byId("items-table").setAttribute("aria-rowcount", listed.length + 2);
  document.querySelectorAll("#items-table thead tr:last-child th").forEach((head, c) => {
    head.removeAttribute("aria-sort");
    if (c - 1 !== sorting.column) return;
    const isDescending = sorting.isReversed !== Boolean(columns[c - 1].higherIsBetter);
    head.setAttribute("aria-sort", isDescending ? "descending" : "ascending");
  });
  for (const row of rows.values()) row.remove();
  rows.clear();
  byId("items").scrollTop = 0;
  showRows();
}

function showRows() {
  const box = byId("items");
  const first = Math.max(0, Math.floor(box.scrollTop / ROW) - BEYOND);
  const last = Math.min(listed.length, Math.ceil((box.scrollTop + box.clientHeight) / ROW) + BEYOND);
  const wanted = listed.slice(first, last);
  const kept = new Set(wanted);
  for (const [item, row] of rows) {
    if (kept.has(item)) continue;
    row.remove();
    rows.delete(item);
  }
  let next = spaces[0].nextSibling;
  wanted.forEach((item, i) => {
    if (!rows.has(item)) rows.set(item, newRow(item, first + i));
    const row = rows.get(item);
    if (row === next) next = next.nextSibling;
    else body.insertBefore(row, next);
  });
  spaces[0].firstChild.style.height = `${first * ROW}px`;
  spaces[1].firstChild.style.height = `${(listed.length - last) * ROW}px`;
}

function newRow(item, place) {
  const cells = columns.map((column) => {
    if (!column.isNumber) return element("td", { title: column.value(item) }, column.value(item));
    const value = column.value(item);
    const kind = ["number", column.startsGroup ? "group" : "", value === bestOf(item, column.metric) ? "best" : ""];
    return element("td", { class: kind.join(" ").trim() }, metrics[column.metric].format(value));
  });
  cells[0].replaceChildren(element("button", { type: "button" }, DATA.names[item]));
  return element("tr", { "aria-rowindex": place + 3, onclick: () => openViewer(item) }, element("td", {}, thumbnail(item, 0)), ...cells);
}

function showFilters() {
  DATA.metadata.forEach((field, f) => {
    if (field.values.length < 2 || field.values.length > 100) return;
    const options = field.values.map((value, place) => element("option", { value: place }, value));
    const select = element("select", { "data-field": f }, element("option", { value: "" }, "all"), ...options);
    byId("count").before(element("label", {}, field.name, " ", select));
  });
  const filter = () => { list(); showDistributions(listed); };
  byId("filters").addEventListener("input", filter);
  byId("filters").addEventListener("submit", (event) => event.preventDefault());
}

// ---- Viewer ------------------------------------------------------------------------------------------------------

const LEVELS = [0.25, 0.5, 1, 2, 3, 4, 6, 8, 12, 16, 24, 32]; // pixels of the screen for one of the picture

const view = {
  item: 0,
  picture: 0, // shown; when wiping, on the left
  other: 1, // shown before; when wiping, on the right
  isWiping: false,
  divider: 0.5, // of the stage's width
  level: null, // of LEVELS, or null to fit the stage
  centre: [0.5, 0.5], // what point of the picture the stage's centre shows
  images: [],
};
let addressing; // the timer that sets the address of what is shown
let ahead = []; // pictures of the neighbours, held so that they stay decoded

function openViewer(item, label) {
  if (!byId("viewer").open) byId("viewer").showModal();
  byId("stage").focus();
  showItem(item, label);
}

function showItem(item, label = labelsOf(view.item)[view.picture]) {
  const otherLabel = labelsOf(view.item)[view.other];
  const labels = labelsOf(item);
  const find = (wanted, fallback) => (labels.includes(wanted) ? labels.indexOf(wanted) : Math.min(fallback, labels.length - 1));
  view.item = item;
  view.picture = find(label, 0);
  view.other = find(otherLabel, 1);
  if (view.other === view.picture) view.other = (view.picture + 1) % labels.length;

  byId("viewer-name").textContent = DATA.names[item];
  byId("position").textContent = listed.includes(item) ? `${listed.indexOf(item) + 1} of ${listed.length}` : "";
  const metadata = DATA.metadata.map((field) => [field.name, metadataOf(item, field)]).filter(([, value]) => value);
  byId("viewer-metadata").replaceChildren(...metadata.flatMap(([name, value]) => [element("dt", {}, name), element("dd", {}, value)]));
  showScores(item);
  showStrip(item);
  loadPictures(item);
  showPicture();
}

function showScores(item) {
  const head = element("tr", {}, element("td"), ...metrics.map((metric) =>
    element("th", { scope: "col", class: "number", title: better(metric) }, metric.name)));
  const lines = methods.map((method, place) => element("tr", {}, element("th", { scope: "row" }, method), ...metrics.map((metric, m) => {
    const value = score(item, place, m);
    return element("td", { class: value === bestOf(item, m) ? "number best" : "number" }, metric.format(value));
  })));
  byId("viewer-scores").replaceChildren(element("thead", {}, head), element("tbody", {}, ...lines));
}

function showStrip(item) {
  byId("strip").replaceChildren(...labelsOf(item).map((label, picture) => {
    const number = picture < 9 ? [element("b", {}, String(picture + 1))] : [];
    const caption = element("span", { class: "caption", title: label }, ...number, label);
    const choose = (event) => (event.shiftKey ? chooseOther(picture) : choosePicture(picture));
    return element("button", { type: "button", onclick: choose }, thumbnail(item, picture), caption);
  }));
  byId("against").replaceChildren(...labelsOf(item).map((label, picture) => element("option", { value: picture }, label)));
}

function loadPictures(item) {
  const images = labelsOf(item).map((label, picture) => {
    const image = element("img", { alt: `${label} of ${DATA.names[item]}`, draggable: "false" });
    image.addEventListener("error", () => image.classList.add("missing"));
    image.src = pictureOf(item, picture);
    return image;
  });
  view.images = images;
  const swap = () => {
    if (view.images !== images) return;
    byId("frame").replaceChildren(...images);
    const place = listed.indexOf(item);
    const neighbours = [listed[place + 1], listed[place - 1]].filter((neighbour) => place >= 0 && neighbour !== undefined);
    ahead = neighbours.flatMap((neighbour) => labelsOf(neighbour).map((_, picture) => {
      const image = new Image();
      image.src = pictureOf(neighbour, picture);
      return image;
    }));
  };
  images[view.picture].decode().then(swap, swap);
}

// Shows what `view` says; everything that only changes which pixels are seen ends here.
function showPicture() {
  const labels = labelsOf(view.item);
  view.images.forEach((image, picture) => {
    image.classList.toggle("shown", picture === view.picture);
    image.classList.toggle("under", view.isWiping && picture === view.other);
  });
  [...byId("strip").children].forEach((button, picture) => {
    button.setAttribute("aria-pressed", picture === view.picture);
    button.classList.toggle("under", view.isWiping && picture === view.other);
  });
  byId("strip").children[view.picture].scrollIntoView({ block: "nearest", inline: "nearest" });
  byId("label-left").textContent = labels[view.picture];
  byId("label-right").textContent = labels[view.other];
  for (const id of ["label-right", "divider", "against-label"]) byId(id).hidden = !view.isWiping;
  byId("against").value = view.other;
  byId("wipe").setAttribute("aria-pressed", view.isWiping);
  byId("stage").classList.toggle("wiping", view.isWiping);
  place();
  clearTimeout(addressing);
  addressing = setTimeout(() => {
    const where = new URLSearchParams({ item: DATA.names[view.item], picture: labels[view.picture] });
    history.replaceState(null, "", `#${where}`);
  }, 200); // browsers refuse many changes in a row
}

function fitting() {
  const [w, h] = DATA.sizes[view.item];
  const { clientWidth, clientHeight } = byId("stage");
  const level = devicePixelRatio * Math.min(clientWidth / w, clientHeight / h);
  return level < 1 ? level : Math.floor(level);
}

// Lays the picture on whole pixels of the screen, and cuts the upper one at the divider.
function place() {
  const stage = byId("stage");
  const frame = byId("frame");
  const level = view.level ?? fitting();
  const sides = DATA.sizes[view.item].map((side) => (side * level) / devicePixelRatio);
  const room = [stage.clientWidth, stage.clientHeight];
  const [left, top] = sides.map((side, axis) => {
    const margin = Math.min(0.5, room[axis] / 2 / side);
    view.centre[axis] = Math.min(1 - margin, Math.max(margin, view.centre[axis]));
    return Math.round((room[axis] / 2 - view.centre[axis] * side) * devicePixelRatio) / devicePixelRatio;
  });
  Object.assign(frame.style, { left: `${left}px`, top: `${top}px`, width: `${sides[0]}px`, height: `${sides[1]}px` });
  frame.classList.toggle("crisp", level >= 1);
  const seen = Math.min(1, Math.max(0, (view.divider * room[0] - left) / sides[0]));
  view.images.forEach((image, picture) => {
    image.style.clipPath = view.isWiping && picture === view.picture ? `inset(0 ${100 * (1 - seen)}% 0 0)` : "";
  });
  byId("divider").style.left = `${100 * view.divider}%`;
  byId("divider").setAttribute("aria-valuenow", Math.round(100 * view.divider));
  byId("zoom").value = `${Math.round(100 * level)} %`;
}

function choosePicture(picture) {
  if (picture === view.picture || picture >= labelsOf(view.item).length) return;
  if (!view.isWiping || picture === view.other) view.other = view.picture;
  view.picture = picture;
  showPicture();
}

function chooseOther(picture) {
  if (picture >= labelsOf(view.item).length) return;
  if (picture === view.picture) view.picture = view.other;
  view.other = picture;
  view.isWiping = true;
  showPicture();
}

function step(by) {
  const count = labelsOf(view.item).length;
  choosePicture((view.picture + by + count) % count);
}

function stepItem(by) {
  const item = listed[listed.indexOf(view.item) + by];
  if (item !== undefined) showItem(item);
}

function wipe() {
  view.isWiping = !view.isWiping && labelsOf(view.item).length > 1;
  showPicture();
}

// Zooms by a level about a point of the window, which stays where it is.
function zoom(by, point = null) {
  const before = view.level ?? fitting();
  const level = by > 0 ? LEVELS.find((candidate) => candidate > before) : LEVELS.findLast((candidate) => candidate < before);
  if (level === undefined) return;
  const box = byId("stage").getBoundingClientRect();
  const offset = point ? [point.clientX - box.left - box.width / 2, point.clientY - box.top - box.height / 2] : [0, 0];
  view.centre = view.centre.map((centre, axis) =>
    centre + ((offset[axis] * devicePixelRatio) / DATA.sizes[view.item][axis]) * (1 / before - 1 / level));
  view.level = level;
  place();
}

function fit() {
  view.level = null;
  place();
}

function closed() {
  if (byId("viewer").open) return; // again, by the address, before this event came
  history.replaceState(null, "", location.pathname + location.search);
  ahead = [];
  const row = listed.indexOf(view.item);
  const box = byId("items");
  if (row < 0) return;
  if (row * ROW < box.scrollTop || (row + 3) * ROW > box.scrollTop + box.clientHeight) box.scrollTop = (row - 2) * ROW;
  showRows();
  rows.get(view.item)?.querySelector("button").focus({ preventScroll: true });
}

function moveDivider(share) {
  view.divider = Math.min(1, Math.max(0, share));
  place();
}

const KEYS = {
  ArrowLeft: () => step(-1),
  ArrowRight: () => step(1),
  ArrowUp: () => stepItem(-1),
  ArrowDown: () => stepItem(1),
  PageUp: () => stepItem(-10),
  PageDown: () => stepItem(10),
  " ": () => choosePicture(view.other),
  w: wipe,
  W: wipe,
  "+": () => zoom(1),
  "=": () => zoom(1),
  "-": () => zoom(-1),
  0: fit,
};

function onKey(event) {
  if (!byId("viewer").open || event.ctrlKey || event.metaKey || event.altKey || event.target.matches("select")) return;
  if (event.target.matches("button") && (event.key === " " || event.key === "Enter")) return;
  const digit = /^(?:Digit|Numpad)([1-9])$/.exec(event.code);
  const isSlide = event.target.id === "divider" && /^Arrow(Left|Right)$/.test(event.key);
  if (digit) (event.shiftKey ? chooseOther : choosePicture)(digit[1] - 1);
  else if (isSlide) moveDivider(view.divider + (event.key === "ArrowLeft" ? -0.02 : 0.02));
  else if (KEYS[event.key]) KEYS[event.key]();
  else return;
  event.preventDefault();
}

function onPress(event) {
  if (event.button > 1) return;
  const stage = byId("stage");
  const { left, width } = stage.getBoundingClientRect();
  const slides = view.isWiping && !event.shiftKey && event.button === 0;
  const start = [event.clientX, event.clientY];
  const centre = [...view.centre];
  const move = (now) => {
    if (slides) {
      moveDivider((now.clientX - left) / width);
      return;
    }
    const level = view.level ?? fitting();
    const moved = [now.clientX - start[0], now.clientY - start[1]];
    view.centre = centre.map((c, axis) => c - (moved[axis] * devicePixelRatio) / level / DATA.sizes[view.item][axis]);
    place();
  };
  stage.focus();
  stage.setPointerCapture(event.pointerId);
  stage.addEventListener("pointermove", move);
  stage.addEventListener("lostpointercapture", () => stage.removeEventListener("pointermove", move), { once: true });
  if (slides) move(event);
  event.preventDefault();
}

let turned = 0; // of the wheel, in pixels, since the last level

function onWheel(event) {
  event.preventDefault();
  turned += event.deltaY * (event.deltaMode ? 40 : 1);
  if (Math.abs(turned) < 50) return;
  zoom(-turned, event);
  turned = 0;
}

function listenInViewer() {
  const clicks = {
    "previous-item": () => stepItem(-1), "next-item": () => stepItem(1), wipe, close: () => byId("viewer").close(),
    "zoom-in": () => zoom(1), "zoom-out": () => zoom(-1), "zoom-fit": fit,
  };
  for (const [id, action] of Object.entries(clicks)) byId(id).addEventListener("click", action);
  byId("against").addEventListener("change", () => chooseOther(Number(byId("against").value)));
  const viewer = byId("viewer");
  document.addEventListener("keydown", onKey); // of the document, as focus leaves the viewer when a control is hidden
  viewer.addEventListener("close", closed);
  // After the mouse the keys belong to the stage again; who moves by Tab stays where they are.
  viewer.addEventListener("click", (event) => { if (event.detail && event.target.closest("button")) byId("stage").focus(); });
  byId("stage").addEventListener("pointerdown", onPress);
  byId("stage").addEventListener("wheel", onWheel, { passive: false });
  byId("stage").addEventListener("dblclick", (event) => (view.level === null ? zoom(1, event) : fit()));
  new ResizeObserver(() => { if (viewer.open) place(); }).observe(byId("stage"));
}

function openFrom(address) {
  const where = new URLSearchParams(new URL(address).hash.slice(1));
  const item = DATA.names.indexOf(where.get("item"));
  if (item >= 0) openViewer(item, where.get("picture") ?? undefined);
}

// ---- Start -------------------------------------------------------------------------------------------------------

const plural = (count, word) => `${count} ${word}${count === 1 ? "" : "s"}`;

document.title = DATA.title;
byId("title").textContent = DATA.title;
byId("extent").textContent = [
  plural(DATA.names.length, "item"), plural(methods.length, "method"), plural(metrics.length, "metric"),
].join(", ");
showSummary();
showFilters();
showTable();
list();
showDistributions(listed);
listenInViewer();
openFrom(location.href);
// Not the address of now: the event comes late, and a viewer that closes in the meantime clears it.
window.addEventListener("hashchange", (event) => openFrom(event.newURL));

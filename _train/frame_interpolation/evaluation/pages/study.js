// The study's page. DATA comes from data.js, written by study.py: pairs of clips by name, for each two methods and for the
// checks of attention. What a participant will see, and has answered, is kept in localStorage after every answer.
"use strict";

const byId = (id) => document.getElementById(id);
const STORE = `study-${DATA.study}`;
const SHOWN_CHOICE = 250; // milliseconds that a choice stays visible

// ---- Chance, order, and what is kept -----------------------------------------------------------------------------

function below(limit) {
  return Math.floor((crypto.getRandomValues(new Uint32Array(1))[0] / 2 ** 32) * limit);
}

function shuffled(list) {
  const result = [...list];
  for (let i = result.length - 1; i > 0; i -= 1) {
    const j = below(i + 1);
    [result[i], result[j]] = [result[j], result[i]];
  }
  return result;
}

// The comparisons of one participant, [left, right] each: as many of each two methods, in any order. Checks are spread
// among them, never the first.
function drawTrials() {
  const groups = shuffled(DATA.comparisons.map(shuffled));
  const rounds = Math.max(...groups.map((group) => group.length));
  const dealt = Array.from({ length: rounds }, (_, i) => groups.map((group) => group[i])).flat().filter(Boolean);
  const compared = shuffled(dealt.slice(0, DATA.trials));
  const stretch = Math.ceil(compared.length / Math.max(1, DATA.checks.length));
  const trials = shuffled(DATA.checks).flatMap((check, i) => {
    const part = compared.slice(i * stretch, (i + 1) * stretch);
    part.splice(1 + below(part.length), 0, check);
    return part;
  });
  return [...trials, ...compared.slice(DATA.checks.length * stretch)].map(shuffled);
}

function newSession() {
  const bytes = [...crypto.getRandomValues(new Uint8Array(8))];
  const participant = bytes.map((byte) => byte.toString(16).padStart(2, "0")).join("");
  return { participant, trials: drawTrials(), answers: [], isStarted: false, isDownloaded: false };
}

function stored() {
  try {
    const session = JSON.parse(localStorage.getItem(STORE));
    return Array.isArray(session?.trials) && Array.isArray(session.answers) ? session : null;
  } catch {
    return null;
  }
}

function save() {
  try {
    localStorage.setItem(STORE, JSON.stringify(session));
    return true;
  } catch {
    return false;
  }
}

let session = stored() ?? newSession();

// ---- Trials ------------------------------------------------------------------------------------------------------

const trial = {
  shownAt: null, // when the participant could begin to choose; null while they cannot
  ahead: [], // images of the next trial, held while they load
  next: null, // the timer that ends the showing of a choice
};

// The number makes each showing a new image, so that the two clips of a trial start together.
const address = (clip, number) => `clips/${clip}.webp?${number}`;

function load(number) {
  return (session.trials[number] ?? []).map((clip) => {
    const image = new Image();
    image.src = address(clip, number);
    return image;
  });
}

function show(id) {
  for (const view of ["welcome", "trial", "end"]) byId(view).hidden = view !== id;
}

function showCurrent() {
  const number = session.answers.length;
  if (!session.isStarted) {
    show("welcome");
    byId("start").focus();
  } else if (number < session.trials.length) {
    show("trial");
    showTrial(number);
  } else {
    show("end");
    byId("download").focus();
  }
}

async function showTrial(number) {
  trial.shownAt = null;
  const total = session.trials.length;
  byId("progress").textContent = `${number + 1} of ${total}`;
  byId("bar").max = total;
  byId("bar").value = number;
  byId("back").disabled = number === 0;
  byId("message").textContent = "";
  byId("clips").classList.add("loading");
  for (const side of ["left", "right"]) {
    byId(side).classList.remove("chosen");
    byId(side).disabled = true;
  }
  document.activeElement?.blur(); // no side is nearer to the next key than the other
  const images = load(number);
  try {
    await Promise.all(images.map((image) => image.decode()));
  } catch {
    byId("message").textContent = "An animation could not be loaded; please check the connection and reload the page.";
    return;
  }
  if (number !== session.answers.length) return;
  ["left", "right"].forEach((side, i) => {
    byId(side).querySelector("img").src = images[i].src;
    byId(side).disabled = false;
  });
  byId("clips").classList.remove("loading");
  trial.shownAt = performance.now();
  trial.ahead = load(number + 1);
}

function choose(side) {
  if (trial.shownAt === null) return;
  const [left, right] = session.trials[session.answers.length];
  const milliseconds = Math.round(performance.now() - trial.shownAt);
  trial.shownAt = null;
  session.answers.push({ left, right, choice: side, milliseconds });
  save();
  byId(side).classList.add("chosen");
  trial.next = setTimeout(showCurrent, SHOWN_CHOICE);
}

function takeBack() {
  if (session.answers.length === 0) return;
  clearTimeout(trial.next);
  session.answers.pop();
  save();
  showCurrent();
}

// ---- Beginning and end -------------------------------------------------------------------------------------------

function start() {
  session.isStarted = true;
  save();
  showCurrent();
}

function download() {
  const { participant, answers } = session;
  const content = { study: DATA.study, participant, answers, sealed: DATA.sealed };
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([JSON.stringify(content, null, 1)], { type: "application/json" }));
  link.download = `answers-${DATA.study}-${participant}.json`;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
  session.isDownloaded = true;
  save();
  byId("downloaded").textContent = `Downloaded as ${link.download}.`;
}

function beginAnew() {
  if (!session.isDownloaded && !confirm("These answers have not been downloaded and will be lost. Begin anew?")) return;
  session = newSession();
  save();
  byId("downloaded").textContent = "";
  showCurrent();
}

function onKey(event) {
  if (byId("trial").hidden || event.repeat || event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.key === "ArrowLeft") choose("left");
  else if (event.key === "ArrowRight") choose("right");
  else if (event.key === "Backspace") takeBack();
  else return;
  event.preventDefault();
}

for (const node of document.querySelectorAll(".question")) node.textContent = DATA.question;
byId("how-many").textContent = session.trials.length;
byId("no-storage").hidden = save();
byId("start").addEventListener("click", start);
byId("left").addEventListener("click", () => choose("left"));
byId("right").addEventListener("click", () => choose("right"));
byId("back").addEventListener("click", takeBack);
byId("download").addEventListener("click", download);
byId("anew").addEventListener("click", beginAnew);
document.addEventListener("keydown", onKey);
showCurrent();

import "./chart.js";
import "./exports.js";
import "./gap.js";
import "./hints.js";
import "./keyboard.js";
import "./notices.js";
import "./player.js";
import "./strip.js";
import { $ } from "./dom.js";
import { isPlaying, stop } from "./player.js";
import { render } from "./stage.js";
import { on, store } from "./store.js";

on("state select", () => isPlaying() || render());

$("undo").addEventListener("click", () => store.undo());
$("redo").addEventListener("click", () => store.redo());
for (const [id, go] of Object.entries({
  first: () => store.select(0),
  previous: () => store.step(-1),
  next: () => store.step(1),
  last: () => store.select(Infinity),
})) {
  $(id).addEventListener("click", () => { stop(); go(); });
}

await store.start();

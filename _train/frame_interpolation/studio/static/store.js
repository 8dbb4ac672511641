// What is shown: the project as the server tells it, and what of it is selected. Everything else listens here.
//
// Events: "state" (the project is another), "select" (another drawing), "drawn" (detail: id), "drawing", "export",
// "tabs" (detail: how many), "notice" (detail: a sentence), "connection" (detail: whether there is one).

const MOST_STREAMS = 4; // browsers allow about six connections to one program, and pictures and edits need some

class Store extends EventTarget {
  state = null;
  cells = []; // all drawings in order: {row, rowIndex, number, id, isKey, hasFailed, tick, position, exposure}
  drawing = "";
  export = null;
  isHinting = false;
  #drawn = new Set();
  #news = new Map(); // id of a drawing that was drawn → serial, above those of states that do not know of it
  #selected = { key: "", number: 0 };
  #looking = 0;
  #edits = Promise.resolve();
  #source = null; // of events
  #tabs = 1; // with a stream of events

  async start() {
    const state = await this.#get("api/state");
    this.formats = state.formats;
    this.#apply(state);
    this.#listen();
    document.addEventListener("visibilitychange", () => this.#listenIfShown());
  }

  #listen() {
    const source = this.#source = new EventSource("api/events");
    const on = (name, take) => source.addEventListener(name, (event) => take(JSON.parse(event.data)));
    on("state", (value) => this.#apply(value));
    on("drawn", ({ id, serial }) => {
      this.#news.set(id, serial);
      this.#drawn.add(id);
      this.drawing = "";
      this.#tell("drawn", id);
    });
    on("drawing", (id) => { this.drawing = id; this.#tell("drawing", id); });
    on("export", (value) => { this.export = value; this.#tell("export", value); });
    on("tabs", (count) => {
      this.#tabs = count;
      this.#tell("tabs", count);
      this.#listenIfShown();
    });
    on("notice", (sentence) => this.#tell("notice", sentence));
    source.onopen = () => this.#tell("connection", true);
    source.onerror = () => this.#tell("connection", false);
  }

  // Among many tabs, a hidden one closes its stream; once it is shown, a new stream begins with the state.
  #listenIfShown() {
    if (!document.hidden && !this.#source) this.#listen();
    if (document.hidden && this.#source && this.#tabs > MOST_STREAMS) {
      this.#source.close();
      this.#source = null;
    }
  }

  get rows() { return this.state.rows; }
  get index() {
    const at = this.cells.findIndex((cell) => cell.row.key === this.#selected.key && cell.number === this.#selected.number);
    return Math.max(0, at);
  }
  get cell() { return this.cells[this.index]; }
  // The gap that is worked on: after the last key without a loop, the one before it.
  get row() {
    const cell = this.cell;
    return cell && (cell.row.next === null && cell.rowIndex > 0 ? this.rows[cell.rowIndex - 1] : cell.row);
  }
  follower(row) { return this.rows.find((other) => other.key === row.next); }
  isDrawn(cell) { return cell.isKey ? cell.id !== "" : this.#drawn.has(cell.id); }
  drawnOf(row) { return row.drawings.filter((one) => this.#drawn.has(one.id)).length; }
  get #undrawn() { return this.cells.filter((cell) => !cell.isKey && !this.isDrawn(cell)); }
  get missing() { return this.#undrawn.filter((cell) => !cell.hasFailed).length; }
  get failed() { return this.#undrawn.filter((cell) => cell.hasFailed).length; }

  select(index) {
    const cell = this.cells[Math.max(0, Math.min(index, this.cells.length - 1))];
    if (!cell) return;
    this.#selected = { key: cell.row.key, number: cell.number };
    this.#look();
    this.#tell("select", cell);
  }
  step(by) { this.select(this.index + by); }
  stepKey(by) {
    const numbers = this.cells.map((cell, i) => (cell.isKey ? i : -1)).filter((i) => i >= 0);
    const at = this.index;
    this.select(by > 0 ? numbers.find((i) => i > at) ?? at : numbers.findLast((i) => i < at) ?? 0);
  }

  edit(action, key, value) { return this.change(action, key, () => value); }
  // An edit whose value is made of the row as it is once all edits before have been done.
  change(action, key, valueOf) {
    return this.#inTurn(() => {
      const row = this.rows.find((one) => one.key === key);
      const value = key === null || row ? valueOf(row) : null; // the server says that the key is gone
      return this.#post("edit", { version: this.state.version, action, key, value });
    });
  }
  changeTicks(key, change) { return this.change("timing", key, (row) => ({ ticks: change(row.drawings), on: row.on })); }
  changeHints(key, change) { return this.change("hints", key, (row) => change(row.hints)); }
  undo() { return this.#inTurn(() => this.#post("undo", {})); }
  redo() { return this.#inTurn(() => this.#post("redo", {})); }
  redraw(row) { return this.#post("redraw", { key: row.key }); }
  startExport(format) { return this.#post("export", { format }); }
  cancelExport() { return this.#post("cancel", {}); }
  setHinting(isHinting) {
    this.isHinting = isHinting && Boolean(this.row?.next);
    this.#look();
    this.#tell("select", this.cell);
  }

  // Edits of this tab follow one another, each of the version that the one before has made.
  #inTurn(act) {
    const done = this.#edits.then(act);
    this.#edits = done.catch(() => false); // the next ones are made all the same
    return done;
  }

  #look() {
    clearTimeout(this.#looking);
    this.#looking = setTimeout(() => {
      const row = this.isHinting ? this.row : this.cell?.row;
      if (!row) return;
      const number = this.isHinting ? Math.ceil(row.drawings.length / 2) : this.cell.number;
      this.#post("look", { key: row.key, number });
    }, 40);
  }

  #apply(state) {
    if (this.state && state.serial < this.state.serial) return; // it was overtaken
    this.state = state;
    this.drawing = state.drawing;
    this.export = state.export;
    this.#drawn = new Set(state.rows.flatMap((row) => row.drawings).filter((one) => one.drawn).map((one) => one.id));
    for (const [id, serial] of this.#news) serial > state.serial ? this.#drawn.add(id) : this.#news.delete(id);
    this.cells = state.rows.flatMap((row, rowIndex) => [
      { row, rowIndex, number: 0, id: row.id, isKey: true, hasFailed: false, tick: "0", position: 0, exposure: row.on },
      ...row.drawings.map((one, i) => ({
        row, rowIndex, number: i + 1, id: one.id, isKey: false, hasFailed: one.failed, tick: one.tick,
        position: one.position, exposure: row.on,
      })),
    ]);
    this.#keepSelection();
    if (this.isHinting && !this.row?.next) this.isHinting = false;
    this.#tell("state", state);
  }

  #keepSelection() {
    const row = this.rows.find((one) => one.key === this.#selected.key) ?? this.rows[0];
    if (row) this.#selected = { key: row.key, number: Math.min(this.#selected.number, row.drawings.length) };
  }

  async #get(path) { return (await fetch(path)).json(); }

  // Returns whether it was done; a sentence says why not.
  async #post(path, body) {
    try {
      const answer = await fetch(`api/${path}`, {
        method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body),
      });
      const said = await answer.json();
      if (answer.ok) {
        if (said.version) this.#apply(said);
        return true;
      }
      this.#tell("notice", said.error);
      if (answer.status === 409) this.#apply(await this.#get("api/state"));
    } catch {
      this.#tell("connection", false);
    }
    return false;
  }

  #tell(name, detail) { this.dispatchEvent(new CustomEvent(name, { detail })); }
}

export const store = new Store();
export const on = (names, listen) => names.split(" ").forEach((name) => store.addEventListener(name, (event) => listen(event.detail)));

/* The store: what the data's scripts hand over, and who waits for it.

A page that is opened from a disk may not read files, but may load scripts. Each object of the data
is one call of alphabeam.receive(kind, key, value). Nothing of it becomes markup: texts are set as
texts, and links are checked. */
"use strict";

const alphabeam = (() => {
  const waiting = new Map(); // "kind/key" -> [resolve]
  const listeners = new Map(); // event -> [function]
  const store = {
    summary: null,
    loaded: 0, // rows that are there, from the worst on; the others follow
    id: [], flags: [], error: [], key: [], own: [],
    done: null, now: null, confidence: null, line: null, width: null, height: null,
    shard: null, place: null,
  };
  const details = new Map();
  const ends = new Map(); // number of a chunk that is there -> its end
  let ended = 0; // chunks that are there without a gap
  const AHEAD = 4;

  function on(event, act) {
    if (!listeners.has(event)) listeners.set(event, []);
    listeners.get(event).push(act);
  }

  function tell(event, value) {
    for (const act of listeners.get(event) || []) act(value);
  }

  /** Called by the data's scripts. */
  function receive(kind, key, value) {
    if (kind === "summary") begin(value);
    else if (kind === "rows") takeRows(key, value);
    else if (kind === "details") details.set(key, value);
    else if (kind === "thumbs") tell("shard", { name: key, pictures: value });
    const name = `${kind}/${key}`;
    for (const resolve of waiting.get(name) || []) resolve(true);
    waiting.delete(name);
  }

  /** Loads a script of the data; gives whether it came. */
  function load(kind, key, path) {
    const name = `${kind}/${key}`;
    return new Promise((resolve) => {
      if (waiting.has(name)) {
        waiting.get(name).push(resolve);
        return;
      }
      waiting.set(name, [resolve]);
      const script = document.createElement("script");
      script.src = path;
      script.onload = () => script.remove();
      script.onerror = () => {
        script.remove();
        for (const one of waiting.get(name) || []) one(false);
        waiting.delete(name);
      };
      document.head.append(script);
    });
  }

  function begin(summary) {
    const count = summary.listed;
    store.summary = summary;
    for (const name of ["id", "flags", "error", "key"]) store[name] = new Array(count);
    store.own = summary.columns.map((column) =>
      column.values ? new Uint16Array(count) : new Array(count).fill(""));
    store.done = new Uint8Array(count);
    store.now = new Uint8Array(count);
    store.place = new Uint8Array(count);
    store.confidence = new Int16Array(count).fill(-1);
    for (const name of ["line", "width", "height"]) store[name] = new Int32Array(count);
    store.shard = new Int32Array(count).fill(-1);
  }

  function takeRows(number, part) {
    const start = number * store.summary.chunk;
    part.id.forEach((id, at) => {
      const row = start + at;
      store.id[row] = id;
      store.flags[row] = part.flags[at] || [];
      store.error[row] = part.error[at] || "";
      store.key[row] = part.key[at];
      store.done[row] = part.done[at];
      store.now[row] = part.now[at];
      store.confidence[row] = part.confidence[at];
      store.line[row] = part.line[at];
      [store.width[row], store.height[row]] = part.size[at];
      if (part.thumb[at]) [store.shard[row], store.place[row]] = part.thumb[at];
    });
    part.own.forEach((values, column) => {
      const own = store.own[column];
      const asText = Array.isArray(own);
      values.forEach((value, at) => { own[start + at] = asText && !value ? "" : value; });
    });
    ends.set(number, start + part.id.length);
    while (ends.has(ended)) {
      store.loaded = ends.get(ended);
      ended += 1;
    }
  }

  /** Loads the rows, the worst first, and tells "rows" after each chunk. */
  async function loadRows() {
    const { listed, chunk, folder } = store.summary;
    const chunks = Math.ceil(listed / chunk);
    const coming = []; // a few at once, taken in order
    for (let number = 0; number < chunks; number += 1) {
      for (let next = coming.length; next < Math.min(number + AHEAD, chunks); next += 1) {
        coming.push(load("rows", next, `${folder}/rows-${digits(next)}.js`));
        if (!next) await coming[0]; // the first is on the screen before all others
      }
      if (!await coming[number]) {
        tell("trouble", "A part of the report's data is missing; write it anew with run.py report.");
        return;
      }
      tell("rows");
    }
  }

  /** All that is known of a row; null if its data cannot be loaded. */
  async function detailsOf(row) {
    const { detail, folder } = store.summary;
    const number = Math.floor(row / detail);
    if (!details.has(number)) {
      await load("details", number, `${folder}/details-${digits(number)}.js`);
    }
    return details.has(number) ? details.get(number)[row % detail] : null;
  }

  function digits(number) {
    return String(number).padStart(4, "0");
  }

  /** A link of the data, if it is one that a picture or a page may have. */
  function safeLink(link) {
    if (!link) return null;
    try {
      const url = new URL(link, document.baseURI);
      return ["file:", "http:", "https:"].includes(url.protocol) ? url.href : null;
    } catch {
      return null;
    }
  }

  /** An element with its class, texts and elements. */
  function make(tag, className, ...children) {
    const element = document.createElement(tag);
    if (className) element.className = className;
    element.append(...children);
    return element;
  }

  function count(number) {
    return Number(number).toLocaleString("en").replaceAll(",", "\u202f");
  }

  /** A flag, an error code or a column's name as words. */
  function words(name) {
    return name.replaceAll("_", " ");
  }

  function confidence(row) {
    const value = store.confidence[row];
    return value < 0 ? "" : (value / 1000).toFixed(3).replace(/^0/, "");
  }

  return {
    store, on, tell, receive, load, loadRows, detailsOf, safeLink, make, count, words, confidence,
  };
})();

/* Which rows are shown, and in which order. */
"use strict";

alphabeam.filters = (() => {
  const { store } = alphabeam;
  const NO_FLAG = "(none)";
  const SAID = { accept: "accepted", reject: "rejected", none: "undecided", note: "with a note" };
  const fresh = () => ({
    text: "",
    status: new Set(), // "done", "failed", "now", "before"
    decision: new Set(), // "accept", "reject", "none", "note"
    flags: new Set(),
    errors: new Set(),
    least: 0, most: 1000, // confidence in thousandths
    own: new Map(), // column -> Set of value numbers, or a text
  });
  let wanted = fresh();
  let order = "worst";
  let rows = new Int32Array(0);
  let pending = false;

  function change(act) {
    act(wanted);
    soon();
  }

  function clear() {
    wanted = fresh();
    soon();
  }

  function sort(by) {
    order = by;
    soon();
  }

  /** Several changes in a row cost one pass. */
  function soon() {
    if (pending) return;
    pending = true;
    requestAnimationFrame(() => {
      pending = false;
      apply();
    });
  }

  function apply() {
    const tests = wantedTests();
    const found = new Int32Array(store.loaded);
    let count = 0;
    for (let row = 0; row < store.loaded; row += 1) {
      if (tests.every((test) => test(row))) {
        found[count] = row;
        count += 1;
      }
    }
    rows = found.slice(0, count);
    if (order === "best") rows.reverse();
    else if (order === "line") rows.sort((a, b) => store.line[a] - store.line[b]);
    else if (order === "id") {
      const { compare } = new Intl.Collator("en", { numeric: true });
      rows.sort((a, b) => compare(store.id[a], store.id[b]));
    }
    alphabeam.tell("filtered", rows);
  }

  function wantedTests() {
    const tests = [];
    const { text, status, decision, flags, errors, least, most, own } = wanted;
    if (text) {
      const searched = text.toLowerCase();
      tests.push((row) => store.id[row].toLowerCase().includes(searched));
    }
    if (status.size) {
      const [done, failed] = [status.has("done"), status.has("failed")];
      const [now, before] = [status.has("now"), status.has("before")];
      if (done !== failed) tests.push((row) => Boolean(store.done[row]) === done);
      if (now !== before) tests.push((row) => Boolean(store.now[row]) === now);
    }
    if (decision.size) {
      tests.push((row) => {
        const made = alphabeam.review.of(row);
        return decision.has((made && made.decision) || "none") ||
          (decision.has("note") && Boolean(made && made.note));
      });
    }
    if (flags.size) {
      tests.push((row) => (store.flags[row].length
        ? store.flags[row].some((flag) => flags.has(flag)) : flags.has(NO_FLAG)));
    }
    if (errors.size) tests.push((row) => errors.has(store.error[row]));
    if (least > 0 || most < 1000) {
      tests.push((row) => store.confidence[row] >= least && store.confidence[row] <= most);
    }
    for (const [column, value] of own) {
      const values = store.own[column];
      if (typeof value === "string") {
        const searched = value.toLowerCase();
        if (value) tests.push((row) => String(values[row]).toLowerCase().includes(searched));
      } else if (value.size) tests.push((row) => value.has(values[row]));
    }
    return tests;
  }

  /** What is filtered by, in words, each with what takes it away. */
  function active() {
    const found = [];
    const add = (words, undo) => found.push({ words, undo: () => change(undo) });
    const sets = [["status", {}], ["decision", SAID],
      ["flags", {}], ["errors", {}]];
    for (const [name, said] of sets) {
      for (const value of wanted[name]) {
        add(said[value] || alphabeam.words(value), (now) => now[name].delete(value));
      }
    }
    if (wanted.least > 0 || wanted.most < 1000) {
      add(`confidence ${wanted.least / 1000} to ${wanted.most / 1000}`, (now) => {
        [now.least, now.most] = [0, 1000];
      });
    }
    for (const [column, value] of wanted.own) {
      const { name, values } = store.summary.columns[column];
      if (typeof value === "string") {
        if (value) add(`${name} has “${value}”`, (now) => now.own.delete(column));
      } else {
        for (const number of value) {
          add(`${name}: ${number ? values[number - 1] : "empty"}`, (now) => {
            now.own.get(column).delete(number);
          });
        }
      }
    }
    if (wanted.text) add(`id has “${wanted.text}”`, (now) => { now.text = ""; });
    return found;
  }

  alphabeam.on("rows", soon);
  return {
    NO_FLAG, change, clear, sort, apply, active, soon,
    get wanted() { return wanted; },
    get rows() { return rows; },
  };
})();

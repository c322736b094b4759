/* Decisions: kept in this browser, saved as a manifest whose rejected rows a job runs again. */
"use strict";

alphabeam.review = (() => {
  const { store } = alphabeam;
  const made = new Map(); // id -> {decision, note, settings, key}
  let timer = 0;
  let unsaved = false;

  const place = () => `alphabeam/${store.summary.output}`;

  function begin() {
    try {
      const kept = JSON.parse(localStorage.getItem(place()) || "{}");
      for (const [id, one] of Object.entries(kept)) made.set(id, one);
    } catch {
      alphabeam.tell("trouble", "This browser keeps nothing for the page: save the decisions before you close it.");
    }
    addEventListener("pagehide", keep);
    addEventListener("beforeunload", (event) => {
      keep();
      if (unsaved) event.preventDefault(); // they are nowhere but on this page
    });
  }

  function keep() {
    clearTimeout(timer);
    timer = 0;
    try {
      localStorage.setItem(place(), JSON.stringify(Object.fromEntries(made)));
      unsaved = false;
    } catch {
      unsaved = made.size > 0;
      alphabeam.tell("trouble", "This browser has no more room for decisions: save them now.");
    }
  }

  /** The decision on a row's result as it is; one on an earlier result does not count. */
  function of(row) {
    const one = made.get(store.id[row]);
    return one && one.key === store.key[row] ? one : null;
  }

  /** Changes what was decided on a row: decision, note, or settings to run it again with. */
  function set(row, changes) {
    const one = { decision: "", note: "", settings: {}, ...of(row), ...changes, key: store.key[row] };
    if (one.decision || one.note || Object.keys(one.settings).length) made.set(store.id[row], one);
    else made.delete(store.id[row]);
    unsaved = true;
    timer = timer || setTimeout(keep, 300);
    alphabeam.tell("decided", row);
  }

  function forget() {
    made.clear();
    keep();
    alphabeam.tell("decided", -1);
  }

  /** The rows of this report on which something was decided, in its order. */
  function rows() {
    const found = [];
    for (let row = 0; made.size && row < store.loaded; row += 1) if (of(row)) found.push(row);
    return found;
  }

  function counts() {
    const found = { accept: 0, reject: 0, note: 0, all: 0 };
    for (const row of rows()) {
      const { decision, note } = of(row);
      if (decision) found[decision] += 1;
      if (note) found.note += 1;
      found.all += 1;
    }
    return found;
  }

  /** The decisions as a manifest; rows that are not rejected are in it, and a job leaves them out. */
  async function csv() {
    const parameters = store.summary.settings.map((one) => one.name);
    const fixed = ["id", "image", "decision", "note", ...parameters];
    const taken = new Set(fixed);
    const own = [];
    const lines = [];
    for (const row of rows()) {
      const details = await alphabeam.detailsOf(row) || {};
      const { decision, note, settings } = of(row);
      for (const name of Object.keys(details.own || {})) {
        if (!taken.has(name.toLowerCase()) && !own.includes(name)) own.push(name);
      }
      lines.push([
        store.id[row], details.image || "", decision, note,
        ...parameters.map((name) => written(settings[name] ?? (details.parameters || {})[name])),
        details.own || {},
      ]);
    }
    const records = lines.map((line) => {
      const columns = line.pop();
      return [...line, ...own.map((name) => (Object.hasOwn(columns, name) ? columns[name] : ""))];
    });
    return [[...fixed, ...own], ...records].map((record) => record.map(quoted).join(",")).join("\r\n") + "\r\n";
  }

  function written(value) {
    return Array.isArray(value) ? value.join(",") : String(value ?? "");
  }

  function quoted(value) {
    return /[",\r\n]|^\s|\s$/.test(value) ? `"${value.replaceAll('"', '""')}"` : value;
  }

  async function save() {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([await csv()], { type: "text/csv;charset=utf-8" }));
    link.download = "decisions.csv";
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
    unsaved = false;
  }

  /** Takes decisions from a file that this page has saved; gives how many it took. */
  function load(text) {
    const [header, ...records] = parsed(text);
    const at = (name) => (header || []).indexOf(name);
    if (at("id") < 0 || at("decision") < 0) return 0;
    const known = new Map(store.id.map((id, row) => [id, row]));
    const names = store.summary.settings.map((one) => one.name).filter((name) => at(name) >= 0);
    let count = 0;
    for (const record of records) {
      const row = known.get(record[at("id")]);
      const decision = record[at("decision")];
      if (row === undefined || !["accept", "reject", ""].includes(decision)) continue;
      const given = names.map((name) => [name, record[at(name)] || ""]);
      set(row, {
        decision,
        note: at("note") < 0 ? "" : record[at("note")] || "",
        settings: Object.fromEntries(given.filter(([, value]) => value)),
      });
      count += 1;
    }
    return count;
  }

  /** The records of a CSV. */
  function parsed(text) {
    const records = [];
    let record = [];
    for (const [, quotedField, plain, end] of text.replace(/^\ufeff/, "").matchAll(
      /(?:"((?:[^"]|"")*)"|([^",\r\n]*))(,|\r?\n|$)/g)) {
      record.push(quotedField === undefined ? plain : quotedField.replaceAll('""', '"'));
      if (end === ",") continue;
      if (record.length > 1 || record[0]) records.push(record);
      record = [];
    }
    return records;
  }

  return { begin, of, set, forget, counts, csv, save, load };
})();

/* What ran, and what to filter by. */
"use strict";

alphabeam.sidebar = (() => {
  const { store, make, count, filters } = alphabeam;
  const boxes = []; // {input, is}: kept in step with the filters
  const SHOWN = 12; // values of a column before "more"

  function begin() {
    showSummary();
    showFilters();
  }

  function showSummary() {
    const { summary } = store;
    const place = document.getElementById("summary");
    const figure = (value, words, kind) => {
      const one = make("div", `figure ${kind || ""}`, make("strong", "", value), make("span", "", words));
      place.append(one);
      return one;
    };
    figure(count(summary.rows), summary.rows === 1 ? "row" : "rows");
    figure(count(summary.done), "done");
    figure(count(summary.failed), "failed", summary.failed ? "bad" : "");
    if (summary.renditions_failed) figure(count(summary.renditions_failed), "renditions failed", "bad");
    if (summary.finished_before) figure(count(summary.finished_before), "finished before");
    figure(duration(summary.seconds), "duration");
    if (summary.images_per_second) figure(String(Number(summary.images_per_second.toPrecision(3))), "images/s");
    if (summary.doubtful) figure(`${count(summary.bought)} of ${count(summary.doubtful)}`, "doubtful ones bought");
    if (summary.credits) figure(count(summary.credits), "credits");
    if (summary.resubmitted) figure(count(summary.resubmitted), "perhaps billed twice", "bad");
    if (summary.uncollected) figure(count(summary.uncollected), "bought, not collected", "bad");
    if (summary.unknown) figure(count(summary.unknown), "perhaps bought", "bad");
    if (summary.orphaned) figure(count(summary.orphaned), "no longer listed");
    const started = new Date(summary.started_at);
    const when = Number.isNaN(started.valueOf()) ? summary.started_at
      : started.toLocaleString("en-GB", { dateStyle: "medium", timeStyle: "short" });
    const backends = Object.keys(summary.backends).join(", ");
    place.append(make("div", "ran", make("span", "", [when, backends].filter(Boolean).join(" · ")),
      make("span", "", `run ${summary.run_id} · alphabeam ${(summary.environment || {}).alphabeam || ""}`)));
    if (summary.listed < summary.rows) {
      place.append(make("div", "ran cut", `the worst ${count(summary.listed)} are shown`));
    }
  }

  function duration(seconds) {
    if (seconds < 120) return `${Math.round(seconds)} s`;
    if (seconds < 7200) return `${Math.round(seconds / 60)} min`;
    return `${(seconds / 3600).toFixed(1)} h`;
  }

  function showFilters() {
    const { summary } = store;
    const place = document.getElementById("filters");
    place.append(group("Status", true, choices([
      ["done", summary.done, "status", "done"],
      ["failed", summary.failed, "status", "failed"],
      ...(summary.finished_before ? [["this run", "", "status", "now"],
        ["earlier runs", summary.finished_before, "status", "before"]] : []),
    ])));
    place.append(group("Decision", true, choices([
      ["undecided", "", "decision", "none"], ["accepted", "", "decision", "accept"],
      ["rejected", "", "decision", "reject"], ["with a note", "", "decision", "note"],
    ])));
    place.append(group("Confidence", true, histogram()));
    const flags = Object.entries(summary.flags);
    if (flags.length) {
      place.append(group("Flags", true, choices([
        ...flags.map(([name, number]) => [alphabeam.words(name), number, "flags", name]),
        ["no flag", "", "flags", filters.NO_FLAG],
      ])));
    }
    const errors = Object.entries(summary.errors);
    if (errors.length) {
      place.append(group("Errors", true, choices(
        errors.map(([name, number]) => [alphabeam.words(name), number, "errors", name]))));
    }
    summary.columns.forEach((column, at) => {
      const open = Boolean(column.values && column.values.length <= SHOWN);
      place.append(group(column.name, open, column.values ? values(column, at) : textual(at)));
    });
  }

  function group(name, open, ...content) {
    const made = make("details", "group", make("summary", "", name), ...content);
    made.open = open;
    return made;
  }

  function choices(list) {
    const made = make("div", "choices");
    for (const [words, number, set, value] of list) {
      made.append(choice(words, number, (now) => now[set].has(value), (now, on) => {
        now[set][on ? "add" : "delete"](value);
      }));
    }
    return made;
  }

  function choice(words, number, is, change) {
    const input = make("input");
    input.type = "checkbox";
    input.addEventListener("change", () => filters.change((now) => change(now, input.checked)));
    boxes.push({ input, is });
    return make("label", "choice", input, make("span", "words", words),
      make("span", "number", number === "" ? "" : count(number)));
  }

  function histogram() {
    const bars = make("div", "bars");
    const numbers = store.summary.confidences;
    const highest = Math.max(...numbers, 1);
    numbers.forEach((number, at) => {
      const [low, high] = [at / numbers.length, (at + 1) / numbers.length];
      const fill = make("i");
      fill.style.height = number ? `${Math.max(4, 100 * Math.log1p(number) / Math.log1p(highest))}%` : "0";
      const bar = make("button", "bar", fill);
      bar.title = `${low.toFixed(2)} to ${high.toFixed(2)}: ${count(number)} rows`;
      bar.setAttribute("aria-label", bar.title);
      bar.addEventListener("click", () => filters.change((now) => {
        [now.least, now.most] = [Math.round(1000 * low), Math.round(1000 * high)];
      }));
      bars.append(bar);
    });
    const bound = (name, words) => {
      const input = make("input");
      Object.assign(input, { type: "number", min: 0, max: 1, step: 0.01 });
      input.setAttribute("aria-label", words);
      input.addEventListener("change", () => filters.change((now) => {
        const value = input.value === "" ? (name === "least" ? 0 : 1) : Number(input.value);
        now[name] = Math.round(1000 * Math.min(Math.max(value, 0), 1));
      }));
      boxes.push({ input, value: (now) => now[name] / 1000 });
      return input;
    };
    return make("div", "confidences", bars,
      make("div", "bounds", bound("least", "Least confidence"), make("span", "", "to"),
        bound("most", "Greatest confidence")));
  }

  function values(column, at) {
    const made = make("div", "choices");
    const all = column.values.map((value, number) => [value, column.counts[number], number + 1]);
    const add = ([words, number, value]) => made.append(
      choice(words, number, (now) => now.own.has(at) && now.own.get(at).has(value), (now, on) => {
        if (!now.own.has(at)) now.own.set(at, new Set());
        now.own.get(at)[on ? "add" : "delete"](value);
      }));
    all.slice(0, SHOWN).forEach(add);
    if (all.length <= SHOWN) return made;
    const more = make("button", "plain more", `${count(all.length - SHOWN)} more`);
    more.addEventListener("click", () => {
      more.remove();
      all.slice(SHOWN).forEach(add);
    });
    return make("div", "", made, more);
  }

  function textual(at) {
    const input = make("input", "has");
    Object.assign(input, { type: "search", placeholder: "has …" });
    input.setAttribute("aria-label", `${store.summary.columns[at].name} has`);
    input.addEventListener("input", () => filters.change((now) => now.own.set(at, input.value)));
    boxes.push({ input, value: (now) => now.own.get(at) || "" });
    return input;
  }

  /** Shows the filters as they are, whoever changed them. */
  function update() {
    for (const { input, is, value } of boxes) {
      if (is) input.checked = is(filters.wanted);
      else if (document.activeElement !== input) input.value = value(filters.wanted);
    }
  }

  alphabeam.on("filtered", update);
  return { begin };
})();

/* Ties everything together: the bar at the top, the keys, and the beginning. */
"use strict";

(() => {
  const { store, filters, gallery, viewer, review, count } = alphabeam;
  const $ = (id) => document.getElementById(id);
  const root = document.documentElement;
  const KEPT = "alphabeam/view";

  // ---------------------------------------------------------------------- how pictures are shown

  function setView(changes) {
    for (const [name, value] of Object.entries(changes)) {
      if (name === "colour") root.style.setProperty("--picked", value);
      else if (name === "scale") gallery.side = Number(value);
      else root.dataset[name] = value;
    }
    for (const button of document.querySelectorAll("#grounds button, #layouts button")) {
      const [name] = Object.keys(button.dataset);
      button.setAttribute("aria-pressed", root.dataset[name] === button.dataset[name]);
    }
    try {
      const kept = { ...JSON.parse(localStorage.getItem(KEPT) || "{}"), ...changes };
      localStorage.setItem(KEPT, JSON.stringify(kept));
    } catch { /* only a convenience */ }
  }

  function keptView() {
    try {
      return JSON.parse(localStorage.getItem(KEPT) || "{}");
    } catch {
      return {};
    }
  }

  for (const button of document.querySelectorAll("#grounds button")) {
    button.addEventListener("click", () => setView({ ground: button.dataset.ground }));
  }
  for (const button of document.querySelectorAll("#layouts button")) {
    button.addEventListener("click", () => {
      setView({ layout: button.dataset.layout });
      gallery.redo();
    });
  }
  $("colour").addEventListener("input", () => setView({ colour: $("colour").value, ground: "colour" }));
  $("scale").addEventListener("input", () => setView({ scale: $("scale").value }));

  // ------------------------------------------------------------------------------- the bar, search

  $("search").addEventListener("input", () => filters.change((now) => { now.text = $("search").value.trim(); }));
  $("sort").addEventListener("change", () => filters.sort($("sort").value));
  for (const id of ["clear", "clear-too"]) $(id).addEventListener("click", () => filters.clear());
  $("toggle-filters").addEventListener("click", () => {
    const open = document.body.classList.toggle("filtering");
    $("toggle-filters").setAttribute("aria-expanded", open);
  });
  $("save").addEventListener("click", () => review.save());
  $("more").addEventListener("click", () => $("help").showModal());
  $("load").addEventListener("change", async () => {
    const [file] = $("load").files;
    if (!file) return;
    const taken = review.load(await file.text());
    $("load").value = "";
    $("help").close();
    message(taken ? `${count(taken)} decisions were loaded.` : "The file holds no decision on a row of this report.");
  });
  $("forget").addEventListener("click", () => {
    if (confirm("Forget all decisions on this output?")) review.forget();
  });

  function message(text) {
    $("message").textContent = text;
    $("message").hidden = false;
    clearTimeout(message.timer);
    message.timer = setTimeout(() => { $("message").hidden = true; }, 8000);
  }

  alphabeam.on("trouble", message);
  alphabeam.on("filtered", (rows) => {
    const all = store.summary.listed;
    $("found").textContent = rows.length === all ? `${count(all)} results`
      : `${count(rows.length)} of ${count(all)} results`;
    const active = filters.active();
    $("active").replaceChildren(...active.map(({ words, undo }) => {
      const chip = alphabeam.make("button", "chip", words, alphabeam.make("span", "", " ×"));
      chip.title = "Take this filter away";
      chip.addEventListener("click", undo);
      return chip;
    }));
    $("clear").hidden = !active.length;
    $("empty").hidden = rows.length > 0 || store.loaded < all;
    if ($("search").value.trim() !== filters.wanted.text) $("search").value = filters.wanted.text;
  });

  function showReviewed() {
    const made = review.counts();
    $("reviewed").textContent = made.all
      ? `${count(made.accept)} accepted, ${count(made.reject)} rejected` : "";
    $("save").disabled = !made.all;
  }

  let planned = 0;
  alphabeam.on("decided", () => {
    planned = planned || setTimeout(() => {
      planned = 0;
      showReviewed();
      if (filters.wanted.decision.size && !viewer.isOpen) filters.soon();
    }, 50);
  });
  viewer.element.addEventListener("close", () => {
    gallery.element.focus();
    if (filters.wanted.decision.size) filters.soon();
  });

  alphabeam.on("goto", (row) => {
    if (!filters.rows.includes(row)) {
      filters.clear();
      filters.apply();
    }
    gallery.go(filters.rows.indexOf(row));
  });

  // ------------------------------------------------------------------------------------------ keys

  function decide(decision) {
    const { row } = gallery;
    if (row === undefined) return;
    review.set(row, { decision });
    if (decision) gallery.go(gallery.cursor + 1);
  }

  const acts = {
    accept: () => decide("accept"),
    reject: () => decide("reject"),
    undecided: () => decide(""),
    previous: () => gallery.go(gallery.cursor - 1),
    next: () => gallery.go(gallery.cursor + 1),
    close: () => viewer.close(),
    in: () => viewer.zoom(1.5),
    out: () => viewer.zoom(1 / 1.5),
    fit: () => viewer.fit(),
    note: () => {
      if (!viewer.isOpen) alphabeam.tell("open", gallery.row);
      $("note").focus();
    },
  };
  const always = {
    a: "accept", r: "reject", u: "undecided", n: "note", ArrowLeft: "previous", ArrowRight: "next",
  };
  const inViewer = {
    "+": acts.in, "=": acts.in, "-": acts.out, 0: acts.fit,
    s: () => viewer.setMode("slide"), b: () => viewer.setMode("beside"), t: () => viewer.setMode("result"),
    "[": () => viewer.divide(-0.05), "]": () => viewer.divide(0.05),
    ArrowUp: acts.previous, ArrowDown: acts.next,
  };
  const inGallery = {
    ArrowUp: () => gallery.go(gallery.cursor - gallery.columns),
    ArrowDown: () => gallery.go(gallery.cursor + gallery.columns),
    PageUp: () => gallery.go(gallery.cursor - 4 * gallery.columns),
    PageDown: () => gallery.go(gallery.cursor + 4 * gallery.columns),
    Home: () => gallery.go(0),
    End: () => gallery.go(filters.rows.length - 1),
    Enter: () => gallery.row !== undefined && alphabeam.tell("open", gallery.row),
    "/": () => $("search").focus(),
    "?": () => $("help").showModal(),
  };
  const grounds = { 1: "checker", 2: "white", 3: "black", 4: "colour" };

  document.addEventListener("keydown", (event) => {
    const { key, target } = event;
    if ((event.ctrlKey || event.metaKey) && key.toLowerCase() === "s") {
      event.preventDefault();
      review.save();
      return;
    }
    if (event.ctrlKey || event.metaKey || event.altKey || $("help").open) return;
    if (target.closest("input, textarea, select")) {
      const leaves = key === "Escape" || (key === "Enter" && target.id === "search");
      if (leaves && (target.id === "note" || target.id === "search")) {
        event.preventDefault();
        event.stopPropagation();
        if (viewer.isOpen) viewer.element.focus();
        target.blur();
        if (!viewer.isOpen) gallery.element.focus();
      }
      return;
    }
    if (key === "Enter" && target.closest("button, a, summary")) return;
    const act = (viewer.isOpen ? inViewer : inGallery)[key] || acts[always[key]] || acts[always[key.toLowerCase()]]
      || (grounds[key] && (() => setView({ ground: grounds[key] })));
    if (!act) return;
    event.preventDefault();
    act();
  });
  viewer.element.addEventListener("click", (event) => {
    const button = event.target.closest("button");
    if (!button) return;
    if (button.dataset.act) acts[button.dataset.act]();
    if (button.dataset.mode) viewer.setMode(button.dataset.mode);
  });

  // ------------------------------------------------------------------------------------- beginning

  addEventListener("DOMContentLoaded", async () => {
    if (!store.summary) {
      message("The report's data are not here: data/summary.js is missing.");
      return;
    }
    const { summary } = store;
    $("title").textContent = summary.job || "alphabeam";
    document.title = `${summary.job || "alphabeam"}: report`;
    review.begin();
    alphabeam.sidebar.begin();
    const kept = keptView();
    if (kept.colour) $("colour").value = kept.colour;
    if (kept.scale) $("scale").value = kept.scale;
    setView({ ground: "checker", layout: "pair", colour: $("colour").value, scale: $("scale").value, ...kept });
    showReviewed();
    gallery.element.focus({ preventScroll: true });
    filters.apply();
    await alphabeam.loadRows();
    showReviewed();
  });
})();

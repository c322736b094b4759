/* One result, large: source and result with a slider, zoom, what is known, and a decision. */
"use strict";

alphabeam.viewer = (() => {
  const { store, make, review } = alphabeam;
  const $ = (id) => document.getElementById(id);
  const dialog = $("viewer");
  const stage = $("stage");
  const MOST_ZOOM = 16;
  const sheets = { source: $("left-sheet"), result: $("right-sheet") };
  const photos = { source: null, result: null };
  let row = -1;
  let mode = "slide";
  let split = 0.5;
  const view = { scale: 1, x: 0, y: 0, fitted: true };

  function open(which) {
    row = which;
    if (!dialog.open) {
      dialog.showModal();
      dialog.focus(); // and not the first button, which Enter would press
    }
    load(which);
  }

  async function load(which) {
    $("viewed").textContent = store.id[which];
    dialog.setAttribute("aria-label", store.id[which]);
    $("position").textContent = `${alphabeam.count(alphabeam.gallery.cursor + 1)} of ${
      alphabeam.count(alphabeam.filters.rows.length)}`;
    hint("");
    for (const name of ["source", "result"]) {
      photos[name] = make("div", name === "result" ? "photo ground" : "photo");
      sheets[name].replaceChildren(photos[name]);
    }
    view.fitted = true;
    place();
    showSmall();
    decided();
    const details = await alphabeam.detailsOf(which) || {};
    if (row !== which) return;
    showFacts(details);
    showWhole("source", details.source, details.image);
    showWhole("result", details.cutout || details.mask);
    for (const near of [1, -1]) preload(alphabeam.filters.rows[alphabeam.gallery.cursor + near]);
  }

  /** The thumbnails, until the files are there, or where there are none. */
  function showSmall() {
    const drawn = alphabeam.thumbs.get(row);
    if (!drawn) return;
    for (const name of ["source", "result"]) {
      if (photos[name].childElementCount) continue;
      const copy = make("canvas");
      copy.width = drawn[name].width;
      copy.height = drawn[name].height;
      copy.getContext("2d").drawImage(drawn[name], 0, 0);
      photos[name].append(copy);
    }
  }

  function showWhole(name, link, words) {
    const url = alphabeam.safeLink(link);
    const photo = photos[name];
    const failed = () => {
      if (photo !== photos[name] || (name === "result" && !store.done[row])) return;
      hint(name === "source"
        ? `A browser cannot open the source from here; its thumbnail is shown. ${words || ""}`
        : "The result's file is not where the metadata says; its thumbnail is shown.");
    };
    if (!url) {
      failed();
      return;
    }
    const image = make("img");
    image.alt = name === "source" ? "source" : "result";
    image.draggable = false;
    image.onload = () => {
      if (!store.width[row] && photo === photos[name]) {
        store.width[row] = image.naturalWidth;
        store.height[row] = image.naturalHeight;
        place();
      }
      photo.replaceChildren(image);
    };
    image.onerror = failed;
    image.src = url;
  }

  async function preload(near) {
    if (near === undefined) return;
    const details = await alphabeam.detailsOf(near) || {};
    for (const link of [details.source, details.cutout]) {
      const url = alphabeam.safeLink(link);
      if (url) new Image().src = url;
    }
  }

  function hint(text) {
    $("hint").textContent = text;
    $("hint").hidden = !text;
  }

  // ------------------------------------------------------------------------------ facts, decision

  function showFacts(details) {
    const files = $("files");
    files.replaceChildren();
    const renditions = details.renditions || [];
    for (const [words, link] of [["Cutout", details.cutout], ["Mask", details.mask], ["Source", details.source],
      ...renditions.map((one) => [one.name, one.link])]) {
      const url = alphabeam.safeLink(link);
      if (!url) continue;
      const anchor = make("a", "", words);
      anchor.href = url;
      anchor.target = "_blank";
      anchor.rel = "noopener noreferrer";
      files.append(anchor);
    }
    const known = $("known");
    known.replaceChildren();
    const tell = (name, value, title = "") => {
      if (value === undefined || value === "") return;
      const shown = make("dd", "", String(value));
      if (title) shown.title = title;
      known.append(make("dt", "", name), shown);
    };
    tell("Source", shortened(details.image), details.image);
    for (const { name, wrong } of renditions) tell(name, wrong);
    tell("Size", details.width && `${details.width} × ${details.height}, ${
      [details.source_format, bytes(details.source_bytes)].filter(Boolean).join(", ")}`);
    tell("Backend", [details.backend, details.model].filter(Boolean).join(" "));
    if (details.doubts) {
      const sure = `confidence ${Number(details.local_confidence).toFixed(3)}`;
      tell("Local result", `doubtful: ${[sure, ...details.doubts.split(",").filter((one) => one !== "confidence")]
        .map(alphabeam.words).join(", ")}`);
    }
    tell("Coverage", details.coverage === undefined ? "" : `${(100 * details.coverage).toFixed(1)} %`);
    tell("Subject", (details.subject_box || []).join(", "));
    for (const [name, value] of Object.entries(details.parameters || {})) tell(alphabeam.words(name), value);
    for (const [name, value] of Object.entries(details.own || {})) tell(name, value);
    tell("Cutout", bytes(details.cutout_bytes));
    tell("Credits", details.credits);
    tell("TaskUID", details.task_uid);
    const times = ["read", "remove", "write"].map((step) => details[`${step}_ms`]);
    if (times.some(Boolean)) tell("Read, matting, write", times.map((ms) => `${Math.round(ms || 0)} ms`).join(", "));
    tell("Finished", details.finished && details.finished.slice(0, 19).replace("T", " "));
    tell("Line", details.line);
    tell("Run", details.run_id);
    const said = store.done[row]
      ? store.flags[row].map(alphabeam.words).join(" · ")
      : `${alphabeam.words(store.error[row])}: ${details.error_message || ""}`;
    const confidence = alphabeam.confidence(row);
    $("verdict").textContent = [confidence && `confidence ${confidence}`, said].filter(Boolean).join(" · ");
    $("verdict").classList.toggle("bad", !store.done[row]);
    showAlike(details.alike || []);
    showSettings(details);
  }

  /** The rows that look like this one, each a click away. */
  function showAlike(rows) {
    $("alike").replaceChildren(...rows.filter((one) => one < store.loaded).map((one) => {
      const button = make("button", "plain", store.id[one]);
      button.addEventListener("click", () => alphabeam.tell("goto", one));
      return button;
    }));
    $("alike-title").hidden = !$("alike").childElementCount;
  }

  /** The end of a path, which says more than its beginning. */
  function shortened(path) {
    const parts = (path || "").split("/");
    return parts.length > 3 ? `…/${parts.slice(-2).join("/")}` : path;
  }

  function bytes(number) {
    if (!number) return "";
    return number < 1e6 ? `${Math.round(number / 1e3)} kB` : `${(number / 1e6).toFixed(1)} MB`;
  }

  function showSettings(details) {
    const place = $("settings");
    const which = row;
    place.replaceChildren();
    for (const one of store.summary.settings) {
      const now = (details.parameters || {})[one.name] ?? one.default;
      const input = make(one.choices.length ? "select" : "input");
      if (one.choices.length) {
        input.append(...["", ...one.choices].map((value) => {
          const option = make("option", "", value || `(${now})`);
          option.value = value;
          return option;
        }));
      } else {
        input.placeholder = one.name === "box" ? "left,top,right,bottom" : String(now ?? "");
        if (one.low !== null) Object.assign(input, { type: "number", min: one.low, max: one.high });
      }
      const made = review.of(which);
      input.value = (made && made.settings[one.name]) || "";
      input.addEventListener("change", () => {
        const before = review.of(which) || { settings: {}, decision: "" };
        const settings = { ...before.settings, [one.name]: input.value };
        if (!input.value) delete settings[one.name];
        review.set(which, { settings, decision: input.value ? "reject" : before.decision });
      });
      const label = make("label", "", make("span", "", alphabeam.words(one.name)), input);
      label.title = one.meaning.replaceAll("`", "");
      place.append(label);
    }
  }

  function decided() {
    const made = review.of(row) || { decision: "", note: "", settings: {} };
    dialog.dataset.decision = made.decision;
    for (const name of ["accept", "reject"]) {
      dialog.querySelector(`[data-act=${name}]`).setAttribute("aria-pressed", made.decision === name);
    }
    if (document.activeElement !== $("note")) $("note").value = made.note;
    $("again").open = $("again").open || Object.keys(made.settings).length > 0;
  }

  // ------------------------------------------------------------------------------------- the stage

  function size() {
    const room = mode === "beside" ? stage.clientWidth / 2 : stage.clientWidth;
    return { room, height: stage.clientHeight, w: store.width[row] || 4, h: store.height[row] || 3 };
  }

  function place() {
    const { room, height, w, h } = size();
    const fit = 0.96 * Math.min(room / w, height / h);
    if (view.fitted) {
      view.scale = Math.min(fit, Math.max(3, 400 / Math.max(w, h)));
      view.x = (room - w * view.scale) / 2;
      view.y = (height - h * view.scale) / 2;
    } else {
      view.x = Math.min(Math.max(view.x, 40 - w * view.scale), room - 40);
      view.y = Math.min(Math.max(view.y, 40 - h * view.scale), height - 40);
    }
    for (const photo of Object.values(photos)) {
      if (!photo) continue;
      photo.style.width = `${w * view.scale}px`;
      photo.style.height = `${h * view.scale}px`;
      photo.style.transform = `translate(${view.x}px, ${view.y}px)`;
      photo.classList.toggle("pixels", view.scale >= 3);
    }
    $("zoomed").textContent = view.fitted ? "Fit" : `${Math.round(100 * view.scale)} %`;
    dialog.dataset.mode = mode;
    const at = 100 * split;
    sheets.source.style.clipPath = mode === "slide" ? `inset(0 ${100 - at}% 0 0)` : "";
    sheets.result.style.clipPath = mode === "slide" ? `inset(0 0 0 ${at}%)` : "";
    $("divider").style.left = `${at}%`;
    $("divider").setAttribute("aria-valuenow", Math.round(at));
    for (const button of $("modes").children) {
      if (button.dataset) button.setAttribute("aria-pressed", button.dataset.mode === mode);
    }
  }

  function zoom(factor, x, y) {
    const { room, height } = size();
    const [atX, atY] = [x ?? room / 2, y ?? height / 2];
    const scale = Math.min(Math.max(view.scale * factor, 0.02), MOST_ZOOM);
    view.x = atX - (atX - view.x) * scale / view.scale;
    view.y = atY - (atY - view.y) * scale / view.scale;
    view.scale = scale;
    view.fitted = false;
    place();
  }

  function fit() {
    view.fitted = true;
    place();
  }

  function divide(at) {
    split = Math.min(Math.max(at, 0), 1);
    place();
  }

  function setMode(name) {
    mode = name;
    view.fitted = true;
    place();
  }

  /** A point of the stage as one of the sheet that it is in. */
  function inSheet(event) {
    const box = stage.getBoundingClientRect();
    const x = event.clientX - box.left;
    return [mode === "beside" && x > box.width / 2 ? x - box.width / 2 : x, event.clientY - box.top];
  }

  stage.addEventListener("wheel", (event) => {
    event.preventDefault();
    zoom(Math.exp(-event.deltaY / 400), ...inSheet(event));
  }, { passive: false });
  stage.addEventListener("dblclick", (event) => {
    if (view.fitted) zoom(1 / view.scale, ...inSheet(event));
    else fit();
  });
  stage.addEventListener("pointerdown", (event) => {
    if (event.button) return;
    const dividing = event.target === $("divider");
    const [startX, startY, x, y] = [event.clientX, event.clientY, view.x, view.y];
    stage.setPointerCapture(event.pointerId);
    const move = (now) => {
      if (dividing) {
        const box = stage.getBoundingClientRect();
        divide((now.clientX - box.left) / box.width);
      } else if (Math.hypot(now.clientX - startX, now.clientY - startY) > 3 || !view.fitted) {
        view.fitted = false;
        [view.x, view.y] = [x + now.clientX - startX, y + now.clientY - startY];
        place();
      }
    };
    stage.addEventListener("pointermove", move);
    const end = () => stage.removeEventListener("pointermove", move);
    stage.addEventListener("pointerup", end, { once: true });
    stage.addEventListener("pointercancel", end, { once: true });
  });
  new ResizeObserver(() => { if (dialog.open) place(); }).observe(stage);

  $("note").addEventListener("input", () => review.set(row, { note: $("note").value.trim() }));
  alphabeam.on("decided", (which) => { if (dialog.open && (which === row || which < 0)) decided(); });
  alphabeam.on("thumb", (which) => { if (dialog.open && which === row) showSmall(); });
  alphabeam.on("chosen", (which) => { if (dialog.open && which !== undefined && which !== row) open(which); });
  alphabeam.on("open", open);

  return {
    zoom, fit, setMode, element: dialog,
    get isOpen() { return dialog.open; },
    divide: (by) => divide(split + by),
    close: () => dialog.close(),
  };
})();

/* The gallery: a long list of which only what is on the screen exists. */
"use strict";

alphabeam.gallery = (() => {
  const { store, make } = alphabeam;
  const gallery = document.getElementById("gallery");
  const spacer = document.getElementById("spacer");
  const MOST_HEIGHT = 8e6; // pixels that browsers scroll without losing some
  const GAP = 8;
  const CAPTION = 44;
  const cells = new Map(); // position -> cell
  let rows = new Int32Array(0);
  let cursor = 0;
  let side = 150;
  let columns = 1;
  let width = 0;
  let height = 0;
  let planned = false;

  function measure() {
    const room = gallery.clientWidth - GAP;
    const pair = document.documentElement.dataset.layout === "pair";
    const least = pair ? 2 * side + 1 : side;
    columns = Math.max(1, Math.floor(room / (least + GAP)));
    width = Math.floor(room / columns) - GAP;
    height = Math.min(pair ? Math.floor(width / 2) : width, Math.round(side * 1.25)) + CAPTION + GAP;
    gallery.style.setProperty("--half", `${height - CAPTION - GAP}px`);
    const whole = Math.ceil(rows.length / columns) * height + GAP;
    spacer.style.height = `${Math.min(whole, MOST_HEIGHT)}px`;
  }

  /** Pixels from the list's top to the screen's, of the whole list. */
  function top() {
    const whole = Math.ceil(rows.length / columns) * height + GAP;
    if (whole <= MOST_HEIGHT) return gallery.scrollTop;
    const [real, shown] = [whole - gallery.clientHeight, MOST_HEIGHT - gallery.clientHeight];
    return gallery.scrollTop * real / shown;
  }

  function plan() {
    if (planned) return;
    planned = true;
    const once = () => {
      if (planned) show();
      planned = false;
    };
    requestAnimationFrame(once);
    setTimeout(once, 100); // a page that nobody looks at gets no frames
  }

  function show() {
    const above = top();
    const first = Math.max(0, Math.floor(above / height) - 1) * columns;
    const last = Math.min(rows.length, (Math.ceil((above + gallery.clientHeight) / height) + 1) * columns);
    for (const [position, cell] of cells) {
      if (position < first || position >= last || cell.row !== rows[position]) {
        cell.remove();
        cells.delete(position);
      }
    }
    const visible = [];
    for (let position = first; position < last; position += 1) {
      let cell = cells.get(position);
      if (!cell) {
        cell = cellOf(rows[position], position);
        cells.set(position, cell);
        gallery.append(cell);
      }
      const line = Math.floor(position / columns);
      const x = GAP + (position % columns) * (width + GAP);
      const y = line * height + GAP - above + gallery.scrollTop;
      cell.style.transform = `translate(${x}px, ${y}px)`;
      cell.style.width = `${width}px`;
      cell.style.height = `${height - GAP}px`;
      visible.push(rows[position]);
    }
    mark();
    alphabeam.thumbs.want(visible);
    for (const cell of cells.values()) fill(cell);
  }

  function cellOf(row, position) {
    const source = make("div", "half source");
    const result = make("div", "half result ground");
    const id = make("span", "id", store.id[row]);
    const cell = make("div", "cell",
      make("div", "pictures", source, result),
      make("div", "caption", id, confidenceOf(row)),
      make("div", "flags", saidOf(row)),
      make("span", "mark"));
    cell.row = row;
    cell.halves = { source, result };
    cell.id = `cell-${position}`;
    cell.title = store.id[row];
    cell.setAttribute("role", "option");
    cell.setAttribute("aria-setsize", rows.length);
    cell.setAttribute("aria-posinset", position + 1);
    if (!store.done[row]) cell.classList.add("failed");
    cell.addEventListener("click", () => {
      const again = cursor === position && cell.classList.contains("chosen");
      go(position);
      if (again) alphabeam.tell("open", row);
    });
    cell.addEventListener("dblclick", () => alphabeam.tell("open", row));
    decide(cell);
    return cell;
  }

  function confidenceOf(row) {
    const value = store.confidence[row];
    if (value < 0) return make("span", "confidence");
    const shown = make("span", "confidence", alphabeam.confidence(row));
    shown.classList.add(value < 800 ? "low" : value < 950 ? "middle" : "high");
    shown.title = "confidence";
    return shown;
  }

  function saidOf(row) {
    if (!store.done[row]) return make("span", "error", alphabeam.words(store.error[row] || "failed"));
    return make("span", "", store.flags[row].map(alphabeam.words).join(" · "));
  }

  /** Puts the pictures of a cell in place, as soon as they are there. */
  function fill(cell) {
    if (cell.filled) return;
    const { row, halves } = cell;
    const drawn = alphabeam.thumbs.get(row);
    if (drawn) {
      halves.source.replaceChildren(drawn.source);
      halves.result.replaceChildren(drawn.result);
      cell.filled = true;
    } else if (!alphabeam.thumbs.has(row)) {
      cell.filled = true;
      fillWhole(cell);
    }
  }

  /** Without a thumbnail: the files themselves. */
  async function fillWhole(cell) {
    const details = await alphabeam.detailsOf(cell.row) || {};
    for (const [name, link] of [["source", details.source], ["result", details.cutout || details.mask]]) {
      const url = alphabeam.safeLink(link);
      if (!url) continue;
      const image = make("img");
      image.alt = "";
      image.loading = "lazy";
      image.onerror = () => image.remove();
      image.src = url;
      cell.halves[name].replaceChildren(image);
    }
  }

  function decide(cell) {
    const made = alphabeam.review.of(cell.row) || {};
    cell.classList.toggle("accepted", made.decision === "accept");
    cell.classList.toggle("rejected", made.decision === "reject");
    const said = { accept: "✓", reject: "✕" }[made.decision] || "";
    cell.querySelector(".mark").textContent = said + (made.note ? " ✎" : "");
    const words = { accept: ", accepted", reject: ", rejected" }[made.decision] || "";
    const confidence = alphabeam.confidence(cell.row);
    cell.setAttribute("aria-label", `${store.id[cell.row]}${confidence && `, confidence ${confidence}`}${words}`);
  }

  function mark() {
    for (const [position, cell] of cells) {
      const chosen = position === cursor;
      cell.classList.toggle("chosen", chosen);
      cell.setAttribute("aria-selected", chosen);
    }
    if (cells.has(cursor)) gallery.setAttribute("aria-activedescendant", `cell-${cursor}`);
    else gallery.removeAttribute("aria-activedescendant");
  }

  /** Chooses a position, and brings it on the screen. */
  function go(position) {
    cursor = Math.min(Math.max(position, 0), Math.max(rows.length - 1, 0));
    const line = Math.floor(cursor / columns) * height;
    const above = top();
    const scale = height * Math.ceil(rows.length / columns) + GAP > MOST_HEIGHT
      ? (MOST_HEIGHT - gallery.clientHeight) /
        (height * Math.ceil(rows.length / columns) + GAP - gallery.clientHeight)
      : 1;
    if (line < above) gallery.scrollTop = line * scale;
    else if (line + height + GAP > above + gallery.clientHeight) {
      gallery.scrollTop = (line + height + GAP - gallery.clientHeight) * scale;
    }
    mark();
    plan();
    alphabeam.tell("chosen", rows[cursor]);
  }

  function redo() {
    for (const cell of cells.values()) cell.remove();
    cells.clear();
    measure();
    plan();
  }

  gallery.addEventListener("scroll", plan, { passive: true });
  new ResizeObserver(redo).observe(gallery);
  alphabeam.on("filtered", (found) => {
    const row = rows[cursor];
    rows = found;
    const at = found.indexOf(row);
    cursor = at < 0 ? Math.min(cursor, Math.max(found.length - 1, 0)) : at;
    measure();
    if (at < 0) gallery.scrollTop = 0;
    if (at < 0) cursor = 0;
    for (const cell of cells.values()) cell.setAttribute("aria-setsize", rows.length);
    plan();
  });
  alphabeam.on("thumb", (row) => {
    for (const cell of cells.values()) if (cell.row === row) fill(cell);
  });
  alphabeam.on("decided", (row) => {
    for (const cell of cells.values()) if (row < 0 || cell.row === row) decide(cell);
  });

  return {
    go, redo,
    element: gallery,
    get cursor() { return cursor; },
    get columns() { return columns; },
    get row() { return rows[cursor]; },
    set side(pixels) { side = pixels; redo(); },
  };
})();

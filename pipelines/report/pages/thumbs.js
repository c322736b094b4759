/* Thumbnails: shards are loaded for what is on the screen, and forgotten when there are many. */
"use strict";

alphabeam.thumbs = (() => {
  const { store } = alphabeam;
  const MOST_LETTERS = 160e6; // of shards in memory
  const MOST_PICTURES = 900; // drawn ones
  const MOST_LOADS = 6;
  const shards = new Map(); // name -> pictures, the least recently used first
  const asked = new Set(); // shards on their way
  const failed = new Set();
  const drawn = new Map(); // row -> {source, result}: canvases
  const drawing = new Set();
  let wanted = [];
  let letters = 0;

  alphabeam.on("shard", ({ name, pictures }) => {
    shards.set(name, pictures);
    letters += sizeOf(pictures);
    while (letters > MOST_LETTERS && shards.size > 1) {
      const [oldest, its] = shards.entries().next().value;
      shards.delete(oldest);
      letters -= sizeOf(its);
    }
  });

  function sizeOf(pictures) {
    return pictures.reduce((sum, [colours, alpha]) => sum + colours.length + alpha.length, 0);
  }

  /** Says which rows are on the screen; "thumb" is told for each that gets its pictures. */
  function want(rows) {
    wanted = rows;
    work();
  }

  function work() {
    for (const row of wanted) {
      if (drawn.has(row) || drawing.has(row) || store.shard[row] < 0) continue;
      const name = store.summary.shards[store.shard[row]];
      if (shards.has(name)) draw(row, shards.get(name)[store.place[row]]);
      else if (asked.size < MOST_LOADS && !asked.has(name) && !failed.has(name)) loadShard(name);
    }
  }

  async function loadShard(name) {
    asked.add(name);
    if (!await alphabeam.load("thumbs", name, `thumbs/${name}.js`)) {
      failed.add(name);
      for (const row of wanted) if (!has(row)) alphabeam.tell("thumb", row);
    }
    asked.delete(name);
    work();
  }

  async function draw(row, picture) {
    drawing.add(row);
    try {
      const [colours, alpha] = await Promise.all([
        decoded(`data:image/jpeg;base64,${picture[0]}`),
        decoded(`data:image/png;base64,${picture[1]}`),
      ]);
      const [width, height] = [alpha.naturalWidth, alpha.naturalHeight];
      const source = canvas(width, height);
      const result = canvas(width, height);
      source.getContext("2d").drawImage(colours, 0, 0);
      const context = result.getContext("2d");
      context.drawImage(colours, -width, 0);
      context.globalCompositeOperation = "destination-in";
      context.drawImage(alpha, 0, 0);
      drawn.set(row, { source, result });
      if (drawn.size > MOST_PICTURES) drawn.delete(drawn.keys().next().value);
      alphabeam.tell("thumb", row);
    } catch {
      store.shard[row] = -1; // a broken picture: the full one is shown
      alphabeam.tell("thumb", row);
    } finally {
      drawing.delete(row);
    }
  }

  async function decoded(link) {
    const image = new Image();
    image.src = link;
    await image.decode();
    return image;
  }

  function canvas(width, height) {
    const made = document.createElement("canvas");
    made.width = width;
    made.height = height;
    return made;
  }

  /** Whether a row has a thumbnail that is there or may come. */
  function has(row) {
    return store.shard[row] >= 0 && !failed.has(store.summary.shards[store.shard[row]]);
  }

  return { want, has, get: (row) => drawn.get(row) };
})();

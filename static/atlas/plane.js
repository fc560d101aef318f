/* One of the maps of an atlas: the tiles of a model, prepared or drawn by workers, on a canvas. */

import { room, WorkerPool } from "../sampler/worker-pool.js";
import { addressOf, ancestor, boxOf, clamp, distance, read, tileOf, visible, written } from "./geometry.js";
import { nextOf, pictureOf, sourceOf, Store } from "./tiles.js";

const FADE = 220; // milliseconds in which a picture takes the place of another
const FAINT = 0.35; // opacity of a picture that is not a low-pass version of the tile

export class Plane {
  #running = new Map(); // the tiles being drawn, by job
  #failed = new Set();
  #wanted = [];
  #seen = new Map(); // when the picture of each tile in view came, by address
  #jobs = 0;

  /* box: the element of the map; share: the part of the limits of memory; changed: callback for a new
     picture or state; fetching: callback for the percentage of the weights that was received */
  constructor(box, { seed, columns, share, changed, fetching }) {
    Object.assign(this, { box, seed, columns, changed, fetching });
    this.facts = JSON.parse(box.dataset.facts);
    this.canvas = box.querySelector("canvas");
    this.prepared = this.facts.prepared; // depth
    this.deepest = box.dataset.model ? this.facts.splits.length : this.prepared;
    this.store = new Store(share);
    this.sheet = new Image();
    this.sheet.onload = changed;
    this.sheet.src = box.dataset.tiles;
  }

  addressOf(tile) {
    return addressOf(tile, this.facts.starts);
  }

  /* A tile, or its ancestor at the deepest split of this model. */
  own(tile) {
    return ancestor(tile, Math.min(tile.depth, this.deepest));
  }

  /* The picture of a tile, if it is there: drawn, or cut out of the prepared ones, which are in rows by
     their depths, then by their addresses. Browsers and WebP mix neighbours into the pixels at its
     edges, which are replaced by those next to them. */
  picture(tile) {
    const key = written(this.addressOf(tile));
    const entry = this.store.get(key);
    if (entry?.picture) return entry.picture;
    const { sheet, facts, prepared, columns } = this;
    if (tile.depth > prepared || !sheet.complete || !sheet.naturalWidth) return;
    const across = columns * 2 ** prepared;
    const side = sheet.naturalWidth / across;
    const picture = Object.assign(document.createElement("canvas"), { width: side, height: side });
    const { start, digits } = this.addressOf(tile);
    const above = (columns ** 2 * (4 ** tile.depth - 1)) / 3; // 1 + 4 + … tiles of each start
    const number = above + facts.starts.flat().indexOf(start) * 4 ** tile.depth + parseInt(`0${digits}`, 4);
    const cut = [(number % across) * side, Math.floor(number / across) * side, side, side];
    const pen = picture.getContext("2d");
    pen.drawImage(sheet, ...cut, 0, 0, side, side);
    for (const [from, to] of [[1, 0], [side - 2, side - 1]]) {
      pen.drawImage(picture, from, 0, 1, side, to, 0, 1, side);
      pen.drawImage(picture, 0, from, side, 1, 0, to, side, 1);
    }
    this.#keep({ key, tile, state: entry?.state, picture });
    return picture;
  }

  /* The picture of a tile or of its nearest ancestor that has one. */
  nearest(tile) {
    for (let depth = tile.depth; depth >= 0; depth--) {
      const above = ancestor(tile, depth);
      const picture = this.picture(above);
      if (picture) return { picture, depth };
    }
    return {};
  }

  /* Draw what a camera sees at a depth; return whether something still fades in, unless `calm`. */
  paint({ camera, view, depth, ratio, now, calm, isPixelated }) {
    const { canvas } = this;
    Object.assign(this, { camera, view });
    const [width, height] = [view.width, view.height].map((length) => Math.round(length * ratio));
    if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height });
    const pen = canvas.getContext("2d");
    pen.clearRect(0, 0, width, height);
    pen.imageSmoothingEnabled = !isPixelated;
    pen.imageSmoothingQuality = "high";
    if (depth !== this.depth) Object.assign(this, { depth, before: this.depth, since: now });
    const risen = (since) => (calm ? 1 : clamp((now - since) / FADE, 0, 1));
    const share = this.before === undefined ? 1 : risen(this.since);
    if (share < 1) this.#paintDepth(pen, ratio, this.before, 1 - share ** 3, (key, isOwn) => Number(isOwn));
    const seen = new Map();
    let fades = share < 1;
    this.#paintDepth(pen, ratio, depth, share, (key, isOwn) => {
      // Pictures that are there when they come into view do not fade in.
      const since = !isOwn ? Infinity : Math.min(this.#seen.get(key) ?? -Infinity, now);
      seen.set(key, since);
      if (isOwn && risen(since) < 1) fades = true;
      return risen(since);
    });
    this.#seen = seen;
    return fades;
  }

  /* Draw the tiles of a depth; riseOf returns the opacity of a tile's own picture, which is over that
     of its nearest ancestor. */
  #paintDepth(pen, ratio, depth, opacity, riseOf) {
    const { camera, view, columns, facts } = this;
    for (const tile of visible(depth, camera, view, columns)) {
      const { left, top, width, height } = boxOf(tile, camera, view);
      const edges = [left, top, left + width, top + height].map((edge) => Math.round(edge * ratio));
      const place = [edges[0], edges[1], edges[2] - edges[0], edges[3] - edges[1]];
      const own = this.picture(tile);
      const rise = riseOf(written(this.addressOf(tile)), Boolean(own));
      const above = rise < 1 && depth > 0 && this.nearest(ancestor(tile, depth - 1)).picture;
      if (above) {
        pen.globalAlpha = opacity * (facts.blur ? 1 : FAINT);
        pen.drawImage(above, ...place);
      }
      if (!own) continue;
      pen.globalAlpha = opacity * rise;
      pen.drawImage(own, ...place);
    }
    pen.globalAlpha = 1;
  }

  /* Have tiles drawn, the nearest first, and prepared ones in all their pixels if `isWhole`; return
     how many are missing, and how many cannot be drawn. */
  want(tiles, isWhole) {
    const isAbsent = (tile) =>
      tile.depth > this.prepared ? !this.picture(tile) : isWhole && !this.#isDrawn(tile);
    const absent = tiles.filter(isAbsent);
    this.#wanted = absent.map((tile) => this.addressOf(tile)).filter((address) => this.#open(address));
    this.#assign();
    return { missing: this.#wanted.length, failed: absent.length - this.#wanted.length };
  }

  #isDrawn(tile) {
    const key = written(this.addressOf(tile));
    return !this.box.dataset.model || (this.store.get(key)?.state && !this.#isRunning(key));
  }

  #isRunning(key) {
    return [...this.#running.values()].includes(key);
  }

  retry() {
    if (this.state === "lost") this.state = undefined;
    this.#failed.clear();
  }

  /* Whether neither a tile nor what it is drawn from has failed. */
  #open(address) {
    for (let source = address; source; source = sourceOf(source, this.facts))
      if (this.#failed.has(written(source))) return false;
    return true;
  }

  /* Fetch the model, and start the first worker. `state` is "loading", "ready" or "lost". */
  async load() {
    this.state = "loading";
    const whole = (name) => new URL(this.box.dataset[name], document.baseURI).href;
    try {
      const pool = new WorkerPool((data) => this.#hear(data), (fault) => this.#lose(fault));
      // The page keeps a core. On two busy ones, a second worker drew no faster, and the page waited.
      Object.assign(this, { pool, most: Math.max(1, room() - 1) });
      pool.pause(Boolean(this.isPaused));
      await pool.open({ model: whole("model"), weights: whole("weights") }, this.fetching);
      if (this.pool !== pool) return; // all memory was given back meanwhile
      this.state = "ready";
      this.changed();
    } catch (fault) {
      this.#lose(fault);
    }
  }

  #lose(fault) {
    console.info(fault);
    this.free();
    this.state = "lost";
    this.changed();
  }

  #assign() {
    while (this.state === "ready" && this.#running.size < this.most) {
      const isBusy = (address) => this.#isRunning(written(address)) || this.#failed.has(written(address));
      const state = (address) => this.store.get(written(address))?.state;
      const next = nextOf(this.#wanted, this.facts, state, isBusy);
      if (!next) return;
      const { picture, level } = pictureOf(next.address, this.facts, this.seed);
      const from = next.source ? { level, state: state(next.source) } : null;
      const id = ++this.#jobs;
      this.#running.set(id, written(next.address));
      this.pool.submit({ id, picture, start: () => from });
    }
  }

  /* Keep a tile that a worker has drawn, and give it the next. */
  #hear({ id, level, state, sharp, ended }) {
    const key = this.#running.get(id);
    if (key === undefined) return;
    if (state) {
      const tile = tileOf(read(key), this.facts.starts);
      const before = this.store.get(key);
      const shown = level && this.facts.renoised ? sharp : state;
      const picture = shown ? drawn(shown, this.facts) : before?.picture;
      this.#keep({ key, tile, state: before?.state ?? state, picture });
    }
    if (!ended) return;
    this.#running.delete(id);
    if (ended === "diverged") this.#failed.add(key);
    this.changed();
    this.#assign();
  }

  #keep(entry) {
    const { depth = 0, camera, view } = this;
    this.store.put(entry, (tile) => (camera ? distance(tile, depth, camera, view) : 0));
  }

  pause(isPaused) {
    this.isPaused = isPaused;
    this.pool?.pause(isPaused);
  }

  /* Give back all memory; the model is loaded again when a tile is wanted. */
  free() {
    this.pool?.close();
    Object.assign(this, { pool: undefined, state: undefined });
    this.#running.clear();
    this.#wanted = [];
    this.store.clear();
  }
}

/* Channels × rows × columns in [0, 1] on a canvas, clipped and rounded as in sitegen. */
function drawn(planes, { width: side, channels }) {
  const image = new ImageData(side, side);
  for (let i = 0; i < side ** 2; i++) {
    for (let c = 0; c < 3; c++) {
      const value = planes[(c % channels) * side ** 2 + i];
      image.data[4 * i + c] = Math.floor(clamp(value, 0, 1) * 255 + 0.5);
    }
    image.data[4 * i + 3] = 255;
  }
  const canvas = Object.assign(document.createElement("canvas"), { width: side, height: side });
  canvas.getContext("2d").putImageData(image, 0, 0);
  return canvas;
}

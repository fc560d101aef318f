/* An atlas: a map of each model under one camera, the line of a tile up to its start, and what is said
   about it. All texts come from the page. */

import {
  addressOf, ancestor, between, boxOf, cameraAt, depthAt, isInView, kept, limitsOf, read, tileAt,
  tileOf, visible, written, zoomed,
} from "./geometry.js";
import { listen } from "./gestures.js";
import { Plane } from "./plane.js";
import { fillTree, led } from "./tree.js";

const MOVE = 320; // milliseconds of a zoom by a button or a key
const AWAY = 60000; // milliseconds out of view after which all memory is given back
const SAVED = 512; // approximate size of a saved picture in pixels
const LEAST_BAR = 3; // CSS pixels
const STEPS = { "+": 2, "=": 2, "-": 0.5 };
const reducedMotion = matchMedia("(prefers-reduced-motion: reduce)");
const fill = (text, values) => text.replace(/\{(\w+)\}/g, (all, name) => values[name] ?? all);
const put = (element, text) => element.textContent === text || (element.textContent = text);

class Atlas {
  /* figure: its element; names: those that links to it have, the first of them in new links; uncover:
     opens the tab of an element */
  constructor(figure, names, uncover) {
    const box = figure.querySelector(".atlas");
    Object.assign(this, { figure, box, names, uncover, words: box.dataset });
    for (const name of ["in", "out", "home", "tree", "address", "told", "cost", "fetch", "link", "save", "large", "dialog"])
      this[name] = box.querySelector(`.atlas-${name}`);
    this.columns = Number(box.dataset.columns);
    const maps = [...box.querySelectorAll(".atlas-map")];
    const lines = box.querySelectorAll(".atlas-line");
    this.planes = maps.map((map, number) => {
      const plane = new Plane(map, {
        seed: box.dataset.seed,
        columns: this.columns,
        share: 1 / maps.length,
        changed: () => this.update(),
        fetching: (percent) => {
          this.percent = percent;
          this.update();
        },
      });
      const [ring, scale] = ["ring", "scale"].map((name) => map.querySelector(`.atlas-${name}`));
      return Object.assign(plane, { ring, scale, rows: [...lines[number].children] });
    });
    this.deepest = Math.max(...this.planes.map(({ deepest }) => deepest));
    this.listen();
    box.classList.add("live");
    this.resize();
    if (!this.view) this.follow();
  }

  listen() {
    const when = (thing, event, task) => thing.addEventListener(event, task);
    for (const { box } of this.planes)
      listen(box, {
        active: (on) => this.box.classList.toggle("active", on),
        pan: (way) => this.pan(way),
        zoom: (point, factor, isSmooth) => this.zoom(factor, point, isSmooth),
        tap: (point) => this.select(this.under(point)),
        twice: (point) => this.zoom(2, point, true),
        hover: (point) => {
          this.pointer = point;
          this.update();
        },
      });
    when(this.in, "click", () => this.zoom(2, this.middle, true));
    when(this.out, "click", () => this.zoom(0.5, this.middle, true));
    when(this.home, "click", () => this.move(this.whole, true));
    when(this.tree, "keydown", (event) => this.press(event));
    when(this.tree, "focusin", ({ relatedTarget }) => this.tree.contains(relatedTarget) || this.enter());
    for (const { rows } of this.planes)
      for (const [depth, row] of rows.entries()) when(row, "click", () => this.climb(depth));
    when(this.link, "click", () => this.copy());
    when(this.save, "click", () => this.ask(this.current));
    when(this.large, "click", () => this.enlarge());
    when(this.dialog, "click", ({ target }) => target === this.dialog && this.dialog.close());
    when(this.dialog, "close", () => this.ask());
    when(this.fetch, "click", () => {
      this.isAllowed = true;
      for (const plane of this.planes) plane.retry();
      this.update();
    });
    when(window, "hashchange", () => this.follow());
    when(window, "pagehide", () => this.free());
    when(document, "visibilitychange", () => this.pause());
    const observer = new IntersectionObserver((entries) => {
      this.isAway = !entries.at(-1).isIntersecting; // a quick jump away and back brings two
      this.pause();
    });
    observer.observe(this.planes[0].box);
    new ResizeObserver(() => this.resize()).observe(this.planes[0].box);
  }

  /* Pause drawing out of view, and give back all memory after a while. */
  pause() {
    const isPaused = Boolean(this.isAway || document.hidden);
    for (const plane of this.planes) plane.pause(isPaused);
    clearTimeout(this.timer);
    if (isPaused) this.timer = setTimeout(() => this.free(), AWAY);
    else this.update();
  }

  free() {
    for (const plane of this.planes) plane.free();
  }

  /* Measure the maps, and keep what they show. */
  resize() {
    const [{ box, facts }] = this.planes;
    const { clientWidth: width, clientHeight: height } = box;
    const { limits: before, view } = this;
    if (!width || (width === view?.width && height === view.height)) return;
    const map = { columns: this.columns, deepest: this.deepest, side: facts.width };
    this.view = { width, height };
    this.limits = limitsOf(this.view, map);
    if (before) {
      const { scale, ...middle } = this.goal;
      return this.move({ ...middle, scale: (scale * this.limits.tile) / before.tile });
    }
    this.camera = this.first;
    this.focus = this.under(this.middle);
    this.fill();
    this.update();
    this.follow();
  }

  get middle() {
    return [this.view.width / 2, this.view.height / 2];
  }

  /* The camera that shows the whole map. */
  get whole() {
    return { x: this.columns / 2, y: this.columns / 2, scale: this.limits.least };
  }

  /* The camera of a visitor who comes: over the middle of the map, where several starts meet, with as
     many as possible of the deepest tiles that are prepared. */
  get first() {
    const depth = Math.min(...this.planes.map(({ prepared }) => prepared));
    return kept({ ...this.whole, scale: this.limits.tile * 2 ** (depth - 0.45) }, this.view, this.limits, this.columns);
  }

  /* Where a zoom ends, or the camera. */
  get goal() {
    return this.motion?.to ?? this.camera;
  }

  get depth() {
    return depthAt(this.camera.scale, this.limits, this.deepest);
  }

  under(point) {
    return tileAt(point, this.depth, this.camera, this.view, this.columns);
  }

  /* The tile that is pointed at, or the selected one if it can be seen, or the one in the middle. */
  get current() {
    const { pointer, focus, tree } = this;
    const isSelected = this.isSeen(focus) || tree.contains(document.activeElement);
    return (pointer && this.under(pointer)) ?? (isSelected ? focus : this.under(this.middle));
  }

  /* Go to a camera, by a zoom or at once. */
  move(camera, isSmooth = false) {
    const to = kept(camera, this.view, this.limits, this.columns);
    const isCut = !isSmooth || reducedMotion.matches;
    [this.notice, this.asked] = [];
    this.motion = isCut ? undefined : { from: this.camera, to, begun: performance.now() };
    if (isCut) this.camera = to;
    this.update();
  }

  pan([across, down]) {
    const { x, y, scale } = this.camera;
    this.move({ x: x - across / scale, y: y - down / scale, scale });
  }

  /* Zoom at a point by a factor; return whether the wheel is the map's: at its deepest it is, and at its
     flattest it scrolls the page on. */
  zoom(factor, point, isSmooth = false) {
    const from = this.goal;
    const to = kept(zoomed(from, this.view, point, factor), this.view, this.limits, this.columns);
    if (to.scale === from.scale) return factor > 1;
    this.move(to, isSmooth);
    return true;
  }

  /* Select a tile, and move the map to it if it is not in view. */
  select(tile, { isCentred = false, hasFocus = false } = {}) {
    if (!tile) return;
    this.focus = tile;
    this.fill();
    if (isCentred || !this.isSeen(tile)) this.move(cameraAt(tile, this.limits), true);
    else this.update();
    if (hasFocus) this.item.focus({ preventScroll: true });
  }

  /* Whether a tile can be seen, or will be after a zoom. */
  isSeen(tile) {
    const { goal, limits, view } = this;
    return tile.depth === depthAt(goal.scale, limits, this.deepest) && isInView(tile, goal, view);
  }

  fill() {
    const said = (tile) => fill(this.words.tile, this.valuesOf(tile));
    const { columns, deepest } = this;
    this.item = fillTree(this.tree, this.focus, { columns, deepest, said });
  }

  /* The keyboard comes to the map: begin at a tile that can be seen. */
  enter() {
    if (this.isSeen(this.focus)) this.update();
    else this.select(this.under(this.middle), { hasFocus: true });
  }

  press(event) {
    const { key } = event;
    const to = key === "Home" ? ancestor(this.focus, 0) : led(key, this.focus, this);
    const isOpened = key === "Enter" && !to;
    if (event.ctrlKey || event.altKey || event.metaKey || !(to || isOpened || key in STEPS)) return;
    event.preventDefault();
    if (isOpened) return this.enlarge();
    if (!to) return this.zoom(STEPS[key], this.middle, true);
    this.select(to, { hasFocus: true });
    if (key === "Home") this.move(this.whole, true);
  }

  /* Go to the tile of a row of the line. */
  climb(depth) {
    if (depth <= this.current.depth) this.select(ancestor(this.current, depth), { isCentred: true });
  }

  /* What texts say of a tile; a first map with fewer splits shows its ancestor. */
  valuesOf(tile) {
    const [plane] = this.planes;
    const { facts } = plane;
    const own = plane.own(tile);
    const level = facts.splits[own.depth] ?? 0;
    const address = written(addressOf(own, facts.starts));
    return { address, level, value: valueAt(own.depth, facts), seed: this.words.seed };
  }

  /* Draw the next frame; several requests before it are one. */
  update() {
    this.frame ??= requestAnimationFrame((now) => {
      this.frame = undefined;
      if (this.camera) this.paint(now);
    });
  }

  paint(now) {
    const { motion } = this;
    if (motion) {
      const share = Math.min(1, Math.max(0, (now - motion.begun) / MOVE));
      this.camera = between(motion.from, motion.to, 1 - (1 - share) ** 3);
      if (share === 1) [this.camera, this.motion] = [motion.to, undefined];
    }
    const { camera, view, depth, current } = this;
    const calm = reducedMotion.matches;
    const isPixelated = "pixelated" in this.words;
    let goesOn = Boolean(this.motion);
    [this.missing, this.failed] = [0, 0];
    for (const plane of this.planes) {
      const own = Math.min(depth, plane.deepest);
      const look = { camera, view, depth: own, now, calm, isPixelated, ratio: devicePixelRatio };
      if (plane.paint(look)) goesOn = true;
      if (!this.motion) this.demand(plane, own);
      this.mark(plane, current);
    }
    this.report(current);
    if (this.asked) this.answer();
    if (goesOn) this.update();
  }

  /* Have the tiles of a depth that are in view drawn, or the one that was asked for, once the model may
     be fetched; count those that are missing or cannot be drawn. */
  demand(plane, depth) {
    const { asked, camera, view, columns } = this;
    const tiles = asked ? [plane.own(asked)] : visible(depth, camera, view, columns);
    const { missing, failed } = plane.want(tiles, asked);
    if (missing && !plane.state && !this.mustAsk) plane.load();
    this.missing += missing;
    this.failed += failed;
  }

  /* Draw the ring around a tile of a map, its scale bar, and the line of the tile. */
  mark(plane, current) {
    const { camera, view } = this;
    const { facts, depth, ring, scale, rows } = plane;
    const tile = plane.own(current);
    place(ring, boxOf(tile, camera, view));
    const [bar, text] = ["i", "b"].map((tag) => scale.querySelector(tag));
    const pixels = facts.unit === "px" ? facts.values[depth] : 0;
    const length = (pixels * camera.scale) / 2 ** depth / facts.width;
    bar.style.width = `${length}px`;
    bar.hidden = length < LEAST_BAR;
    put(text, valueAt(depth, facts));
    const { digits } = addressOf(tile, facts.starts);
    for (const [number, row] of rows.entries()) {
      const isAbsent = number > tile.depth;
      row.classList.toggle("absent", isAbsent);
      row.dataset.digit = digits[number - 1] ?? "";
      const canvas = row.querySelector("canvas");
      const { picture } = isAbsent ? {} : plane.nearest(ancestor(tile, number));
      if (row.picture === picture) continue;
      row.picture = picture;
      show(canvas, picture);
    }
  }

  /* Say where a visitor is, and what is being done. */
  report(current) {
    const { limits, words, planes, missing, failed } = this;
    const { scale } = this.goal;
    const values = this.valuesOf(current);
    put(this.address, fill(this.address.dataset.text, values));
    place(this.item, boxOf(this.focus, this.camera, this.view));
    for (const [button, limit] of [[this.in, limits.most], [this.out, limits.least]])
      button.setAttribute("aria-disabled", String(Math.abs(scale / limit - 1) < 0.001));
    const has = (state) => planes.some((plane) => plane.state === state);
    const isLost = (missing && has("lost")) || (!missing && failed);
    this.fetch.hidden = !isLost && !(missing && this.mustAsk);
    put(this.fetch, isLost ? words.again : words.fetch);
    const isFaint = planes.some(({ facts }) => !facts.blur);
    let text = has("ready") ? words.done : "";
    if (failed) text = words.failed;
    if (missing && has("lost")) text = words.lost;
    else if (missing && has("loading")) text = this.percent ? words.coming : words.fetching;
    else if (missing && this.mustAsk) text = words.waiting;
    else if (missing) text = isFaint ? words.faint : words.drawing;
    text = this.notice ?? text;
    put(this.told, fill(text, { percent: this.percent }));
    this.cost.hidden = Boolean(text);
  }

  /* Whether the model must not be fetched before a press, since the visitor's browser saves data. */
  get mustAsk() {
    return Boolean(navigator.connection?.saveData) && !this.isAllowed;
  }

  /* Go to the tile of a link. */
  follow() {
    const [, name, text] = /^#([^/]+)\/([\d.]+)$/.exec(decodeURIComponent(location.hash)) ?? [];
    if (!this.names.includes(name)) return;
    this.uncover(this.figure);
    for (let box = this.figure; (box = box.parentElement.closest("details")); ) box.open = true;
    if (!this.view) return this.resize(); // which follows the link
    const [{ facts, deepest }] = this.planes;
    const address = read(text);
    const tile = address?.digits.length <= deepest && tileOf(address, facts.starts);
    this.figure.scrollIntoView();
    if (tile) this.select(tile, { isCentred: true });
    else this.tell(this.words.unreadable);
  }

  /* Put the link to the tile into the address bar and, if permitted, copy it. */
  async copy() {
    const { address } = this.valuesOf(this.current);
    history.replaceState(null, "", `#${this.names[0]}/${address}`);
    try {
      await navigator.clipboard.writeText(location.href);
      this.tell(this.words.copied);
    } catch {
      this.tell(this.words.linked);
    }
  }

  /* Have a tile drawn in all its pixels, or none, before the rest of the map. */
  ask(tile) {
    this.asked = tile;
    this.update();
  }

  /* Show the tile that was asked for in the large view, or save it when it is drawn. */
  answer() {
    const { asked, dialog, planes } = this;
    if (dialog.open)
      for (const [number, canvas] of [...dialog.querySelectorAll("canvas")].entries())
        show(canvas, planes[number].nearest(planes[number].own(asked)).picture);
    else if (!this.missing) this.keep();
  }

  /* Save the tile that was asked for as a PNG. */
  keep() {
    const [plane] = this.planes;
    const { address } = this.valuesOf(this.asked);
    const picture = plane.picture(plane.own(this.asked));
    this.asked = undefined;
    if (this.failed || !picture) return this.tell(this.words.undrawn);
    const factor = Math.max(1, Math.floor(SAVED / picture.width));
    const large = document.createElement("canvas");
    show(large, picture, factor);
    large.toBlob((blob) => {
      const href = URL.createObjectURL(blob);
      const download = `${plane.box.dataset.name}-${address}.png`;
      Object.assign(document.createElement("a"), { href, download }).click();
      setTimeout(() => URL.revokeObjectURL(href), 10000);
    });
  }

  /* Show the tile large, with the command that draws it. */
  enlarge() {
    const { dialog, current } = this;
    for (const text of dialog.querySelectorAll("[data-text]"))
      put(text, fill(text.dataset.text, this.valuesOf(current)));
    dialog.showModal();
    this.ask(current);
    this.answer();
  }

  /* Say something until the map moves on. */
  tell(text) {
    this.notice = text;
    this.update();
  }
}

/* Set up the maps of a page. */
export function start(figures, uncover) {
  for (const [number, { id }] of figures.entries()) {
    const names = number ? [id] : [id, "atlas"];
    new Atlas(figures[number], figures.length > 1 ? names : names.reverse(), uncover);
  }
}

/* The value of the axis at a depth, as the page writes it. */
function valueAt(depth, { values, unit }) {
  const value = values[depth];
  const text = value ? value.toFixed(Math.abs(value) < 1 ? 2 : 1) : "0";
  return unit ? `${text} ${unit}` : text;
}

/* Put an element over a box; browsers count a move by `left` as a shift of the page's layout. */
function place({ style }, { left, top, width, height }) {
  const transform = `translate(${left}px, ${top}px)`;
  Object.assign(style, { transform, width: `${width}px`, height: `${height}px` });
}

/* Copy a picture to a canvas, each pixel a square of `factor` pixels; without one, clear it. */
function show(canvas, picture, factor = 1) {
  const { width = 1, height = 1 } = picture ?? {};
  Object.assign(canvas, { width: factor * width, height: factor * height });
  const pen = canvas.getContext("2d");
  pen.imageSmoothingEnabled = false;
  if (picture) pen.drawImage(picture, 0, 0, canvas.width, canvas.height);
}

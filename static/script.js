/* The page's script. Without it, clips still play with the browser's own controls, and links work.
   All texts come from the page. */
"use strict";

const AT_ONCE = 4; // maximum number of clips that play at the same time
const REST = 1500; // milliseconds for which the finished samples stay visible
const PATIENCE = 30000; // milliseconds within which a clip must begin
const FAINT = 0.15; // opacity of branches of a tree that have not begun
const APART = 0.12; // maximum offset in seconds of clips side by side
const KEY = "sitegen-motion";
const reducedMotion = matchMedia("(prefers-reduced-motion: reduce)");
const phone = matchMedia("(max-width: 33rem)");
const clips = [];
const clamp = (value, least, most) => Math.min(Math.max(value, least), most);
const list = (text) => (text ?? "").split(" ").filter(Boolean);
const numbers = (text) => list(text).map(Number);
const when = (thing, events, task, early) =>
  list(events).forEach((event) => thing.addEventListener(event, task, early));
const fill = (text, values) => text.replace(/\{(\w+)\}/g, (all, name) => values[name] ?? all);

/* The visitor's stored preference; some browsers have no storage for file: pages. */
function preference(value) {
  try {
    if (value) localStorage[KEY] = value;
    return localStorage[KEY];
  } catch {
    return null;
  }
}

/* The target of a navigation key, if it is one. */
function lead(event, ways) {
  if (event.ctrlKey || event.altKey || event.metaKey || !(event.key in ways)) return;
  event.preventDefault();
  return ways[event.key];
}

/* Run a setup step. Elements are shown once they work; a failed step does not affect others. */
function prepare(selector, setUp) {
  for (const element of document.querySelectorAll(selector)) {
    try {
      setUp(element);
      element.classList.add("live");
    } catch (fault) {
      console.error(fault);
    }
  }
}

/* Whether the page is dark, by what its reader chose. */
function isDark() {
  const [red, green, blue] = getComputedStyle(document.body).backgroundColor.match(/[\d.]+/g).map(Number);
  return red + green + blue < 384;
}

/* Whether clips may play automatically. */
const may = () => !reducedMotion.matches && preference() !== "stopped" && !navigator.connection?.saveData;
let moving = may();

/* Play button, slider and readout of a clip; the viewer has a copy of them. */
class Controls {
  constructor(element, clip) {
    this.clip = clip;
    this.button = element.querySelector(".play");
    this.slider = element.querySelector(".slider");
    this.slots = element.querySelectorAll("[data-slot]");
    this.trouble = element.querySelector(".trouble") ?? {};
    when(this.button, "click", () => clip.toggle());
    when(this.slider, "input", () => clip.scrub(clip.stops[this.slider.value]));
  }

  /* The slider moves immediately; the text describes the visible frame. */
  update() {
    const { clip, button, slider } = this;
    const { aim, shown } = clip.walked ? { aim: clip.last, shown: clip.last } : clip;
    slider.max = clip.stops.length - 1;
    slider.value = clip.valueAt(aim);
    this.text = fill(slider.dataset.text, clip.words(aim)).trim();
    slider.setAttribute("aria-valuetext", this.text);
    const words = clip.words(shown);
    for (const slot of this.slots) slot.textContent = fill(slot.dataset.slot, words);
    button.classList.toggle("running", clip.running);
    button.setAttribute("aria-label", clip.running ? button.dataset.pause : button.dataset.play);
    this.complain(clip.lost ? "lost" : clip.fixed ? "fixed" : "");
  }

  complain(why) {
    this.trouble.hidden = !why;
    const words = this.trouble.dataset?.[why];
    if (words && words !== this.trouble.textContent) this.trouble.textContent = words;
  }
}

class Clip {
  constructor(figure) {
    const video = figure.querySelector("video");
    const { dataset: data, parentElement: stage } = video;
    Object.assign(this, { figure, video, stage });
    this.poster = stage.querySelector("img") ?? new Image();
    const film = numbers(data.film);
    [, , this.fps, this.last, this.points, this.hold, this.opening = 0] = film;
    this.source = { width: film[0], height: film[1] };
    this.boxes = boxesOf(stage, video);
    Object.assign(this, this.source, { places: this.boxes, room: this.source.width });
    this.levels = list(data.levels);
    this.sigmas = list(data.sigmas);
    this.whole = [{ first: 0, last: this.last }];
    this.follow(this.whole);
    this.shown = this.last; // the visible frame; the poster is the last one
    this.aim = this.last; // the requested frame
    this.ratio = 0; // visible share
    this.held = false; // the visitor stopped this one
    this.asked = false; // the visitor started this one
    this.walked = false; // the visitor navigates its tree
    this.running = false;
    this.lost = false; // its file could not be loaded
    this.fixed = false; // its host has no range requests, so it cannot be scrubbed
    this.partners = []; // adjacent clips that follow this one
    this.controls = [new Controls(figure.querySelector(".scrubber"), this)];
    when(video, "ended", () => video.ended && this.rest()); // it may have begun again by now
    when(video, "seeked loadedmetadata", () => this.arrive());
    when(video, "error", (event) => this.lose(event), true);
    when(this.poster, "load error", () => {
      viewer.paint(this);
      this.draw();
    });
    this.watch();
    this.update();
  }

  update() {
    for (const each of this.controls) each.update();
    this.point?.(this.walked ? this.last : this.shown);
    this.leader?.update(); // its slider tells the levels of its partners
  }

  /* Choose where the cells are shown. On wide, light pages the clip is shown as it is. Elsewhere its
     cells are drawn on a canvas: fewer in a row on a phone, and with the page between them. The room
     is a width in CSS pixels. */
  arrange(room, dark) {
    const { figure, source, stage } = this;
    const compared = figure.closest(".compare"); // whose parts keep one arrangement
    const narrow = phone.matches && !compared && narrowLayout(this.boxes, room);
    const { boxes, ...size } = narrow || { ...source, boxes: this.boxes };
    Object.assign(this, size, { places: boxes, room });
    const drawn = Boolean(narrow) || dark;
    if (drawn && !this.canvas) {
      this.canvas = document.createElement("canvas");
      this.canvas.className = "drawing";
      this.video.after(this.canvas);
    }
    stage.classList.toggle("drawn", drawn);
    if (drawn) Object.assign(this.canvas, size);
    label(stage.querySelector(".cell-texts"), this);
    join(figure, this);
    this.settle?.();
    this.draw();
  }

  /* The picture that shows a frame best, and its width; the poster is finer, and there earlier. */
  get picture() {
    const { video, poster, shown } = this;
    const ended = this.walked || shown < this.opening || shown >= this.last;
    const ready = video.readyState >= 2 && !(ended && poster.naturalWidth);
    return ready ? [video, video.videoWidth] : [poster, poster.naturalWidth];
  }

  /* Draw the cells of the visible frame; a branch of a tree that has not begun is faint. */
  draw() {
    if (!this.canvas || !this.stage.classList.contains("drawn")) return;
    const pen = this.canvas.getContext("2d");
    const [picture, wide] = this.picture;
    if (!wide) return;
    const scale = wide / this.source.width;
    const inset = picture === this.video ? 0.5 : 0; // H.264 mixes the edges of cells with the gutter
    pen.clearRect(0, 0, this.canvas.width, this.canvas.height);
    this.boxes.forEach(({ x, y, width, height, first = 0 }, number) => {
      const place = this.places[number];
      const waits = picture === this.video && this.shown < first;
      const [from, factor] = waits ? [this.poster, this.poster.naturalWidth / this.source.width] : [picture, scale];
      if (!factor) return;
      const cut = [x + inset, y + inset, width - 2 * inset, height - 2 * inset].map((v) => v * factor);
      pen.globalAlpha = waits ? FAINT : 1;
      pen.drawImage(from, ...cut, place.x, place.y, place.width, place.height);
    });
  }

  /* View everything, or a branch of a tree. The slider has one stop for each level or point, at
     its last frame. */
  follow(line) {
    this.line = line;
    const level = (frame) => (this.points ? frame : (this.levels[frame] ?? frame));
    const begun = (frame) => frame >= this.opening && this.own(frame) === frame;
    const stop = (frame) => begun(frame) && (frame === this.end || level(frame) !== level(frame + 1));
    this.stops = [...Array(this.end + 1).keys()].filter(stop);
  }

  get end() {
    return this.line.at(-1).last;
  }

  /* The part of the line that is visible at a frame. */
  part(frame) {
    if (frame < this.opening) return this.line.at(-1);
    return this.line.findLast((part) => part.first <= frame) ?? this.line[0];
  }

  /* The frame whose picture is shown: a clip opens on the finished pictures, a branch of a tree
     stays at its own last frame, and an interpolation plays forward and back. */
  own(frame) {
    const back = 2 * this.points + this.hold - 1 - frame;
    if (this.points) return clamp(Math.min(frame, back), 0, this.points - 1);
    return frame < this.opening ? this.end : Math.min(frame, this.part(frame).last);
  }

  valueAt(frame) {
    return this.stops.findIndex((stop) => stop >= this.own(frame));
  }

  /* How far the slider is at a frame, from 0 to 1. */
  fractionAt(frame) {
    return this.valueAt(frame) / Math.max(1, this.stops.length - 1);
  }

  /* The state for an address: the enlarged sample, and the frame where the visitor stopped. */
  get place() {
    const large = viewer.clip === this ? viewer.place : {};
    if (!this.held || this.aim >= this.end) return large;
    const at = this.own(this.aim);
    if (this.points) return { ...large, point: at + 1 };
    return { ...large, ...(this.levels.length ? { level: this.levels[at] } : { frame: at + 1 }) };
  }

  /* Restore the state of an address: the sample or branch, at the nearest available level. */
  visit({ sample, branch, level, point, frame }) {
    if (sample ?? branch) this.enlarge?.(sample ?? branch);
    const told = Number(level ?? point ?? frame);
    const there = level === undefined ? (stop) => stop + 1 >= told : (stop) => this.levels[stop] <= told;
    const stop = this.stops.find(there);
    if (stop === undefined) return;
    this.aim = stop;
    this.leader?.scrub(this.same(this.leader)); // which moves its partners to stops near by
    this.scrub(stop);
  }

  words(frame) {
    const at = this.own(frame);
    const fraction = Math.round(100 * this.fractionAt(frame));
    const each = [this, ...this.partners].map(({ controls: [own] }) => own.text).join("; ");
    return { fraction, each, level: this.levels[at], sigma: this.sigmas[at], frame: at + 1, point: at + 1 };
  }

  load() {
    if (this.video.preload === "auto") return;
    this.video.preload = "auto";
    this.lost = false;
    this.update();
    if (this.video.networkState !== HTMLMediaElement.NETWORK_LOADING) this.video.load();
    const late = () => this.video.readyState || this.lose({ target: this.video });
    clearTimeout(this.waiting);
    this.waiting = setTimeout(late, PATIENCE);
  }

  /* Loading failed: return to the visible frame and report it. The next press tries again. */
  lose(event) {
    if (event.target.nextElementSibling?.localName === "source") return; // another file follows
    this.run(false);
    this.video.preload = "none";
    if (this.video.networkState === HTMLMediaElement.NETWORK_LOADING) this.video.load(); // stop loading
    Object.assign(this, { lost: true, held: true, asked: false, aim: this.shown });
    this.update();
  }

  /* Update the text for every presented frame. Its time is the frame's start while a clip plays;
     after a seek, some browsers give the requested time. */
  watch() {
    const { video } = this;
    if (!video.requestVideoFrameCallback) {
      when(video, "timeupdate", () => this.show(this.frameAt(video.currentTime)));
      return;
    }
    const tick = (now, frame) => {
      // WebKitGTK gives clips with B-frames times two frames late; the time of a seek is exact.
      const sought = this.aimed !== undefined && !video.seeking;
      this.show(this.frameAt(sought ? video.currentTime : frame.mediaTime));
      video.requestVideoFrameCallback(tick);
    };
    video.requestVideoFrameCallback(tick);
  }

  /* The frame at a time in seconds, which may have been rounded down. */
  frameAt(seconds) {
    return Math.floor(seconds * this.fps + 0.01);
  }

  show(frame) {
    this.shown = clamp(frame, 0, this.last);
    if (!this.held) this.aim = this.shown;
    this.update();
    viewer.paint(this);
    this.draw();
    if (this.running) this.lead();
    if (this.running && !this.video.paused && this.shown > this.end) this.rest();
  }

  /* Stop, and go to a frame. Seek to its middle, so that rounding cannot miss it. */
  scrub(frame) {
    this.held = true;
    this.asked = false;
    this.run(false);
    this.aim = clamp(frame, 0, this.end);
    this.walk(false);
    this.load();
    this.arrive();
    for (const other of this.partners) other.scrub(this.same(other));
  }

  /* The frame of another clip at the same level, or at the same fraction of its slider. */
  same(other) {
    const level = this.levels[this.aim];
    const alike = this.levels[this.opening] === other.levels[other.opening];
    if (!alike) return other.stops[Math.round(this.fractionAt(this.aim) * (other.stops.length - 1))];
    return other.stops.find((stop) => Number(other.levels[stop]) <= level) ?? other.last;
  }

  /* One seek at a time: during a seek, only the latest request waits for its end. */
  arrive() {
    const { video } = this;
    if (!this.held || video.seeking || video.readyState < 1) return;
    const here = clamp(this.frameAt(video.currentTime), 0, this.last);
    const done = this.aimed === this.aim;
    if (done && here !== this.aim && !this.blob) return this.fetchWhole();
    if (done) this.fixed = here !== this.aim;
    if (done) this.aimed = this.aim = here;
    if (this.aimed !== undefined) this.show(here);
    if (done) return;
    this.aimed = this.aim;
    video.currentTime = (this.aim + 0.5) / this.fps;
  }

  /* A host without range requests sends a clip only from its start: fetch all of it, and go on. */
  async fetchWhole() {
    const { video } = this;
    this.blob = true;
    this.aimed = undefined;
    try {
      const response = await fetch(video.currentSrc);
      video.src = URL.createObjectURL(await response.blob());
      video.load();
    } catch {
      this.arrive(); // a page that is opened from a disk cannot fetch
    }
  }

  /* While the visitor navigates a tree, the poster covers the clip, as it shows the whole tree. */
  walk(on) {
    this.walked = on;
    this.stage.classList.toggle("walked", on);
    this.update();
    this.draw();
    schedule();
  }

  toggle() {
    if (this.running) return this.scrub(this.shown); // the text matches the visible frame exactly
    for (const clip of [this, ...this.partners]) {
      Object.assign(clip, { held: false, asked: true });
      clip.walk(false);
    }
  }

  /* Keep adjacent clips on one clock: each takes as long as this one. */
  lead() {
    const seconds = ({ last, fps }) => (last + 1) / fps;
    for (const partner of this.partners) {
      const { video } = partner;
      const rate = seconds(partner) / seconds(this);
      const late = this.video.currentTime - video.currentTime / rate;
      const speed = rate * (1 + clamp(4 * late, -0.3, 0.3)); // a seek would be seen
      if (Math.abs(video.playbackRate - speed) > 0.02) video.playbackRate = speed;
      if (partner.running && !video.seeking && Math.abs(late) > APART) video.currentTime += late * rate;
    }
  }

  run(on) {
    if (on === this.running) return;
    const { video } = this;
    this.running = on;
    this.aimed = undefined;
    this.update();
    clearTimeout(this.timer);
    if (on) {
      this.load();
      if (this.aim >= this.end) video.currentTime = this.begun ? (this.opening + 0.1) / this.fps : 0;
      this.begun = true; // later loops skip the opening
      video.play().catch(() => {
        if (this.running && video.paused) this.run(false);
      });
    } else {
      video.pause();
    }
    tell();
  }

  rest() {
    this.video.pause();
    if (this.leader?.running) return; // which begins again with all
    this.timer = setTimeout(() => {
      for (const clip of [this, ...this.partners]) Object.assign(clip, { running: false, aim: clip.end });
      schedule();
    }, this.points || this.opening ? 0 : REST);
  }
}

/* The room of a clip; under a tab that is not open, that of the tabs. */
const roomOf = ({ stage, figure, source }) =>
  stage.parentElement.clientWidth || figure.closest(".tabs")?.clientWidth || source.width;

/* Arrange all clips: all rooms are measured first, so that the page is laid out once. */
function arrange() {
  const [dark, rooms] = [isDark(), clips.map(roomOf)];
  clips.forEach((clip, number) => clip.arrange(rooms[number], dark));
}

/* Select the clips to play: those that the visitor started, then the most visible ones. */
function schedule() {
  const ratio = (clip) => Math.max(clip.ratio, ...clip.partners.map(ratio)); // which follow its clock
  const wanted = clips.filter((clip) => {
    const here = viewer.clip ? viewer.clip === clip : ratio(clip) > 0;
    return here && !document.hidden && !clip.held && !clip.walked && (moving || clip.asked);
  });
  wanted.sort((a, b) => b.asked - a.asked || ratio(b) - ratio(a));
  const chosen = wanted.slice(0, AT_ONCE);
  for (const clip of clips) clip.run(chosen.includes(clip));
  tell();
}

function observe() {
  const watch = (task, options) => {
    const each = (entry) => task(clips.find((clip) => clip.stage === entry.target), entry);
    const observer = new IntersectionObserver((entries) => entries.forEach(each), options);
    for (const clip of clips) observer.observe(clip.stage);
  };
  const view = (clip, { intersectionRatio, intersectionRect }) => {
    const enough = intersectionRatio >= 0.25 || intersectionRect.height > innerHeight / 2;
    clip.ratio = enough ? intersectionRatio : 0;
    schedule();
  };
  watch(view, { threshold: [0, 0.25, 0.5, 0.75, 1] });
  watch((clip, entry) => entry.isIntersecting && moving && clip.load(), { rootMargin: "200px 0px" });
  when(document, "visibilitychange", schedule);
}

/* One button for all motion, whose state is stored; prefers-reduced-motion has priority. */
let tell = () => {};
function motion(button) {
  let kept = preference();
  const words = button.querySelector("span") ?? {};
  const stops = () => moving || clips.some((clip) => clip.running);
  tell = () => {
    button.classList.toggle("running", stops());
    words.textContent = stops() ? button.dataset.stop : button.dataset.go;
  };
  const set = (on) => {
    moving = on;
    for (const clip of clips) Object.assign(clip, { asked: false, held: clip.held && !on });
    schedule();
  };
  when(button, "click", () => {
    set(!stops());
    preference(moving ? "moving" : "stopped");
    kept = preference();
  });
  when(reducedMotion, "change", () => set(may()));
  /* Follow changes in another window, or on another page before the visitor returned. */
  when(window, "storage pageshow", () => {
    if (preference() === kept) return;
    kept = preference();
    set(may());
  });
  tell();
}

/* Place an element over a part of the clip; x, y, width and height are in pixels of the clip. */
function place(element, clip, { x, y, width, height }) {
  const across = (part) => `${(100 * part) / clip.width}%`;
  const down = (part) => `${(100 * part) / clip.height}%`;
  Object.assign(element.style, { left: across(x), top: down(y), width: across(width), height: down(height) });
}

/* The cells of a clip in its pixels: rows of a grid, or the nodes of a tree. */
function boxesOf(stage, video) {
  const [columns, count, width, height, gap, strip, together] = numbers(video.dataset.cells);
  const texts = [...stage.querySelectorAll(".cell-texts p")].map((text) => text.textContent);
  const nodes = [...stage.querySelectorAll(".node")];
  if (nodes.length)
    return nodes.map(({ dataset }, number) => {
      const [depth, index, x, y, , first, last] = numbers(dataset.node);
      return { depth, index, x, y, width, height, strip, text: texts[number], first, last };
    });
  return Array.from({ length: count }, (_, number) => {
    const [column, row] = [number % columns, Math.floor(number / columns)];
    const [x, y, text] = [column * (width + gap), row * (height + gap), texts[number]];
    return { x, y, width, height, strip, text, columns, together };
  });
}

/* The arrangement of cells in a narrow column, if it differs: pictures are at least 44 CSS pixels
   wide. Rows of a grid that belong together are cut into equal parts. */
function narrowLayout(boxes, available) {
  const [{ width, height, columns, together, depth }] = boxes;
  if (depth !== undefined) return narrowTree(boxes, available);
  const most = Math.max(1, Math.floor(available / 44)); // a window that opens may be narrower
  if (columns <= most) return null;
  const fits = [...Array(most + 1).keys()].reverse().filter((n) => n > 3);
  const even = fits.find((n) => (together ? columns : boxes.length) % n === 0);
  const across = even ?? (together ? columns : most);
  const gap = Math.ceil((2 * across * width) / available); // 2 CSS pixels
  const places = boxes.map((_, number) => ({
    x: (number % across) * (width + gap),
    y: Math.floor(number / across) * (height + gap),
    width,
    height,
    strip: boxes[0].strip,
  }));
  return extent(places);
}

/* A tree with a column for each generation and its leaves below one another. */
function narrowTree(boxes, available) {
  const { width, height, strip } = boxes[0];
  const depth = boxes.at(-1).depth;
  const across = (width * available) / 56; // pictures have 56 CSS pixels
  const step = Math.max(1.2 * width, (across - width) / depth);
  const places = boxes.map((box) => {
    const leaves = 2 ** (depth - box.depth);
    const middle = (box.index + 0.5) * leaves - 0.5;
    return { x: Math.round(box.depth * step), y: Math.round(1.1 * height * middle), width, height, strip };
  });
  return extent(places);
}

function extent(places) {
  const width = Math.max(...places.map((place) => place.x + place.width));
  return { width, height: Math.max(...places.map((place) => place.y + place.height)), boxes: places };
}

/* Move the texts under the cells of a clip to them. */
function label(texts, { places, width, height, room, video }) {
  if (!texts) return;
  texts.setAttribute("viewBox", `0 0 ${width} ${height}`);
  texts.setAttribute("font-size", Math.min((15 * width) / Math.min(room, video.width), Number(texts.dataset.line)));
  for (const [number, text] of [...texts.children].entries()) {
    const { x, y, height: whole } = places[number];
    text.setAttribute("x", x - 1); // a pixel more on each side, where the clip's own paper shines through
    text.setAttribute("y", y + whole + 1 - text.getAttribute("height"));
  }
}

/* Move the arrows of a tree, what dims it, and its axis, to its pictures. */
function join(figure, clip) {
  const { places, boxes, width, height } = clip;
  if (boxes[0].depth === undefined) return;
  const find = (depth, index) => boxes.findIndex((box) => box.depth === depth && box.index === index);
  const first = places.find((place, number) => boxes[number].depth === boxes.at(-1).depth);
  const arrow = ({ depth, index }, to) => {
    const from = places[find(depth - 1, index >> 1)];
    const start = from.x + from.width;
    const [y0, y1] = [from, to].map(({ y, height, strip }) => y + (height - strip) / 2);
    const bend = depth === boxes.at(-1).depth ? first.x : to.x;
    const middle = (start + bend) / 2;
    return `M${start} ${y0}C${middle} ${y0} ${middle} ${y1} ${bend} ${y1}H${to.x}`;
  };
  const ways = places.map((place, number) => (boxes[number].depth ? arrow(boxes[number], place) : ""));
  const arrows = figure.querySelector(".arrows");
  const overlay = figure.querySelector(".overlay");
  for (const drawing of [arrows, overlay]) drawing.setAttribute("viewBox", `0 0 ${width} ${height}`);
  arrows.querySelectorAll(":scope > path").forEach((path, number) => path.setAttribute("d", ways[number + 1]));
  for (const part of [overlay.querySelector("mask"), ...overlay.querySelectorAll(":scope > rect, mask > rect")])
    for (const [name, value] of Object.entries({ width, height })) part.setAttribute(name, value);
  overlay.querySelectorAll("g").forEach((hole, number) => {
    const { x, y, width, height } = places[number];
    const box = { x: x - 4, y: y - 4, width: width + 8, height: height + 8 };
    for (const [name, value] of Object.entries(box)) hole.querySelector("rect").setAttribute(name, value);
    hole.querySelector("path")?.setAttribute("d", ways[number]);
  });
  clip.point = axis(figure.querySelector(".axis"), clip);
}

/* The axis below a tree: its ticks, and a line that is at the level of a frame. */
function axis(drawing, { places, boxes, width, height, levels, room }) {
  if (!drawing) return;
  const now = drawing.querySelector(".now");
  const texts = [...drawing.querySelectorAll("text")];
  const move = (line, x) => ["x1", "x2"].forEach((name) => line.setAttribute(name, `${(100 * x) / width}%`));
  const ends = texts.map((text) => {
    const nodes = places.filter((_, number) => boxes[number].depth === Number(text.dataset.depth));
    const marks = nodes.map((node) => node.x + node.width / 2); // the last generation may stand in two columns
    const x = (Math.min(...marks) + Math.max(...marks)) / 2;
    text.setAttribute("x", `${(100 * x) / width}%`);
    return { x, marks, level: Number(text.dataset.level) };
  });
  const marks = [...new Set(ends.flatMap((end) => end.marks))];
  drawing.querySelectorAll(".tick").forEach((tick, number) => move(tick, marks[number] ?? marks.at(-1)));
  return (frame) => {
    const level = Number(levels[frame]);
    if (!(level >= 0)) return;
    const after = ends.findIndex((end) => end.level <= level);
    const [one, other] = [ends[after - 1] ?? { x: 0, level: Number(levels.at(0)) || level }, ends[after]];
    const share = one.level > other.level ? (one.level - level) / (one.level - other.level) : 1;
    move(now, one.x + clamp(share, 0, 1) * (other.x - one.x));
    now.setAttribute("y1", level > 0 ? (-room * height) / width - 7 : 0); // through the tree while it grows
    now.setAttribute("y2", 7);
  };
}

/* Samples in a grid: a single button is placed over the sample that it opens. */
function grid(clip) {
  const { stage } = clip;
  const { length: count } = clip.boxes;
  const cellButton = stage.querySelector(".cell-button");
  let at = 0;
  const move = (index) => {
    at = index;
    place(cellButton, clip, clip.places[at]);
    const told = clip.boxes[at].text;
    const name = fill(cellButton.dataset.text, { n: at + 1, count });
    cellButton.setAttribute("aria-label", told ? `${told}. ${name}` : name);
  };
  const under = (event) => {
    const area = stage.getBoundingClientRect();
    const scale = clip.width / area.width;
    const [x, y] = [(event.clientX - area.left) * scale, (event.clientY - area.top) * scale];
    return clip.places.findIndex((b) => x >= b.x && x < b.x + b.width && y >= b.y && y < b.y + b.height);
  };
  when(stage, "pointermove", (event) => {
    const index = under(event);
    if (index >= 0) move(index);
    stage.classList.toggle("pointed", index >= 0);
  });
  when(stage, "pointerleave", () => stage.classList.remove("pointed"));
  when(stage, "click", (event) => {
    const index = event.detail ? under(event) : at; // a click by keyboard has no position
    if (index < 0) return;
    move(index);
    cellButton.focus({ preventScroll: true });
    viewer.open(clip, clip.boxes, at, move);
  });
  clip.enlarge = (sample) => {
    if (!clip.boxes[sample - 1]) return;
    move(sample - 1);
    viewer.open(clip, clip.boxes, at, move);
  };
  when(cellButton, "keydown", (event) => {
    const ways = { ArrowLeft: at - 1, ArrowRight: at + 1, Home: 0, End: count - 1 };
    const columns = clip.places.filter(({ y }) => y === 0).length;
    const to = lead(event, { ...ways, ArrowUp: at - columns, ArrowDown: at + columns });
    if (clip.boxes[to]) move(to);
  });
  clip.settle = () => move(at);
  clip.settle();
}

/* A tree: every picture is a button that shows its branch. */
function tree(clip) {
  const { stage } = clip;
  const buttons = [...stage.querySelectorAll(".node")];
  const nodes = clip.boxes.map((box, number) => Object.assign(box, { button: buttons[number] }));
  clip.settle = () => nodes.forEach(({ button }, number) => place(button, clip, clip.places[number]));
  clip.settle();
  const find = (depth, index) => nodes.find((n) => n.depth === depth && n.index === index);
  for (const node of nodes) node.line = [...(find(node.depth - 1, node.index >> 1)?.line ?? []), node];
  const holes = stage.querySelectorAll(".overlay g"); // one per node: its picture and the arrow to it
  const mark = (node) => {
    if (node) clip.walk(true);
    nodes.forEach((other, number) => {
      const branch = node?.line.includes(other) || other.line.includes(node);
      holes[number].classList.toggle("cut", branch);
      other.button.classList.toggle("marked", other === node);
    });
  };
  const rest = () => mark(nodes.find((n) => n.button === document.activeElement));
  when(stage, "focusout pointerleave", ({ relatedTarget }) => {
    if (![relatedTarget, document.activeElement].some((e) => stage.contains(e))) clip.walk(false);
  });
  const go = (node) => {
    for (const each of nodes) each.button.tabIndex = each === node ? 0 : -1;
    node.button.focus();
  };
  const open = (node) => {
    go(node);
    viewer.open(clip, nodes, nodes.indexOf(node), (number) => go(nodes[number]));
  };
  clip.enlarge = (branch) => {
    const [depth, number] = branch.split(".").map(Number);
    const node = find(depth, number - 1);
    if (node) open(node);
  };
  for (const node of nodes) {
    const { button, depth, index } = node;
    when(button, "pointerenter", () => mark(node));
    when(button, "focus blur pointerleave", rest);
    when(button, "click", () => open(node));
    when(button, "keydown", (event) => {
      const to = lead(event, {
        ArrowLeft: find(depth - 1, index >> 1),
        ArrowRight: find(depth + 1, index * 2),
        ArrowUp: find(depth, index - 1),
        ArrowDown: find(depth, index + 1),
        Home: nodes[0],
        End: nodes.at(-1),
      });
      if (to) go(to);
    });
  }
}

/* The dialog that shows one sample large, drawn from the clip. */
const viewer = {
  clip: null,

  setUp(dialog) {
    const find = (selector) => dialog.querySelector(selector);
    this.title = find("h2");
    this.canvas = find("canvas");
    this.picture = this.title.dataset.picture;
    this.pen = this.canvas.getContext("2d");
    this.room = find(".viewer-place");
    this.wait = find(".wait") ?? {};
    this.seed = find(".seed") ?? {};
    this.text = find(".sample-text") ?? {};
    this.told = find("[role=status]") ?? {};
    this.saved = find(".save") ?? {};
    when(find(".close"), "click", () => this.close());
    when(find(".earlier"), "click", () => this.turn(-1));
    when(find(".later"), "click", () => this.turn(1));
    when(dialog, "click", (event) => event.target === dialog && this.close());
    when(dialog, "cancel", (event) => {
      event.preventDefault();
      this.close();
    });
    when(dialog, "close", () => !dialog.open && this.closed()); // a browser may close it by itself
    when(dialog, "keydown", (event) => {
      if (event.target === this.controls?.slider || event.target.matches("video")) return; // they use the same keys
      const way = lead(event, { ArrowLeft: -1, ArrowRight: 1 });
      if (way) this.turn(way);
    });
    this.dialog = dialog;
  },

  open(clip, boxes, at, tell) {
    if (!this.dialog) return;
    this.closed();
    const { held, asked } = clip;
    Object.assign(this, { clip, boxes, at, tell, before: { held, asked } });
    const copy = clip.figure.querySelector(".scrubber").cloneNode(true);
    copy.querySelector(".filmstrip")?.remove(); // it shows the first sample
    this.room.replaceChildren(copy);
    this.told.textContent = "";
    this.controls = new Controls(copy, clip);
    clip.controls.push(this.controls);
    clip.walk(false);
    this.turn(0);
    this.dialog.showModal();
    this.title.focus();
  },

  /* Show the pictures and videos of a gallery. */
  browse(album, at) {
    if (!this.dialog) return;
    this.closed();
    Object.assign(this, { album, at, controls: null });
    this.seed.textContent = this.told.textContent = "";
    this.canvas.hidden = this.wait.hidden = true;
    this.leaf(0);
    this.dialog.showModal();
    this.title.focus();
  },

  leaf(way) {
    const { links } = this.album;
    this.at = (this.at + way + links.length) % links.length;
    const link = links[this.at];
    const small = link.querySelector("img");
    const [width, height] = numbers(link.dataset.size);
    const { film, large } = link.dataset;
    const caption = link.parentElement.querySelector(".gallery-caption")?.cloneNode(true);
    this.title.textContent = fill(this.picture, { n: this.at + 1, count: links.length });
    Object.assign(this.saved, { href: link.href, hidden: false });
    this.text.replaceChildren(...(caption?.childNodes ?? []));
    if (film) {
      const video = document.createElement("video");
      const poster = small.currentSrc || small.src;
      Object.assign(video, { controls: true, loop: true, playsInline: true, src: film, poster, width, height });
      video.setAttribute("aria-label", small.alt);
      return this.room.replaceChildren(video);
    }
    const picture = document.createElement("picture");
    const source = Object.assign(document.createElement("source"), { type: "image/avif", srcset: large });
    const img = Object.assign(new Image(width, height), { alt: small.alt });
    picture.classList.toggle("pixelated", Boolean(link.closest(".pixelated")));
    picture.append(source, img);
    img.src = link.href;
    this.room.replaceChildren(picture);
  },

  /* A sample has the whole clip; a picture of a tree has its branch, and opens at its end. */
  turn(way) {
    if (this.album) return this.leaf(way);
    const { clip, boxes, canvas, title } = this;
    const count = boxes.length;
    this.at = (this.at + way + count) % count;
    const box = boxes[this.at];
    const { seed = "", samples } = clip.video.dataset;
    this.seed.textContent = fill(seed, { number: samples ? samples.split(" ")[this.at] : this.at });
    this.text.textContent = box.text ?? "";
    clip.follow(box.line ?? [{ ...box, ...clip.whole[0] }]);
    const away = clip.running || Math.min(clip.shown, clip.aim) < clip.end;
    if (box.line && away) clip.scrub(clip.end);
    title.textContent = box.button?.dataset.title ?? fill(title.dataset.sample, { n: this.at + 1, count });
    Object.assign(canvas, { width: box.width, height: box.height - box.strip });
    canvas.style.setProperty("--ratio", canvas.width / canvas.height);
    canvas.classList.toggle("pixelated", clip.stage.classList.contains("pixelated"));
    canvas.classList.toggle("plane", Boolean(clip.stage.closest(".plane")));
    clip.show(clip.shown);
  },

  /* The state for an address. */
  get place() {
    const { depth, index } = this.boxes[this.at];
    return depth === undefined ? { sample: this.at + 1 } : { branch: `${depth}.${index + 1}` };
  },

  /* Draw the clip, or the poster, which is finer than the clip, at the end and until the clip is
     loaded; without a poster, load the clip. */
  paint(clip) {
    if (clip !== this.clip) return;
    const { canvas, pen } = this;
    const [picture, wide] = clip.picture;
    this.wait.hidden = wide > 0;
    if (!wide) return clip.poster.complete && clip.scrub(clip.aim);
    const { x, y, width, height, strip } = clip.part(picture === clip.video ? clip.shown : clip.last);
    const inset = picture === clip.video ? 2 : 0; // H.264 mixes the edges of cells with the gutter
    const cut = [x + inset, y + inset, width - 2 * inset, height - strip - 2 * inset];
    const from = cut.map((value) => (value * wide) / clip.source.width);
    pen.imageSmoothingEnabled = !canvas.classList.contains("pixelated");
    pen.imageSmoothingQuality = "high";
    pen.drawImage(picture, ...from, 0, 0, canvas.width, canvas.height);
  },

  /* The next key may come before the event "close". */
  close() {
    this.dialog?.close();
    this.closed();
  },

  closed() {
    const { clip, album } = this;
    if (album) {
      this.album = null;
      this.canvas.hidden = false;
      this.saved.hidden = true;
      this.room.replaceChildren();
      album.links[this.at].focus();
    }
    if (!clip) return;
    this.clip = null;
    clip.controls.pop();
    if (this.boxes[0].line) Object.assign(clip, this.before);
    clip.follow(clip.whole);
    clip.show(clip.shown);
    this.tell(this.at);
    schedule();
  },
};

/* A gallery: its links open the large view, and one row of them scrolls by buttons. */
const albums = [];
function gallery(figure) {
  const links = [...figure.querySelectorAll(".gallery-link")];
  const album = {
    figure,
    links,
    get place() {
      return viewer.album === this ? { sample: viewer.at + 1 } : {};
    },
    visit: ({ sample }) => links[sample - 1] && viewer.browse(album, sample - 1),
  };
  albums.push(album);
  for (const [at, link] of links.entries())
    when(link, "click", (event) => {
      if (event.ctrlKey || event.metaKey || event.shiftKey) return; // it opens elsewhere
      event.preventDefault();
      viewer.browse(album, at);
    });
}

function turning(bar) {
  const row = bar.parentElement.querySelector(".carousel");
  const [back, on] = bar.children;
  const behavior = () => (reducedMotion.matches ? "auto" : "smooth");
  when(back, "click", () => row.scrollBy({ left: -row.clientWidth, behavior: behavior() }));
  when(on, "click", () => row.scrollBy({ left: row.clientWidth, behavior: behavior() }));
}

/* Copy a text and confirm it, with the old API if the new one is not allowed. */
async function copy(text, status, oldWay) {
  status.textContent = "";
  let copied = true;
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    copied = oldWay();
  }
  status.textContent = copied ? status.dataset.copied : status.dataset.failed;
}

function copying(box) {
  const text = box.querySelector("code");
  const select = () => {
    getSelection().selectAllChildren(text);
    return document.execCommand("copy");
  };
  const status = box.querySelector("[role=status]");
  when(box.querySelector("button"), "click", () => copy(text.textContent, status, select));
}

/* Add a copy button to blocks of code. */
function coding(template) {
  for (const scroll of document.querySelectorAll("main .scroll:has(> pre)")) {
    if (scroll.closest(".bibtex")) continue;
    const box = Object.assign(document.createElement("div"), { className: "coded" });
    scroll.before(box);
    box.append(scroll, template.content.cloneNode(true));
    copying(box);
  }
}

/* Link to the current state of a figure. The fragment is the figure's id, which works without this
   script, and the query has the rest. */
function linking(link) {
  const status = (link.closest(".share") ?? link.closest("dialog")).querySelector("[role=status]");
  const { hash } = link;
  const address = () => {
    const clip = viewer.clip ?? viewer.album ?? clips.find(({ figure }) => figure.contains(link));
    const url = new URL(location);
    url.hash = clip ? clip.figure.id : hash;
    url.search = new URLSearchParams(clip?.place);
    link.href = url;
  };
  when(link, "pointerenter pointerdown focus", address);
  when(link, "click", (event) => {
    if (event.ctrlKey || event.metaKey || event.shiftKey) return; // it opens elsewhere
    event.preventDefault();
    address();
    try {
      history.replaceState(null, "", link.href);
    } catch {} // some browsers cannot change the address of a file
    copy(link.href, status, () => false);
  });
}

/* The line below a figure: Tab reaches one of its controls, the arrow keys reach the others. */
function toolbar(bar) {
  const all = [...bar.children].filter((each) => each.matches("button, a"));
  const go = (to) => all.forEach((each) => (each.tabIndex = each === to ? 0 : -1));
  all.forEach((each, at) => {
    when(each, "focus", () => go(each));
    when(each, "keydown", (event) => {
      const ways = { ArrowLeft: at - 1, ArrowRight: at + 1, Home: 0, End: all.length - 1 };
      const to = lead(event, ways);
      if (to !== undefined) all[(to + all.length) % all.length].focus();
    });
  });
  go(all[0]);
}

/* Close the contents over the page when one of their links is followed. */
function folding(box) {
  when(box, "click", ({ target }) => target.closest("a") && box.hidePopover?.());
}

/* Mark the section that is read in the contents: the last one that begins in the upper third, or at the
   page's end the last one that is seen. */
function current(list) {
  const links = [...list.querySelectorAll("a")];
  const headings = links.map(({ hash }) => document.getElementById(decodeURIComponent(hash.slice(1))));
  const mark = () => {
    const isEnd = scrollY > 0 && scrollY + innerHeight > document.documentElement.scrollHeight - 2;
    const limit = isEnd ? innerHeight : innerHeight / 3;
    const last = headings.findLastIndex((heading) => heading?.getBoundingClientRect().top < limit);
    for (const [number, link] of links.entries())
      if (number === last) link.setAttribute("aria-current", "location");
      else link.removeAttribute("aria-current");
  };
  let waiting = 0;
  when(document, "scroll", () => {
    cancelAnimationFrame(waiting);
    waiting = requestAnimationFrame(mark);
  });
  mark();
}

/* Give the tabs of a set the height of the tallest, so that nothing below moves at a choice. */
const widths = new Map();
const level = (set) => levels.observe(set);
const levels = new ResizeObserver((entries) => {
  const changed = entries.filter(({ target, contentRect }) => widths.get(target) !== contentRect.width);
  for (const { target, contentRect } of changed) widths.set(target, contentRect.width);
  const groups = changed.map(({ target }) => [...target.querySelectorAll(":scope > .tab")]);
  for (const tab of groups.flat()) tab.style.minHeight = "";
  for (const { target } of changed) target.classList.add("measuring");
  const heights = groups.map((tabs) => Math.max(...tabs.map((tab) => tab.offsetHeight)));
  for (const { target } of changed) target.classList.remove("measuring");
  for (const [number, tabs] of groups.entries())
    for (const tab of tabs) tab.style.minHeight = `${heights[number]}px`;
});

/* Show the tab of a figure. */
function uncover(figure) {
  const tab = figure?.closest(".tab");
  if (!tab) return;
  const tabs = [...tab.parentElement.querySelectorAll(":scope > .tab")];
  tab.parentElement.querySelectorAll(".tab-list input")[tabs.indexOf(tab)].checked = true;
  figure.scrollIntoView();
}
const addressed = () => uncover(document.getElementById(location.hash.slice(1)));

/* Restore the state of the address. */
function arrival() {
  addressed();
  const clip = [...clips, ...albums].find(({ figure }) => `#${figure.id}` === location.hash);
  if (clip && location.search) clip.visit(Object.fromEntries(new URLSearchParams(location.search)));
}

/* A video on another host: its player is loaded when the button is pressed. */
function elsewhere(screen) {
  const link = screen.querySelector("a");
  const button = Object.assign(document.createElement("button"), { type: "button", className: link.className });
  button.append(...link.childNodes);
  link.replaceWith(button);
  when(button, "click", () => {
    const player = Object.assign(document.createElement("iframe"), {
      title: screen.dataset.title,
      allow: "autoplay; fullscreen; picture-in-picture; encrypted-media",
      referrerPolicy: "strict-origin-when-cross-origin", // YouTube requires a referrer
      src: screen.dataset.player,
    });
    button.replaceWith(player);
    player.focus();
  });
}

prepare(".clip-figure", (figure) => {
  const clip = new Clip(figure);
  if (clip.stage.querySelector(".cell-button")) grid(clip);
  else if (clip.stage.querySelector(".tree")) tree(clip);
  else when(clip.video, "click", () => clip.toggle());
  Object.assign(clip.video, { controls: false, loop: false, tabIndex: -1 }); // Firefox stops at some
  clips.push(clip);
  frames.observe(clip.stage.parentElement);
});
arrange();

/* Clips side by side: the first one leads, and all share one button and one slider. */
function together(row) {
  const [first, ...others] = clips.filter(({ figure }) => row.contains(figure));
  first.controls.push(new Controls(row.querySelector(".row-scrubber"), first));
  first.partners = others;
  for (const clip of others) clip.leader = first;
  first.update();
}

/* Videos of the author in one row run on one clock, that of the one that a visitor starts. */
function inStep(row) {
  const films = [...row.querySelectorAll(".film")];
  const follow = (film) => {
    if (film.ended) return; // others may be longer
    for (const other of films) {
      const time = Math.min(film.currentTime, other.duration || Infinity);
      if (other === film || (other.ended && time === other.duration)) continue;
      if (Math.abs(other.currentTime - time) > APART) other.currentTime = time;
      if (film.paused) other.pause();
      else if (other.paused) other.play().catch(() => {});
    }
  };
  for (const film of films) when(film, "play pause seeked", () => follow(film));
  if (films.length > 1) when(films[0], "timeupdate", () => films[0].paused || follow(films[0]));
}

/* Two parts over one another: the slider shows a share of the first. Videos have one button. */
function comparing(figure) {
  const sides = figure.querySelector(".sides");
  const split = figure.querySelector(".split");
  const button = figure.querySelector(":scope > .play");
  const films = [...sides.querySelectorAll(".film")];
  const media = sides.querySelector(".stage, .film, .image, .still, .sitegen-pending");
  const move = () => {
    sides.style.setProperty("--share", `${split.value}%`);
    split.setAttribute("aria-valuetext", fill(split.dataset.text, { n: split.value }));
  };
  when(split, "input", move);
  new ResizeObserver(() => (split.style.height = `calc(${media.offsetHeight}px + var(--thumb))`)).observe(media);
  for (const film of films) {
    Object.assign(film, { controls: false, loop: true, muted: true, tabIndex: -1 });
    when(film, "play pause", () => {
      button.classList.toggle("running", !film.paused);
      button.setAttribute("aria-label", film.paused ? button.dataset.play : button.dataset.pause);
    });
  }
  when(button, "click", () => (films[0].paused ? films[0].play().catch(() => {}) : films[0].pause()));
  button.hidden = !films.length;
  move();
}

/* Videos without a poster show their first picture once they are near. */
const nearFilms = new IntersectionObserver(
  (entries) => entries.forEach(({ isIntersecting, target }) => isIntersecting && (target.preload = "metadata")),
  { rootMargin: "200px 0px" },
);

prepare(".film:not([poster])", (film) => nearFilms.observe(film));
prepare(".compare", comparing);
prepare(".together", together);
prepare(".row, .grid-row, .compare", inStep);
prepare("dialog.viewer", (dialog) => {
  viewer.setUp(dialog);
  when(window, "hashchange", () => viewer.close()); // the address has changed
});
prepare(".gallery-figure", gallery);
prepare(".gallery-turns", turning);
prepare(".motion", motion);
prepare(".bibtex", copying);
prepare("template.coding", coding);
prepare("[data-player]", elsewhere);
prepare(".link", linking);
prepare(".service", toolbar);
prepare(".folded", folding);
when(window, "beforeprint", () => document.querySelectorAll("details").forEach((box) => (box.open = true)));
prepare(".tabs", level);
prepare(".contents ol, .menu ol", current);
when(window, "hashchange", addressed);
when(matchMedia("(prefers-color-scheme: dark)"), "change", arrange);
when(document, "scheme", arrange);
when(phone, "change", () => {
  viewer.close();
  arrange();
});
arrival();
observe();

/* Live models and maps. Their script is fetched when a visitor comes near one, moves with Tab, or
   follows a link to a picture or a tile. */
function approach(kind, link, bring) {
  const figures = document.querySelectorAll(`.${kind}-figure`);
  let isBrought = false;
  const load = async () => {
    near.disconnect();
    if (isBrought) return;
    isBrought = true;
    await bring(figures).catch(() => {});
    for (const told of document.querySelectorAll(`.${kind}:not(.live) .${kind}-why:not(.told)`)) {
      told.textContent = told.dataset[location.protocol === "file:" ? "file" : "lost"];
      told.classList.add("told");
    }
  };
  const near = new IntersectionObserver(
    (entries) => entries.some(({ isIntersecting }) => isIntersecting) && load(),
    { rootMargin: "200%" },
  );
  const follow = () => link.test(location.hash) && load();
  for (const figure of figures) near.observe(figure);
  when(window, "hashchange", follow);
  when(document, "keydown", ({ key }) => key === "Tab" && load()); // its buttons are on the way
  follow();
}

{
  const { sampler: src, worker, atlas } = document.currentScript.dataset;
  const script = Object.assign(document.createElement("script"), { src });
  script.dataset.worker = worker;
  const run = () =>
    new Promise((resolve) => {
      when(script, "load error", resolve);
      document.head.append(script);
    });
  if (src) approach("sampler", /[#&]picture=/, run);
  const start = async (figures) =>
    (await import(new URL(atlas, document.baseURI))).start(figures, uncover);
  if (atlas) approach("atlas", /^#[^/]+\/[\d.]+$/, start);
}

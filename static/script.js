/* What the page does beyond HTML. Without this script every clip still plays by the browser's own
   controls, and links lead where they say. All words come from the page. */
"use strict";

const AT_ONCE = 4; // clips that play at the same time
const REST = 1500; // milliseconds that the finished samples stay in sight
const KEY = "sitegen-motion";
const calm = matchMedia("(prefers-reduced-motion: reduce)");
const clips = [];
const clamp = (value, least, most) => Math.min(Math.max(value, least), most);
const list = (text) => (text ?? "").split(" ").filter(Boolean);
const numbers = (text) => list(text).map(Number);
const fill = (text, values) => text.replace(/\{(\w+)\}/g, (all, name) => values[name] ?? all);

const memory = {
  read() {
    try {
      return localStorage.getItem(KEY);
    } catch {
      return null;
    }
  },
  write(value) {
    try {
      localStorage.setItem(KEY, value);
    } catch {
      // some browsers keep nothing for files; then it holds for this page only
    }
  },
};

let moving = !calm.matches && memory.read() !== "stopped" && !navigator.connection?.saveData;

/* Play button, slider and readout of a clip; the viewer has a copy of them. */
class Controls {
  constructor(element, clip) {
    this.clip = clip;
    this.button = element.querySelector(".play");
    this.slider = element.querySelector(".slider");
    this.slots = [...element.querySelectorAll("[data-slot]")];
    this.button.addEventListener("click", () => clip.toggle());
    this.slider.addEventListener("input", () => clip.scrub(this.slider.valueAsNumber));
    this.slider.addEventListener("keydown", (event) => this.key(event));
  }

  key(event) {
    const way = { ArrowRight: 1, ArrowUp: 1, ArrowLeft: -1, ArrowDown: -1 }[event.key];
    if (!way || event.ctrlKey || event.altKey || event.metaKey) return;
    event.preventDefault();
    this.clip.scrub(this.clip.next(this.clip.aim, way));
  }

  /* Where the slider stands: at once, before the frame is there. */
  point(frame) {
    const { clip, slider } = this;
    slider.value = clip.valueAt(frame);
    slider.setAttribute("aria-valuetext", fill(slider.dataset.text, clip.words(frame)));
  }

  /* What is said of the frame that is seen. */
  read(frame) {
    const words = this.clip.words(frame);
    for (const slot of this.slots) slot.textContent = fill(slot.dataset.slot, words);
  }

  state(running) {
    const { button } = this;
    button.classList.toggle("running", running);
    button.setAttribute("aria-label", running ? button.dataset.pause : button.dataset.play);
  }
}

class Clip {
  constructor(figure) {
    const video = figure.querySelector("video");
    const data = video.dataset;
    this.figure = figure;
    this.video = video;
    this.stage = video.parentElement;
    this.poster = this.stage.querySelector("img");
    [this.width, this.height] = numbers(data.size);
    this.fps = Number(data.fps);
    this.last = Number(data.last);
    this.levels = list(data.levels);
    this.sigmas = list(data.sigmas);
    [this.points, this.hold] = numbers(data.points ?? "0 0");
    this.shown = this.last; // the frame that is seen; the poster is the last one
    this.aim = this.last; // the frame that is wanted
    this.ratio = 0; // how much of it is in view
    this.held = false; // the visitor stopped this one
    this.asked = false; // the visitor started this one
    this.running = false;
    this.seen = []; // who else wants to know of a new frame
    video.removeAttribute("controls");
    video.loop = false;
    this.controls = [new Controls(figure.querySelector(".scrubber"), this)];
    video.addEventListener("ended", () => this.rest());
    video.addEventListener("seeked", () => this.arrive());
    video.addEventListener("loadedmetadata", () => this.arrive());
    video.addEventListener("error", () => this.run(false), true);
    this.watch();
  }

  words(frame) {
    const point = this.valueAt(frame) + 1;
    return { level: this.levels[frame], sigma: this.sigmas[frame], frame: frame + 1, point };
  }

  /* An interpolation goes there and back, so its slider runs over its points: the first frames. */
  valueAt(frame) {
    if (!this.points) return frame;
    const back = 2 * this.points + this.hold - 1 - frame;
    return clamp(Math.min(frame, back), 0, this.points - 1);
  }

  /* The next frame of another level or point. */
  next(frame, way) {
    if (this.points) return clamp(this.valueAt(frame) + way, 0, this.points - 1);
    let to = frame + way;
    while (this.levels[to] !== undefined && this.levels[to] === this.levels[frame]) to += way;
    return clamp(to, 0, this.last);
  }

  load() {
    if (this.video.preload === "auto") return;
    this.video.preload = "auto";
    if (this.video.networkState !== HTMLMediaElement.NETWORK_LOADING) this.video.load();
  }

  /* Night has come, or gone: a clip with two films takes the other one. */
  choose() {
    const { video } = this;
    if (!video.querySelector("source[media]") || video.preload !== "auto") return;
    this.run(false);
    video.load();
    schedule();
  }

  /* Hear of every frame that is shown, while it plays and after a jump alike. */
  watch() {
    const { video } = this;
    if (!video.requestVideoFrameCallback) {
      video.addEventListener("timeupdate", () => this.show(Math.floor(video.currentTime * this.fps + 0.01)));
      return;
    }
    const tick = (now, frame) => {
      this.show(Math.round(frame.mediaTime * this.fps));
      video.requestVideoFrameCallback(tick);
    };
    video.requestVideoFrameCallback(tick);
  }

  show(frame) {
    this.shown = clamp(frame, 0, this.last);
    if (!this.held) this.aim = this.shown;
    for (const each of this.controls) {
      if (!this.held) each.point(this.shown);
      each.read(this.shown);
    }
    for (const tell of this.seen) tell();
  }

  /* Stop, and go to a frame. Its middle is aimed at, so that rounding cannot miss it. */
  scrub(frame) {
    this.held = true;
    this.asked = false;
    this.run(false);
    this.aim = clamp(frame, 0, this.last);
    for (const each of this.controls) each.point(this.aim);
    this.load();
    this.arrive();
    schedule();
  }

  /* One jump at a time: while one is under way, the newest aim waits for its end. */
  arrive() {
    const { video } = this;
    if (!this.held || video.seeking || video.readyState < 1) return;
    if (this.aimed !== undefined) this.show(this.aimed);
    if (this.aimed === this.aim) return;
    this.aimed = this.aim;
    video.currentTime = (this.aim + 0.5) / this.fps;
  }

  toggle() {
    if (this.running) return this.scrub(this.shown); // what is seen is what is said, to the frame
    this.held = false;
    this.asked = true;
    schedule();
  }

  run(on) {
    if (on === this.running) return;
    const { video } = this;
    this.running = on;
    this.aimed = undefined;
    for (const each of this.controls) each.state(on);
    clearTimeout(this.timer);
    if (on) {
      this.load();
      if (video.ended) video.currentTime = 0;
      video.play().catch(() => {
        if (this.running && video.paused) this.run(false);
      });
    } else {
      video.pause();
    }
  }

  rest() {
    this.timer = setTimeout(() => {
      this.running = false;
      schedule();
    }, this.points ? 0 : REST);
  }
}

/* Who plays: what the visitor started, then what is most in view. */
function schedule() {
  const wanted = clips.filter((clip) => {
    const here = viewer.clip ? viewer.clip === clip : clip.ratio > 0;
    return here && !document.hidden && !clip.held && (moving || clip.asked);
  });
  wanted.sort((a, b) => b.asked - a.asked || b.ratio - a.ratio);
  const chosen = new Set(wanted.slice(0, AT_ONCE));
  for (const clip of clips) if (!chosen.has(clip)) clip.run(false);
  for (const clip of chosen) clip.run(true);
}

function observe() {
  const find = (entry) => clips.find((clip) => clip.stage === entry.target);
  const view = new IntersectionObserver(
    (entries) => {
      for (const entry of entries) {
        const { height } = entry.intersectionRect;
        const enough = entry.intersectionRatio >= 0.25 || height > innerHeight / 2;
        find(entry).ratio = enough ? entry.intersectionRatio : 0;
      }
      schedule();
    },
    { threshold: [0, 0.25, 0.5, 0.75, 1] },
  );
  const near = new IntersectionObserver(
    (entries) => {
      for (const entry of entries) {
        if (entry.isIntersecting && moving) find(entry).load();
      }
    },
    { rootMargin: "200px 0px" },
  );
  for (const clip of clips) {
    view.observe(clip.stage);
    near.observe(clip.stage);
  }
  document.addEventListener("visibilitychange", schedule);
}

/* One button for all motion, whose state is remembered; a wish for calm comes first. */
function motion(button) {
  const words = button.querySelector("span");
  const tell = () => {
    words.textContent = moving ? button.dataset.stop : button.dataset.go;
    button.classList.toggle("running", moving);
  };
  const set = (on) => {
    moving = on;
    for (const clip of clips) {
      clip.asked = false;
      if (on) clip.held = false;
    }
    tell();
    schedule();
  };
  button.addEventListener("click", () => {
    set(!moving);
    memory.write(moving ? "moving" : "stopped");
  });
  calm.addEventListener("change", () => set(!calm.matches && memory.read() !== "stopped"));
  tell();
}

/* Put an element over a part of the film; x, y, width and height are in pixels of the film. */
function place(element, clip, { x, y, width, height }) {
  const share = (part, whole) => `${(100 * part) / whole}%`;
  const [left, top] = [share(x, clip.width), share(y, clip.height)];
  const [across, down] = [share(width, clip.width), share(height, clip.height)];
  Object.assign(element.style, { left, top, width: across, height: down });
}

/* Samples in a grid: one button, the lens, lies over the one that it opens. */
function grid(clip) {
  const [columns, count, width, height] = numbers(clip.video.dataset.cells);
  const lens = clip.stage.querySelector(".lens");
  const rows = Math.ceil(count / columns);
  const box = (index) => {
    const row = Math.floor(index / columns);
    const inRow = row === rows - 1 ? count - row * columns : columns;
    const left = Math.floor(((columns - inRow) * width) / 2);
    return { x: left + (index % columns) * width, y: row * height, width, height };
  };
  const boxes = Array.from({ length: count }, (_, index) => box(index));
  let at = 0;
  const move = (index) => {
    at = index;
    place(lens, clip, boxes[at]);
    lens.setAttribute("aria-label", fill(lens.dataset.text, { n: at + 1, count }));
  };
  const under = (event) => {
    const area = clip.stage.getBoundingClientRect();
    const x = ((event.clientX - area.left) / area.width) * clip.width;
    const y = ((event.clientY - area.top) / area.height) * clip.height;
    return boxes.findIndex((b) => x >= b.x && x < b.x + width && y >= b.y && y < b.y + height);
  };
  clip.stage.addEventListener("pointermove", (event) => {
    const index = under(event);
    if (index >= 0) move(index);
    clip.stage.classList.toggle("pointed", index >= 0);
  });
  clip.stage.addEventListener("pointerleave", () => clip.stage.classList.remove("pointed"));
  clip.stage.addEventListener("click", (event) => {
    const index = event.detail ? under(event) : at; // a click of the keyboard has no place
    if (index < 0) return;
    move(index);
    lens.focus({ preventScroll: true });
    viewer.open(clip, boxes, at, "sample", move);
  });
  lens.addEventListener("keydown", (event) => {
    const ways = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -columns, ArrowDown: columns };
    const to = { Home: 0, End: count - 1 }[event.key] ?? at + (ways[event.key] ?? NaN);
    if (Number.isNaN(to)) return;
    event.preventDefault();
    if (to >= 0 && to < count) move(to);
  });
  move(0);
}

/* A tree: every picture is a button, and shows its branch. */
function tree(clip) {
  const buttons = [...clip.stage.querySelectorAll(".node")];
  const nodes = buttons.map((button, number) => {
    const [depth, index, x, y, size] = numbers(button.dataset.node);
    return { button, number, depth, index, x, y, width: size, height: size };
  });
  const find = (depth, index) => nodes.find((n) => n.depth === depth && n.index === index);
  const within = (inner, outer) =>
    inner.depth >= outer.depth && inner.index >> (inner.depth - outer.depth) === outer.index;
  const veil = veiled(clip, nodes);
  const mark = (node) => {
    veil(node && nodes.filter((other) => within(node, other) || within(other, node)));
  };
  const go = (node) => {
    for (const each of nodes) each.button.tabIndex = each === node ? 0 : -1;
    node.button.focus();
  };
  const beside = (node, way) => {
    const same = nodes.filter((other) => other.depth === node.depth).sort((a, b) => a.y - b.y);
    return same[same.indexOf(node) + way];
  };
  for (const node of nodes) {
    const { button, depth, index } = node;
    place(button, clip, node);
    button.addEventListener("focus", () => mark(node));
    button.addEventListener("blur", () => mark(null));
    button.addEventListener("pointerenter", () => mark(node));
    button.addEventListener("pointerleave", () => mark(nodes.find((n) => n.button === document.activeElement)));
    button.addEventListener("click", () => {
      go(node);
      viewer.open(clip, nodes, node.number, "node", (number) => go(nodes[number]));
    });
    button.addEventListener("keydown", (event) => {
      const to = {
        ArrowLeft: () => find(depth - 1, index >> 1),
        ArrowRight: () => find(depth + 1, index * 2),
        ArrowUp: () => beside(node, -1),
        ArrowDown: () => beside(node, 1),
        Home: () => nodes[0],
        End: () => nodes.at(-1),
      }[event.key];
      if (!to) return;
      event.preventDefault();
      if (to()) go(to());
    });
  }
}

/* A veil over a tree with holes for a branch: its pictures and the arrows between them. */
function veiled(clip, nodes) {
  const make = (name, attributes, ...inside) => {
    const element = document.createElementNS("http://www.w3.org/2000/svg", name);
    for (const key in attributes) element.setAttribute(key, attributes[key]);
    element.append(...inside);
    return element;
  };
  const all = { width: clip.width, height: clip.height };
  const id = `${clip.figure.id}-veil`;
  const holes = make("g", { fill: "#000" });
  const mask = make("mask", { id, maskUnits: "userSpaceOnUse", x: 0, y: 0, ...all }, make("rect", { fill: "#fff", ...all }), holes);
  const viewBox = `0 0 ${clip.width} ${clip.height}`;
  const svg = make("svg", { class: "veil", viewBox, "aria-hidden": true }, mask, make("rect", { ...all, mask: `url(#${id})` }));
  clip.stage.insertBefore(svg, clip.stage.querySelector(".tree"));
  return (branch) => {
    svg.classList.toggle("drawn", Boolean(branch));
    if (!branch) return;
    const cut = branch.flatMap((node) => {
      const { x, y, width, height, depth, index } = node;
      const hole = make("rect", { x: x - 4, y: y - 4, width: width + 8, height: height + 8 });
      const parent = branch.find((n) => n.depth === depth - 1 && n.index === index >> 1);
      if (!parent) return [hole];
      const [x0, y0, y1] = [parent.x + width, parent.y + height / 2, y + height / 2];
      const d = `M${x0},${y0}C${(x0 + x) / 2},${y0} ${(x0 + x) / 2},${y1} ${x},${y1}`;
      return [hole, make("path", { d, fill: "none", stroke: "#000", "stroke-width": width / 2.5 })];
    });
    holes.replaceChildren(...cut);
  };
}

/* The dialog that shows one sample large, drawn from the clip's own film. */
const viewer = {
  clip: null,

  setUp(dialog) {
    this.dialog = dialog;
    this.title = dialog.querySelector("h2");
    this.canvas = dialog.querySelector("canvas");
    this.room = dialog.querySelector(".viewer-place");
    dialog.querySelector(".close").addEventListener("click", () => dialog.close());
    dialog.querySelector(".earlier").addEventListener("click", () => this.turn(-1));
    dialog.querySelector(".later").addEventListener("click", () => this.turn(1));
    dialog.addEventListener("click", (event) => event.target === dialog && dialog.close());
    dialog.addEventListener("close", () => this.closed());
  },

  open(clip, boxes, at, what, tell) {
    Object.assign(this, { clip, boxes, at, what, tell });
    const copy = clip.figure.querySelector(".scrubber").cloneNode(true);
    this.room.replaceChildren(copy);
    this.controls = new Controls(copy, clip);
    clip.controls.push(this.controls);
    this.draw = () => this.paint();
    clip.seen.push(this.draw);
    this.controls.point(clip.aim);
    this.controls.read(clip.shown);
    this.controls.state(clip.running);
    this.turn(0);
    this.dialog.showModal();
    this.title.focus();
    schedule();
  },

  turn(way) {
    this.at = (this.at + way + this.boxes.length) % this.boxes.length;
    const { width, height } = this.boxes[this.at];
    Object.assign(this.canvas, { width, height });
    const words = { n: this.at + 1, count: this.boxes.length };
    this.title.textContent = fill(this.title.dataset[this.what], words);
    this.canvas.setAttribute("aria-label", `${this.title.textContent}: ${this.clip.video.getAttribute("aria-label")}`);
    this.paint();
  },

  paint() {
    const { video, poster, width: whole } = this.clip;
    const { x, y, width, height } = this.boxes[this.at];
    const film = video.readyState >= 2;
    const times = film ? 1 : poster.naturalWidth / whole;
    const from = [x, y, width, height].map((value) => value * times);
    const pen = this.canvas.getContext("2d");
    pen.imageSmoothingEnabled = false;
    pen.drawImage(film ? video : poster, ...from, 0, 0, width, height);
  },

  closed() {
    const { clip } = this;
    clip.controls = clip.controls.filter((each) => each !== this.controls);
    clip.seen = clip.seen.filter((each) => each !== this.draw);
    this.clip = null;
    this.tell(this.at);
    schedule();
  },
};

function copying(box) {
  const text = box.querySelector("code");
  const status = box.querySelector("[role=status]");
  box.querySelector(".copy").addEventListener("click", async () => {
    status.textContent = "";
    let copied = true;
    try {
      await navigator.clipboard.writeText(text.textContent);
    } catch {
      getSelection().selectAllChildren(text);
      copied = document.execCommand("copy");
    }
    status.textContent = copied ? status.dataset.copied : status.dataset.failed;
  });
}

/* A video of another host: its player comes when the button is pressed. */
function playElsewhere(screen, button) {
  const player = document.createElement("iframe");
  player.title = screen.dataset.title;
  player.allow = "autoplay; fullscreen; picture-in-picture; encrypted-media";
  player.referrerPolicy = "strict-origin-when-cross-origin"; // YouTube plays to no unknown page
  player.src = screen.dataset.player;
  button.replaceWith(player);
  player.focus();
}

for (const figure of document.querySelectorAll(".clip-figure")) clips.push(new Clip(figure));
for (const clip of clips) {
  if (clip.stage.querySelector(".lens")) grid(clip);
  else if (clip.stage.querySelector(".tree")) tree(clip);
  else clip.video.addEventListener("click", () => clip.toggle());
}
document.querySelectorAll("dialog.viewer").forEach((dialog) => viewer.setUp(dialog));
document.querySelectorAll(".motion").forEach(motion);
document.querySelectorAll(".bibtex").forEach(copying);
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => clips.forEach((clip) => clip.choose()));
for (const screen of document.querySelectorAll("[data-player]")) {
  const link = screen.querySelector("a");
  const button = document.createElement("button");
  button.type = "button";
  button.className = link.className;
  button.append(...link.childNodes);
  button.addEventListener("click", () => playElsewhere(screen, button));
  link.replaceWith(button);
}
observe();

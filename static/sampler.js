/* What a page does around a model that draws in it: the model and its engine are fetched, by a
   worker of their own, once the button is pressed or a link to a picture was followed. Pictures are
   the values that static/sampler/worker.js tells of. All words come from the page. */
"use strict";

{
  const WORKER = new URL(document.currentScript.dataset.worker, document.baseURI).href;
  const [FEWEST, MOST] = [4, 24]; // pictures that are kept, by how many numbers fit into memory
  const NUMBERS = 2 ** 25;
  const SAVED = 512; // pixels of a picture that is saved, about
  const [FPS, REST] = [24, 1000]; // of a film, and the milliseconds that its last picture stays
  const FILMS = ["video/webm;codecs=vp9", "video/webm", "video/mp4"];
  const SIMD = [
    0, 97, 115, 109, 1, 0, 0, 0, 1, 5, 1, 96, 0, 1, 123, 3, 2, 1, 0, 10, 10, 1, 8, 0, 65, 0, 253,
    15, 253, 98, 11,
  ];
  const calm = matchMedia("(prefers-reduced-motion: reduce)");
  const clamp = (value, least, most) => Math.min(Math.max(value, least), most);
  const fill = (text, values) => text.replace(/\{(\w+)\}/g, (all, name) => values[name] ?? all);
  const scale = (sigma) => (sigma === 0 ? "0" : sigma < 1 ? sigma.toFixed(2) : sigma.toFixed(1));

  /* A picture as text, for links: 48213.0 is number 0 of the seed 48213; -40.1 is a branch, its
     first, from level 40 down; ~0.2 is the mean of its start; and two with a share are between. */
  function written({ seed, number, branches = [], mean, between, share }) {
    if (between) return [...between.map(written), share].join("_");
    const ways = branches.map((branch) => `-${branch.level}.${branch.number}`).join("");
    return `${seed}.${number}${ways}${mean ? `~${mean.join(",")}` : ""}`;
  }

  /* The picture that a text says, or nothing. */
  function read(text) {
    const parts = text.split("_");
    if (parts.length === 3) {
      const [between, share] = [parts.slice(0, 2).map(single), Number(parts[2])];
      return between.every(Boolean) && share >= 0 && share <= 1 ? { between, share } : undefined;
    }
    return parts.length === 1 ? single(text) : undefined;
  }

  function single(text) {
    const whole = /^(\d{1,19})\.(\d{1,9})((?:-\d{1,5}\.\d{1,5})*)(?:~([\d.,]{1,40}))?$/.exec(text);
    if (!whole || BigInt(whole[1]) >= 2n ** 63n) return;
    const branches = [...whole[3].matchAll(/-(\d+)\.(\d+)/g)].map(([, level, number]) => ({
      level: Number(level),
      number: Number(number),
    }));
    const mean = whole[4]?.split(",").map(Number);
    if (mean?.some(Number.isNaN)) return;
    return { seed: whole[1], number: Number(whole[2]), branches, ...(mean && { mean }) };
  }

  /* Why nothing can be drawn here; empty where something can. */
  function hindrance() {
    if (location.protocol === "file:") return "file";
    const able = typeof WebAssembly === "object" && typeof Worker === "function";
    return able && WebAssembly.validate(new Uint8Array(SIMD)) ? "" : "old";
  }

  /* Buttons side by side: one is reached by Tab, the others by the arrows. */
  function toolbar(bar) {
    const shown = () => [...bar.querySelectorAll("button")].filter((button) => !button.hidden);
    const go = (to) => {
      for (const button of bar.querySelectorAll("button")) button.tabIndex = button === to ? 0 : -1;
    };
    bar.addEventListener("focusin", (event) => go(event.target));
    bar.addEventListener("keydown", (event) => {
      if (event.ctrlKey || event.altKey || event.metaKey) return;
      const all = shown();
      const at = all.indexOf(document.activeElement);
      const ways = { ArrowRight: at + 1, ArrowLeft: at - 1, Home: 0, End: all.length - 1 };
      if (!(event.key in ways)) return;
      event.preventDefault();
      all[(ways[event.key] + all.length) % all.length].focus();
    });
    go(shown()[0]);
  }

  class Sampler {
    constructor(figure) {
      const find = (name) => figure.querySelector(`.sampler-${name}`);
      const box = figure.querySelector(".sampler");
      Object.assign(this, { figure, box, words: box.dataset });
      for (const name of [
        "new", "details", "save", "film", "link", "cost", "told", "trouble", "more", "slider",
        "readout", "shows", "about", "shelf", "start", "ground", "between", "one", "other", "share",
      ]) this[name] = find(name);
      this.canvas = box.querySelector("canvas");
      this.poster = box.querySelector("img");
      this.pictures = [];
      this.number = 0; // of the next sample
      this.seed = String(crypto.getRandomValues(new Uint32Array(1))[0] % 1000000);
      this.jobs = 0;
      this.listen();
      toolbar(find("bar"));
      box.classList.add("live");
      this.follow();
    }

    listen() {
      const when = (thing, event, task) => thing.addEventListener(event, task);
      when(this.new, "click", () => (this.drawing ? this.stop() : this.sample()));
      when(this.details, "click", () => this.redo());
      when(this.save, "click", () => this.keep());
      when(this.film, "click", () => this.record());
      when(this.link, "click", () => this.address());
      when(this.slider, "input", () => this.scrub(Number(this.slider.value)));
      when(this.shows, "change", () => this.paint());
      when(this.shelf, "change", (event) => this.choose(this.pictures[event.target.value]));
      when(this.start, "change", () => this.recolour());
      for (const list of [this.one, this.other])
        when(list, "change", () => (list.chosen = this.pictures[list.value]));
      when(this.share, "input", () => this.mix(true));
      when(this.share, "change", () => this.mix(false));
      when(this.box, "keydown", (event) => event.key === "Escape" && this.stop());
      when(window, "hashchange", () => this.follow());
      when(document, "visibilitychange", () => this.pause());
      const observer = new IntersectionObserver(([entry]) => {
        this.away = !entry.isIntersecting;
        this.pause();
      });
      observer.observe(this.box);
    }

    /* A link to a picture of this figure opens it; where data are dear, after a press. */
    follow() {
      const asked = new URLSearchParams(location.hash.slice(1));
      if (asked.get("figure") !== this.figure.id) return;
      const picture = read(asked.get("picture") ?? "");
      if (!picture) return;
      this.wanted = { picture, level: Number(asked.get("level") ?? 0) };
      this.figure.scrollIntoView();
      if (this.worker || !navigator.connection?.saveData) this.sample();
    }

    /* The next sample, or the one that a link asks for. */
    sample() {
      const { wanted } = this;
      if (wanted) {
        this.wanted = undefined;
        const known = this.pictures.find((each) => written(each) === written(wanted.picture));
        if (known) return this.choose(known, wanted.level);
        return this.draw(wanted.picture, { level: wanted.level });
      }
      this.draw({ seed: this.seed, number: this.number++, branches: [] });
    }

    /* Draw the rest again from the level that is seen, with other noise. */
    redo() {
      const { picture, at } = this;
      const level = picture?.levels[at];
      if (this.idle(this.details) || !level) return;
      const { seed, number } = picture;
      const kin = this.pictures.filter((each) => each.seed === seed && each.number === number);
      const taken = kin.flatMap((each) => each.branches.map((branch) => branch.number));
      const above = picture.branches.filter((branch) => branch.level > level);
      const branches = [...above, { level, number: Math.max(0, ...taken) + 1 }];
      this.draw({ ...said(picture), branches }, { from: { picture, at } });
    }

    recolour() {
      if (!this.picture || this.picture.between) return;
      const value = this.start.value;
      const part = (place) => parseInt(value.slice(place, place + 2), 16) / 255;
      const coloured = this.model.channels > 1;
      const mean = coloured ? [1, 3, 5].map((at) => Number(part(at).toFixed(3))) : [Number(value)];
      this.draw({ ...said(this.picture), mean });
    }

    /* Between the two that are chosen: few levels while the slider is dragged. */
    mix(coarse) {
      const [one, other] = [this.one, this.other].map((list) => this.pictures[list.value]);
      if (!one || !other || (coarse && (!this.model.predicts || calm.matches))) return;
      const picture = { between: [said(one), said(other)], share: Number(this.share.value) };
      const percent = Math.round(100 * picture.share);
      this.share.setAttribute("aria-valuetext", fill(this.share.dataset.text, { percent }));
      if (!coarse) return this.draw(picture);
      if (this.rough && this.drawing) this.later = picture; // the newest, when that one is done
      else this.draw(picture, { coarse: true });
    }

    /* Draw a picture. from: one whose upper levels it shares, and where that is left; coarse: in few
       levels, and not kept; level: where the slider is to stand in the end. */
    async draw(wanted, { from, coarse = false, level = 0 } = {}) {
      const id = ++this.jobs;
      const picture = { ...wanted };
      for (const list of ["levels", "states", "sharps"])
        picture[list] = from ? from.picture[list].slice(0, from.at + 1) : [];
      if (from) {
        picture.sharps[from.at] = undefined;
        picture.parent = from.picture;
      }
      if (this.drawing?.thumb) this.sketch(this.drawing);
      this.trouble.hidden = true;
      Object.assign(this, { drawing: picture, job: id, rough: coarse, aim: level, following: true });
      this.busy(true);
      this.worker ??= this.load();
      const worker = await this.worker;
      if (!worker || this.job !== id) return;
      if (!coarse) this.tell(this.words.begun);
      if (!coarse) this.add(picture);
      this.picture = picture;
      this.slider.max = this.model.visited.length - 1;
      const start = from && { level: picture.levels[from.at], state: picture.states[from.at] };
      worker.postMessage({ draw: id, picture: wanted, from: start, coarse });
    }

    /* The worker with the model in it; nothing where it does not come. */
    load() {
      this.unfold(true);
      this.tell(this.words.fetching);
      const worker = new Worker(WORKER, { type: "module" });
      const { model, weights } = this.words;
      const whole = (uri) => new URL(uri, document.baseURI).href;
      return new Promise((resolve) => {
        worker.onerror = () => this.lose(worker, resolve);
        worker.onmessage = ({ data }) => {
          if (data.failed) return this.lose(worker, resolve);
          if (!data.ready) return this.hear(data);
          this.model = data.ready;
          this.furnish();
          this.live = worker;
          this.pause();
          resolve(worker);
        };
        worker.postMessage({ load: { model: whole(model), weights: whole(weights) } });
      });
    }

    lose(worker, resolve) {
      worker.terminate();
      this.live = this.worker = undefined;
      this.unfold(Boolean(this.model));
      this.tell("");
      this.trouble.hidden = false;
      this.end();
      resolve();
    }

    /* What the press brings has its room at once, so that nothing moves later. */
    unfold(on) {
      this.cost.hidden = on;
      for (const each of [this.more, this.details, this.save, this.link]) each.hidden = !on;
      this.films = FILMS.find((type) => window.MediaRecorder?.isTypeSupported(type));
      this.film.hidden = !on || !this.films;
      this.more.classList.toggle("coming", !this.model);
    }

    /* The controls of a model that has come. */
    furnish() {
      const { channels, size, range, predicts } = this.model;
      this.more.classList.remove("coming");
      this.shows.hidden = !predicts;
      Object.assign(this.canvas, { width: size, height: size });
      if (channels > 1) {
        this.start.type = "color";
        this.ground.textContent = this.ground.dataset.colour;
      } else Object.assign(this.start, { min: range[0].toFixed(3), max: range[1].toFixed(3) });
    }

    /* A level has come. */
    hear({ id, level, state, sharp, done, stopped, seconds }) {
      if (id !== this.job || !this.drawing) return;
      const picture = this.drawing;
      if (state) {
        if (sharp) picture.sharps[picture.levels.length - 1] = sharp;
        picture.levels.push(level);
        picture.states.push(state);
        if (this.following) this.at = picture.levels.length - 1;
        if (!calm.matches && this.picture === picture) this.paint();
      }
      if (done || stopped) this.finish(picture, done, seconds);
    }

    finish(picture, done, seconds) {
      picture.seconds = done ? seconds : undefined;
      const { rough, later } = this;
      this.end();
      this.later = undefined;
      if (rough && later) return this.draw(later, { coarse: true });
      if (this.following) {
        const place = picture.levels.findIndex((level) => level <= this.aim);
        this.at = place < 0 ? picture.levels.length - 1 : place;
      }
      if (!rough) {
        this.tell(done ? this.words.done : this.words.stopped);
        this.sketch(picture);
      }
      if (this.picture === picture) this.paint();
    }

    stop() {
      if (!this.drawing) return;
      if (this.live && this.picture === this.drawing) this.live.postMessage({ stop: true });
      else this.end();
    }

    end() {
      this.drawing = this.job = undefined;
      this.busy(false);
    }

    /* Nothing is drawn while nobody sees it. */
    pause() {
      this.live?.postMessage({ pause: Boolean(this.away || document.hidden) });
    }

    busy(on) {
      this.new.textContent = on ? this.words.stop : this.words.new;
      this.update();
    }

    idle(button) {
      return button.getAttribute("aria-disabled") === "true";
    }

    /* A picture joins those that are kept, the oldest of which goes. */
    add(picture) {
      const name = this.name(picture);
      const label = document.createElement("label");
      const make = (tag, values) => Object.assign(document.createElement(tag), values);
      const radio = make("input", { type: "radio", name: `${this.figure.id}-kept` });
      const words = make("span", { textContent: name });
      picture.thumb = make("canvas");
      label.append(radio, picture.thumb, words);
      Object.assign(picture, { radio, label, name });
      label.picture = picture;
      this.hang(picture);
      this.sketch(picture);
      this.pictures.push(picture);
      const { visited, channels, size } = this.model;
      const fit = Math.floor(NUMBERS / (2 * visited.length * channels * size ** 2));
      if (this.pictures.length > clamp(fit, FEWEST, MOST)) this.pictures.shift().label.remove();
      this.pictures.forEach((each, place) => (each.radio.value = place));
      radio.checked = true;
      this.offer();
    }

    /* A branch stands behind what it and others grew from. */
    hang({ parent, label }) {
      let last = parent?.label;
      if (!last?.isConnected) return this.shelf.append(label);
      while (below(last.nextElementSibling?.picture, parent)) last = last.nextElementSibling;
      last.after(label);
      label.classList.add("sampler-branch");
    }

    /* How far a picture has come, small. */
    sketch({ thumb, states }) {
      if (states.length) show(thumb, states.at(-1), this.model);
    }

    /* The lists of "from one to another": pictures that are not between others themselves. */
    offer() {
      const fit = this.pictures.filter((each) => !each.between);
      this.between.hidden = fit.length < 2;
      for (const [list, usual] of [[this.one, fit.at(-2)], [this.other, fit.at(-1)]]) {
        const chosen = fit.includes(list.chosen) ? list.chosen : usual;
        list.replaceChildren(...fit.map((each) => new Option(each.name, each.radio.value)));
        if (chosen) list.value = chosen.radio.value;
      }
    }

    name({ number, branches, mean, between, share }) {
      const { named, branched, started, shared } = this.words;
      if (between) {
        const names = between.map((each) => this.name(each));
        return fill(shared, { one: names[0], other: names[1], percent: Math.round(100 * share) });
      }
      const last = branches.at(-1);
      const parts = [fill(named, { number })];
      if (last) parts.push(fill(branched, last));
      if (mean) parts.push(fill(started, { mean: mean.join(", ") }));
      return parts.join("");
    }

    choose(picture, level = 0) {
      picture.radio.checked = true;
      this.picture = picture;
      const place = picture.levels.findIndex((each) => each <= level);
      this.at = place < 0 ? picture.levels.length - 1 : place;
      this.following = this.drawing === picture;
      this.paint();
    }

    scrub(value) {
      if (!this.picture) return;
      this.at = clamp(value, 0, this.picture.levels.length - 1);
      this.following = false;
      this.paint();
    }

    get predicted() {
      return this.shows.querySelector(":checked").value === "predicted";
    }

    paint() {
      const { picture, at, canvas, model } = this;
      if (!picture?.levels.length) return;
      const newest = at === picture.levels.length - 1; // whose prediction is still to come
      const sharp = this.predicted && picture.levels[at] && picture.sharps[newest ? at - 1 : at];
      show(canvas, sharp || picture.states[at], model);
      canvas.hidden = false;
      this.poster.classList.add("covered");
      this.update();
    }

    /* Words and controls say what is seen. */
    update() {
      const { picture, at, model, drawing } = this;
      const level = picture?.levels[at];
      this.details.setAttribute("aria-disabled", String(Boolean(drawing || !level || picture.between)));
      for (const each of [this.save, this.film, this.link])
        each.setAttribute("aria-disabled", String(level === undefined));
      if (level === undefined) return;
      const values = { level, sigma: scale(model.sigmas[level]), name: this.name(picture) };
      this.slider.value = model.visited.indexOf(level);
      this.slider.setAttribute("aria-valuetext", fill(this.slider.dataset.text, values));
      for (const slot of this.readout.querySelectorAll("[data-slot]"))
        slot.textContent = fill(slot.dataset.slot, values);
      this.canvas.setAttribute("aria-label", fill(this.words.seen, values));
      this.start.disabled = Boolean(picture.between);
      if (document.activeElement !== this.start) this.mean(picture.states[0]);
      this.about.textContent = this.origin(picture);
    }

    /* Where a picture comes from, how long it took, and how sitegen draws the same. */
    origin({ seed, number, branches, mean, between, seconds }) {
      const { seeded, took, command } = this.words;
      const told = between ? [] : [fill(seeded, { number, seed })];
      if (seconds === undefined) return told.join(" ");
      told.push(fill(took, { seconds: seconds.toFixed(1) }));
      if (!between && !branches.length && !mean) told.push(fill(command, { seed, count: number + 1 }));
      return told.join(" ");
    }

    /* The control of the flat start shows that of the picture. */
    mean(state) {
      const plane = this.model.size ** 2;
      const means = Array.from({ length: this.model.channels }, (_, c) =>
        state.subarray(c * plane, (c + 1) * plane).reduce((sum, value) => sum + value, 0) / plane);
      const hex = (value) => Math.round(255 * clamp(value, 0, 1)).toString(16).padStart(2, "0");
      this.start.value = means.length > 1 ? `#${means.map(hex).join("")}` : means[0].toFixed(3);
    }

    /* The picture that is seen, as a PNG. */
    keep() {
      if (this.idle(this.save)) return;
      const ending = `-level-${this.picture.levels[this.at]}.png`;
      enlarged(this.canvas).canvas.toBlob((blob) => this.hand(blob, ending));
    }

    /* The whole way, as a film that the browser writes while it is played unseen. */
    async record() {
      if (this.idle(this.film)) return;
      const { picture, films: type, model } = this;
      const small = document.createElement("canvas");
      show(small, picture.states[0], model);
      const pen = enlarged(small);
      const recorder = new MediaRecorder(pen.canvas.captureStream(FPS), { mimeType: type });
      const parts = [];
      recorder.ondataavailable = ({ data }) => parts.push(data);
      recorder.onstop = () => {
        this.hand(new Blob(parts, { type }), `.${type.slice(6, 10).replace(";", "")}`);
        this.tell(this.words.filmed);
      };
      this.film.setAttribute("aria-disabled", "true");
      this.tell(this.words.filming);
      recorder.start();
      for (const state of picture.states) {
        show(small, state, model);
        pen.drawImage(small, 0, 0, pen.canvas.width, pen.canvas.height);
        await new Promise((resolve) => setTimeout(resolve, 1000 / FPS));
      }
      setTimeout(() => {
        recorder.stop();
        this.update();
      }, REST);
    }

    hand(blob, ending) {
      const address = URL.createObjectURL(blob);
      const download = `${this.words.label}-${written(this.picture)}${ending}`;
      Object.assign(document.createElement("a"), { href: address, download }).click();
      setTimeout(() => URL.revokeObjectURL(address), 10000);
    }

    /* The link to what is seen goes into the address bar, and where that may be, is copied. */
    async address() {
      if (this.idle(this.link)) return;
      const { picture, at } = this;
      const said = { figure: this.figure.id, picture: written(picture), level: picture.levels[at] };
      history.replaceState(null, "", `#${new URLSearchParams(said)}`);
      try {
        await navigator.clipboard.writeText(location.href);
        this.tell(this.words.copied);
      } catch {
        this.tell(this.words.linked);
      }
    }

    tell(words) {
      this.told.textContent = words;
    }
  }

  /* A larger canvas with the same picture, each pixel a square; what it is drawn with. */
  function enlarged(canvas) {
    const factor = Math.max(1, Math.floor(SAVED / canvas.width));
    const large = document.createElement("canvas");
    Object.assign(large, { width: canvas.width * factor, height: canvas.height * factor });
    const pen = large.getContext("2d");
    pen.imageSmoothingEnabled = false;
    pen.drawImage(canvas, 0, 0, large.width, large.height);
    return pen;
  }

  const below = (picture, root) =>
    picture && (picture.parent === root || below(picture.parent, root));

  /* What a picture says of its randomness, without what was drawn. */
  function said({ seed, number, branches, mean, between, share }) {
    return between ? { between, share } : { seed, number, branches, ...(mean && { mean }) };
  }

  /* Draw channels × rows × columns in [0, 1], clipped and rounded as sitegen does. */
  function show(canvas, planes, { size, channels }) {
    const plane = size ** 2;
    const image = new ImageData(size, size);
    for (let i = 0; i < plane; i++) {
      for (let c = 0; c < 3; c++)
        image.data[4 * i + c] = Math.floor(clamp(planes[(c % channels) * plane + i], 0, 1) * 255 + 0.5);
      image.data[4 * i + 3] = 255;
    }
    Object.assign(canvas, { width: size, height: size });
    canvas.getContext("2d").putImageData(image, 0, 0);
  }

  const why = hindrance();
  for (const figure of document.querySelectorAll(".sampler-figure")) {
    const told = figure.querySelector(".sampler-why");
    if (why) {
      told.textContent = told.dataset[why];
      told.classList.add("told");
      continue;
    }
    try {
      new Sampler(figure);
    } catch (fault) {
      console.error(fault);
      told.classList.add("told");
    }
  }
}

/* The page's side of a live model. The model and its engine are fetched when the button is pressed
   or a link to a picture is opened. static/sampler/worker.js documents the picture values. All texts
   come from the page. */
"use strict";

{
  const WORKER = new URL(document.currentScript.dataset.worker, document.baseURI).href;
  const [FEWEST, MOST] = [4, 24]; // limits of the number of stored pictures, depending on memory
  const NUMBERS = 2 ** 25;
  const SEVERAL = 4; // number of samples for one press
  const [BRANCHES, LONGEST] = [64, 2000]; // maximum branches, and characters, of a picture in a link
  const SAVED = 512; // approximate size of a saved picture in pixels
  const [FPS, REST] = [24, 24]; // of a film; frames for which its last picture stays
  const HALF = 0.6; // share of the levels at which about half of a picture is decided
  const SIMD = [
    0, 97, 115, 109, 1, 0, 0, 0, 1, 5, 1, 96, 0, 1, 123, 3, 2, 1, 0, 10, 10, 1, 8, 0, 65, 0, 253,
    15, 253, 98, 11,
  ];
  const reducedMotion = matchMedia("(prefers-reduced-motion: reduce)");
  const clamp = (value, least, most) => Math.min(Math.max(value, least), most);
  const fill = (text, values) => text.replace(/\{(\w+)\}/g, (all, name) => values[name] ?? all);
  const scale = (sigma) => (sigma === 0 ? "0" : sigma < 1 ? sigma.toFixed(2) : sigma.toFixed(1));

  /* A picture as text, for links: 48213.0 is number 0 of the seed 48213; -40.1 is its first branch
     from level 40 down; ~0.2 is the mean of its start; !3,1.5 is its class with the guidance towards
     it; two with a share are an interpolation. */
  function written({ seed, number, branches = [], mean, kind, guidance, between, share }) {
    if (between) return [...between.map(written), share].join("_");
    const ways = branches.map((branch) => `-${branch.level}.${branch.number}`).join("");
    const towards = kind === undefined ? "" : `!${kind}${guidance ? `,${guidance}` : ""}`;
    return `${seed}.${number}${ways}${mean ? `~${mean.join(",")}` : ""}${towards}`;
  }

  /* Parse the text of a picture, or return nothing. The text is from a link and is not trusted. */
  function read(text) {
    if (text.length > LONGEST) return;
    const parts = text.split("_");
    if (parts.length === 3) {
      const [between, share] = [parts.slice(0, 2).map(single), Number(parts[2])];
      return between.every(Boolean) && share >= 0 && share <= 1 ? { between, share } : undefined;
    }
    return parts.length === 1 ? single(text) : undefined;
  }

  function single(text) {
    const whole = /^(\d{1,19})\.(\d{1,9})((?:-\d{1,5}\.\d{1,5})*)(?:~([\d.,]{1,40}))?(?:!(\d{1,6})(?:,(\d{1,2}(?:\.\d{1,3})?))?)?$/.exec(text);
    if (!whole || BigInt(whole[1]) >= 2n ** 63n) return;
    const branches = [...whole[3].matchAll(/-(\d+)\.(\d+)/g)].map(([, level, number]) => ({
      level: Number(level),
      number: Number(number),
    }));
    const falling = branches.every(({ level }, at) => level > (branches[at + 1]?.level ?? 0));
    if (branches.length > BRANCHES || !falling) return;
    const mean = whole[4]?.split(",").map(Number);
    if (mean?.some(Number.isNaN)) return;
    const labelled = whole[5] && { kind: Number(whole[5]), guidance: Number(whole[6] ?? 0) };
    return { seed: whole[1], number: Number(whole[2]), branches, ...(mean && { mean }), ...labelled };
  }

  /* Check that the picture's start means, if any, fit the number of channels of the model. */
  const fits = ({ between, mean }, channels) =>
    between ? between.every((each) => fits(each, channels)) : !mean || mean.length === channels;

  /* Check that the branches of a picture begin at levels of the model. */
  const reachable = ({ between, branches = [] }, top) =>
    between ? between.every((each) => reachable(each, top)) : !(branches[0]?.level > top);

  /* Check that a picture has no label, or one of as many. */
  const known = ({ between, kind }, labels) =>
    between ? between.every((each) => known(each, labels)) : !(kind >= labels);

  /* Check that a picture has no branches and the start of its number. */
  const plain = ({ between, branches, mean }) =>
    between ? between.every(plain) : !branches.length && !mean;

  /* The reason why sampling is not possible here; empty if it is. */
  function hindrance() {
    if (location.protocol === "file:") return "file";
    const able = typeof WebAssembly === "object" && typeof Worker === "function";
    if (!able || !WebAssembly.validate(new Uint8Array(SIMD))) return "old";
    try {
      new WebAssembly.Module(new Uint8Array(SIMD));
      return "";
    } catch {
      return "policy"; // the host's policy
    }
  }

  /* A group of buttons: Tab reaches one, the arrow keys reach the others. */
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
    go(shown()[0] ?? bar.querySelector("button"));
  }

  class Sampler {
    /* One of the models of a figure, with its element. */
    constructor(figure, box) {
      const find = (name) => box.querySelector(`.sampler-${name}`);
      Object.assign(this, { figure, box, words: box.dataset });
      for (const name of [
        "new", "several", "details", "save", "film", "link", "cost", "told", "fetch", "trouble",
        "slider", "readout", "shows", "about", "shelf", "start",
        "hues", "between", "one", "other", "share", "labels", "guidance", "kept", "tabs",
      ]) this[name] = find(name);
      this.noise = "noise" in box.dataset; // it starts from noise, and nothing is random after that
      this.ofPicture = [...box.querySelectorAll("[inert]")]; // controls that need a picture
      this.canvas = box.querySelector("canvas");
      this.poster = box.querySelector("img");
      this.pictures = [];
      this.running = new Map(); // active and waiting pictures, by job
      this.number = 0; // number of the next sample
      this.seed = String(crypto.getRandomValues(new Uint32Array(1))[0] % 1000000);
      this.jobs = 0;
      this.listen();
      toolbar(find("bar"));
      toolbar(find("corner"));
      box.classList.add("live");
      this.update();
      this.follow();
    }

    listen() {
      const when = (thing, event, task) => thing.addEventListener(event, task);
      when(this.new, "click", () => (this.drawing ? this.stop() : this.sample()));
      when(this.several, "click", () => this.idle(this.several) || this.sample(SEVERAL));
      when(this.details, "click", () => this.redo());
      when(this.save, "click", () => this.keep());
      when(this.film, "click", () => this.record());
      when(this.link, "click", () => this.address());
      when(this.slider, "input", () => this.scrub(Number(this.slider.value)));
      when(this.shows, "change", () => this.paint());
      when(this.shelf, "change", (event) => this.choose(this.pictures[event.target.value]));
      when(this.start, "change", () => this.recolour());
      for (const list of [this.one, this.other])
        when(list, "change", ({ target }) => (list.chosen = list.end = this.pictures[target.value]));
      if (this.labels) when(this.labels, "change", () => this.relabel());
      when(this.tabs, "change", () => this.reveal());
      when(this.share, "input", () => this.mix(true));
      when(this.share, "change", () => this.mix(false));
      when(this.box, "keydown", (event) => event.key === "Escape" && this.stop());
      when(window, "hashchange", () => this.follow());
      when(document, "visibilitychange", () => this.pause());
      const observer = new IntersectionObserver((entries) => {
        this.away = !entries.at(-1).isIntersecting; // a quick jump away and back brings two
        this.pause();
      });
      observer.observe(this.box);
    }

    /* Open the picture of a link; in data-saving mode, only after a press. */
    follow() {
      const asked = new URLSearchParams(location.hash.slice(1));
      if (asked.get("figure") !== this.figure.id) return;
      const boxes = [...this.figure.querySelectorAll(".sampler")];
      const meant = boxes.find((box) => box.dataset.label === asked.get("model")) ?? boxes[0];
      if (meant !== this.box) return;
      const picture = read(asked.get("picture") ?? "");
      const labels = this.labels ? this.labels.querySelectorAll("input[type=radio]").length - 1 : 0;
      const able = picture && fits(picture, this.start.type === "color" ? 3 : 1)
        && known(picture, labels);
      if (!able || (this.noise && !plain(picture)))
        return this.tell(this.words.unreadable);
      const [state, predicted] = this.shows.querySelectorAll("input");
      (asked.get("shown") === "predicted" ? predicted : state).checked = true;
      this.wanted = { picture, level: Number(asked.get("level") ?? 0) };
      this.chooseLabel(picture);
      select(this.figure, this.words.label);
      this.figure.scrollIntoView();
      if (this.pool || !navigator.connection?.saveData) this.sample();
      else this.tell(this.words.waiting);
    }

    /* Draw the next sample or samples, or the picture of a link. */
    sample(count = 1) {
      const { wanted } = this;
      if (wanted) {
        this.wanted = undefined;
        const drawn = this.drawn(wanted.picture);
        if (drawn) return this.choose(drawn, wanted.level);
        return this.draw([fresh(wanted.picture)], { level: wanted.level });
      }
      const next = () =>
        fresh({ seed: this.seed, number: this.number++, branches: [], ...this.label() });
      this.draw(Array.from({ length: count }, next));
    }

    /* The chosen label and guidance of the next picture, if the model takes labels. */
    label() {
      const value = this.labels?.querySelector(":checked").value;
      return value ? { kind: Number(value), guidance: Number(this.guidance.value) } : {};
    }

    chooseLabel({ between, kind = "", guidance = 0 }) {
      if (!this.labels || between) return;
      this.labels.querySelector(`[value="${kind}"]`).checked = true;
      this.guidance.value = guidance;
      this.labels.querySelector("b").textContent = guidance.toFixed(1);
    }

    /* Draw the visible sample, or the next, with the label that a visitor chose. */
    relabel() {
      const { picture } = this;
      this.labels.querySelector("b").textContent = Number(this.guidance.value).toFixed(1);
      if (!picture || picture.between) return this.sample();
      const { seed, number, mean } = picture;
      const wanted = { seed, number, branches: [], ...(mean && { mean }), ...this.label() };
      const drawn = this.drawn(wanted);
      if (drawn) this.choose(drawn);
      else this.draw([fresh(wanted)]);
    }

    /* The stored picture that is the wanted one, unless it was stopped. */
    drawn(wanted) {
      const running = new Set(this.running.values());
      const able = this.pictures.filter((each) => each.whole || running.has(each));
      return able.find((each) => written(each) === written(wanted));
    }

    /* Resample with new noise: from the visible level or, for a finished picture, from the level
       at which about half of it was decided. */
    redo() {
      const { picture, at } = this;
      if (this.idle(this.details)) return;
      const middle = (level) => level && level <= HALF * picture.levels[0];
      const level = picture.levels[at] || picture.levels.find(middle);
      if (!level) return;
      this.draw([branchOf(picture, level, this.unused(picture))]);
    }

    /* The first unused branch number of a sample. */
    unused({ seed, number }) {
      const siblings = this.pictures.filter((each) => each.seed === seed && each.number === number);
      const taken = siblings.flatMap(({ branches = [] }) => branches.map((branch) => branch.number));
      return Math.max(0, ...taken) + 1;
    }

    recolour() {
      if (!this.picture || this.picture.between) return;
      const value = this.start.value;
      const part = (place) => parseInt(value.slice(place, place + 2), 16) / 255;
      const coloured = this.model.channels > 1;
      const mean = coloured ? [1, 3, 5].map((at) => Number(part(at).toFixed(3))) : [Number(value)];
      this.draw([fresh({ ...said(this.picture), mean })]);
    }

    /* Interpolate between the two selected pictures, in few levels while the slider is dragged. */
    mix(coarse) {
      const [one, other] = [this.one, this.other].map((list) => list.end);
      if (!one || !other || (coarse && (!this.model.predicts || reducedMotion.matches))) return;
      const picture = { between: [said(one), said(other)], share: Number(this.share.value) };
      const percent = Math.round(100 * picture.share);
      this.share.setAttribute("aria-valuetext", fill(this.share.dataset.text, { percent }));
      if (!coarse) return this.draw([fresh(picture)]);
      if (this.rough && this.drawing) this.later = picture; // draw the newest when the current one is done
      else this.draw([fresh(picture)], { coarse: true });
    }

    /* Cancel current drawing and draw pictures. coarse: use few levels and do not store them;
       level: the final position of the slider. The first picture is shown large. */
    async draw(pictures, { coarse = false, level = 0 } = {}) {
      this.halt();
      const asked = (this.asked = {});
      this.trouble.hidden = true;
      this.busy(true);
      if (!(await this.come()) || this.asked !== asked) return;
      const [top] = this.model.visited;
      if (pictures.some((picture) => !reachable(picture, top))) {
        this.asked = undefined;
        this.busy(false);
        return this.tell(this.words.unreadable);
      }
      Object.assign(this, { asked: undefined, rough: coarse, aim: level });
      if (!coarse) this.tell(pictures.length > 1 ? this.words.several : this.words.begun);
      this.many = pictures.length > 1;
      this.picture = pictures[0];
      this.following = true;
      this.slider.max = this.model.visited.length - 1;
      for (const picture of pictures) {
        start(picture);
        this.running.set(++this.jobs, picture);
      }
      if (!coarse) this.add(pictures);
      if (this.many) this.kept.checked = true; // only the first is large
      for (const [id, picture] of this.running)
        this.pool.submit({ id, picture: said(picture), coarse, start: () => start(picture) });
      if (!coarse) this.choose(this.picture);
    }

    /* Start the workers; return whether they started. */
    async come() {
      if (!this.coming || !this.model) this.tell(this.words.fetching);
      this.coming ??= this.load();
      return this.coming;
    }

    async load() {
      this.cost.hidden = true;
      try {
        const { WorkerPool } = await import(new URL("worker-pool.js", WORKER));
        const whole = (uri) => new URL(uri, document.baseURI).href;
        const files = { model: whole(this.words.model), weights: whole(this.words.weights) };
        const pool = new WorkerPool((data) => this.hear(data), (fault) => this.lose(pool, fault));
        this.pool = pool;
        this.pause();
        this.model = await pool.open(files, (percent) => {
          if (this.asked) this.tell(fill(this.words.coming, { percent }));
          Object.assign(this.fetch, { hidden: !this.asked, value: percent });
        });
        this.fetch.hidden = true;
        this.init();
        return true;
      } catch (fault) {
        this.lose(this.pool, fault);
        return false;
      }
    }

    lose(pool, fault) {
      console.info(fault);
      pool?.close();
      this.pool = this.coming = undefined;
      this.cost.hidden = Boolean(this.model);
      this.tell("");
      this.trouble.hidden = false;
      this.fetch.hidden = true;
      this.running.clear();
      this.asked = undefined;
      this.busy(false);
    }

    /* Show the controls of a loaded model. */
    init() {
      const { channels, size, range, predicts } = this.model;
      this.shows.classList.toggle("absent", !predicts);
      Object.assign(this.canvas, { width: size, height: size });
      if (channels > 1) this.offerHues();
      else Object.assign(this.start, { min: range[0].toFixed(3), max: range[1].toFixed(3) });
    }

    /* Buttons for hues around the colour circle, taken from the model's initial states. */
    offerHues() {
      const names = this.hues.dataset.names.split(" ");
      this.hues.replaceChildren();
      for (const [place, colour] of this.model.hues.entries()) {
        if (!colour) continue;
        const button = Object.assign(document.createElement("button"), { type: "button" });
        button.setAttribute("aria-label", names[place]);
        button.style.background = hex(colour);
        button.addEventListener("click", () => {
          this.start.value = hex(colour);
          this.recolour();
        });
        this.hues.append(button);
      }
      toolbar(this.hues);
    }

    /* Handle a new level, or the end of a picture. */
    hear({ id, level, state, sharp, ended, seconds }) {
      const picture = this.running.get(id);
      if (!picture) return;
      if (state) {
        if (sharp) picture.sharps[picture.levels.length - 1] = sharp;
        picture.levels.push(level);
        picture.states.push(state);
        if (this.picture === picture && this.following) this.at = picture.levels.length - 1;
        if (reducedMotion.matches) return;
        // Flat levels come faster than a screen shows them.
        if (this.picture === picture) this.frame ??= requestAnimationFrame(() => this.paint());
      }
      if (!ended) return;
      this.running.delete(id);
      picture.seconds = ended === "done" ? seconds : undefined;
      picture.whole = ended === "done";
      if (ended === "diverged") this.diverged = level;
      if (ended === "diverged") this.stop();
      this.finish(picture);
    }

    finish(picture) {
      const { rough, later, words } = this;
      if (!this.drawing) this.busy(false);
      this.later = undefined;
      if (rough && later) return this.draw([fresh(later)], { coarse: true });
      if (this.picture === picture && this.following) {
        const place = picture.levels.findIndex((level) => level <= this.aim);
        this.at = place < 0 ? picture.levels.length - 1 : place;
      }
      if (!rough) this.sketch(picture);
      if (this.picture === picture) this.paint();
      if (rough || this.drawing) return;
      const whole = this.many ? words.all : words.done;
      if (this.diverged === undefined) this.tell(picture.whole ? whole : words.stopped);
      else this.tell(fill(words.diverged, { level: this.diverged }));
    }

    get drawing() {
      return this.running.size > 0 || Boolean(this.asked);
    }

    /* Stop at the visitor's request: pictures end at the level that they have reached. */
    stop() {
      if (!this.drawing) return;
      this.asked = undefined;
      for (const id of this.pool?.stop() ?? []) {
        const picture = this.running.get(id);
        this.running.delete(id);
        this.drop(picture);
      }
      if (this.running.size) return;
      this.tell(this.words.stopped);
      this.busy(false);
    }

    /* Cancel all drawing; later messages about it are ignored. */
    halt() {
      this.asked = this.diverged = undefined;
      const waiting = new Set(this.pool?.stop());
      const ended = [...this.running];
      this.running.clear();
      for (const [id, picture] of ended)
        if (waiting.has(id)) this.drop(picture);
        else this.sketch(picture);
    }

    /* Pause drawing while the figure is not visible. */
    pause() {
      this.pool?.pause(Boolean(this.away || document.hidden));
    }

    busy(on) {
      this.new.textContent = on ? this.words.stop : this.words.new;
      this.update();
    }

    idle(button) {
      return button.getAttribute("aria-disabled") === "true";
    }

    /* The number of pictures that fit into memory. */
    most() {
      const { visited, channels, size } = this.model;
      const fit = Math.floor(NUMBERS / (2 * visited.length * channels * size ** 2));
      return clamp(fit, FEWEST, MOST);
    }

    /* Store pictures and remove the oldest ones. */
    add(pictures) {
      for (const picture of pictures) {
        Object.assign(picture, { name: this.name(picture), thumbs: [] });
        const label = this.thumbnail(picture, "kept");
        Object.assign(picture, { label, radio: label.firstChild });
        this.attach(picture);
        this.pictures.push(picture);
      }
      while (this.pictures.length > this.most()) this.pictures.shift().label.remove();
      this.count();
    }

    /* A thumbnail of a picture that can be chosen, as one of a group of radio buttons. */
    thumbnail(picture, group) {
      const make = (tag, values) => Object.assign(document.createElement(tag), values);
      const label = make("label", { picture, className: "sampler-thumb", title: picture.name });
      const radio = make("input", { type: "radio", name: `${this.words.group}-${group}` });
      const thumb = make("canvas");
      label.append(radio, thumb, make("span", { textContent: picture.name }));
      picture.thumbs.push(thumb);
      this.sketch(picture);
      return label;
    }

    /* Remove a picture that was never begun. */
    drop(picture) {
      picture.label?.remove();
      this.pictures = this.pictures.filter((each) => each !== picture);
      this.count();
      if (this.picture === picture) this.picture = undefined;
      if (!this.picture && this.pictures.length) this.choose(this.pictures.at(-1));
    }

    count() {
      this.pictures.forEach((each, place) => (each.radio.value = place));
      this.offer();
    }

    /* Place a branch after its parent and its siblings. */
    attach({ parent, label }) {
      let last = parent?.label;
      if (!last?.isConnected) return this.shelf.append(label);
      while (below(last.nextElementSibling?.picture, parent)) last = last.nextElementSibling;
      last.after(label);
      label.classList.add("sampler-branch");
    }

    /* The thumbnails of a picture in its current state. */
    sketch({ thumbs = [], states }) {
      if (states.length) for (const thumb of thumbs) show(thumb, states.at(-1), this.model);
    }

    /* The thumbnails of "from one to another": all pictures that are not interpolations. Those that
       are there already stay, so that the one with the focus keeps it. */
    offer() {
      const ends = this.pictures.filter((picture) => !picture.between);
      this.between.hidden = ends.length < 2;
      for (const [list, usual] of [[this.one, ends.at(-2)], [this.other, ends.at(-1)]]) {
        const labels = [...list.querySelectorAll("label")];
        for (const label of labels) if (!ends.includes(label.picture)) label.remove();
        for (const picture of ends)
          if (!labels.some((label) => label.picture === picture))
            list.append(this.thumbnail(picture, list.className));
        list.end = ends.includes(list.chosen) ? list.chosen : usual;
        for (const label of list.querySelectorAll("label")) {
          label.firstChild.value = this.pictures.indexOf(label.picture);
          label.firstChild.checked = label.picture === list.end;
        }
      }
    }

    name({ number, branches, mean, kind, between, share }) {
      const { named, branched, started, shared } = this.words;
      if (between) {
        const names = between.map((each) => this.name(each));
        return fill(shared, { one: names[0], other: names[1], percent: Math.round(100 * share) });
      }
      const last = branches.at(-1);
      const input = kind !== undefined && this.labels.querySelector(`[value="${kind}"]`);
      const parts = [input ? `${input.parentNode.textContent.trim()}: ` : "", fill(named, { number })];
      if (last) parts.push(fill(branched, last));
      if (mean) parts.push(fill(started, { mean: mean.length > 1 ? hex(mean) : mean[0] }));
      return parts.join("");
    }

    /* Scroll the lists of thumbnails, and nothing else, to the chosen ones. */
    reveal() {
      for (const list of [this.shelf, this.one, this.other]) {
        const thumb = list.querySelector("label:has(:checked)");
        if (!thumb?.offsetWidth) continue;
        const [room, box] = [list, thumb].map((element) => element.getBoundingClientRect());
        const way = (low, high) => Math.min(box[low] - room[low], 0) + Math.max(box[high] - room[high], 0);
        list.scrollBy(way("left", "right"), way("top", "bottom"));
      }
    }

    choose(picture, level = 0) {
      picture.radio.checked = true;
      this.reveal();
      this.picture = picture;
      const place = picture.levels.findIndex((each) => each <= level);
      this.at = place < 0 ? picture.levels.length - 1 : place;
      this.following = level === 0 && [...this.running.values()].includes(picture);
      if (reducedMotion.matches && this.following) this.update();
      else this.paint();
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
      cancelAnimationFrame(this.frame);
      this.frame = undefined;
      const { picture, at, canvas, model } = this;
      if (!picture?.levels.length) return;
      const newest = at === picture.levels.length - 1; // its prediction is not available yet
      const sharp = this.predicted && picture.levels[at] && picture.sharps[newest ? at - 1 : at];
      show(canvas, sharp || picture.states[at], model);
      canvas.hidden = false;
      this.poster.classList.add("covered");
      this.update();
    }

    /* Update texts and controls for the visible picture. */
    update() {
      const { picture, at, model, drawing } = this;
      const level = picture?.levels[at];
      const fixed = drawing || !picture || Boolean(picture.between);
      for (const controls of this.ofPicture) controls.inert = !picture; // they keep their space
      const idle = (button, value) => button.setAttribute("aria-disabled", String(value));
      idle(this.several, drawing);
      idle(this.details, fixed || level === undefined);
      for (const each of [this.save, this.film, this.link]) idle(each, level === undefined);
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

    /* The origin of a picture, the time it took, and the command that draws the same. */
    origin({ seed, number, branches, mean, kind, guidance, between, seconds }) {
      const { seeded, took, command } = this.words;
      const told = between ? [] : [fill(seeded, { number, seed })];
      if (seconds === undefined) return told.join(" ");
      told.push(fill(took, { seconds: seconds.toFixed(1) }));
      // A number may be another class's name, and a shell may split a name.
      const title = kind === undefined ? "" : this.labels.querySelector(`[value="${kind}"] + span`).textContent;
      const labels = title && ` --labels ${/^[\w.-]+$/.test(title) ? title : kind}`;
      const towards = guidance ? ` --guidance ${guidance}` : "";
      const count = `${number + 1}${labels}${towards}`;
      if (!between && !branches.length && !mean) told.push(fill(command, { seed, count }));
      return told.join(" ");
    }

    /* Set the control of the flat start to the value of the picture. */
    mean(state) {
      const plane = this.model.size ** 2;
      const means = Array.from({ length: this.model.channels }, (_, c) =>
        state.subarray(c * plane, (c + 1) * plane).reduce((sum, value) => sum + value, 0) / plane);
      this.start.value = means.length > 1 ? hex(means) : means[0].toFixed(3);
    }

    /* Save the visible picture as a PNG. */
    keep() {
      if (this.idle(this.save)) return;
      const { picture, at } = this;
      const ending = `-level-${picture.levels[at]}${this.predicted ? "-predicted" : ""}.png`;
      enlarged(this.canvas).canvas.toBlob((blob) => this.hand(picture, blob, ending));
    }

    /* Save all levels as a film. */
    async record() {
      if (this.idle(this.film)) return;
      const { picture, model, words } = this;
      const states = [...picture.states, ...Array(REST).fill(picture.states.at(-1))];
      const small = document.createElement("canvas");
      show(small, states[0], model);
      const pen = enlarged(small, 2); // H.264 requires even sizes
      const draw = (n) => {
        show(small, states[n], model);
        pen.drawImage(small, 0, 0, pen.canvas.width, pen.canvas.height);
      };
      this.film.setAttribute("aria-disabled", "true");
      this.tell(words.filming);
      try {
        const { film } = await import(new URL("film.js", WORKER));
        const blob = await film(pen.canvas, { count: states.length, fps: FPS, draw });
        const ending = blob.type.slice(6, 10).replace(";", ""); // of "video/mp4" or "video/webm;codecs=vp8"
        this.hand(picture, blob, `.${ending}`);
        this.tell(fill(words.filmed, { format: ending === "mp4" ? "MP4" : "WebM" }));
      } catch (fault) {
        console.info(fault);
        this.tell(words.unfilmed);
      }
      this.update();
    }

    hand(picture, blob, ending) {
      const address = URL.createObjectURL(blob);
      const download = `${this.words.label}-${written(picture)}${ending}`;
      Object.assign(document.createElement("a"), { href: address, download }).click();
      setTimeout(() => URL.revokeObjectURL(address), 10000);
    }

    /* Put the link to the visible picture into the address bar and, if permitted, copy it. */
    async address() {
      if (this.idle(this.link)) return;
      const { picture, at } = this;
      const model = this.figure.querySelector(".sampler-choices") && { model: this.words.label };
      const shown = this.predicted && { shown: "predicted" };
      const level = picture.levels[at];
      const said = { figure: this.figure.id, ...model, picture: written(picture), level, ...shown };
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

  /* Convert red, green and blue in [0, 1] to the format of CSS and <input type="color">. */
  function hex(colour) {
    const two = (value) => Math.round(255 * clamp(value, 0, 1)).toString(16).padStart(2, "0");
    return `#${colour.map(two).join("")}`;
  }

  /* Create a larger canvas for the same picture, each pixel a square of a multiple of `step`
     pixels; return its context. */
  function enlarged(canvas, step = 1) {
    const factor = Math.max(1, Math.floor(SAVED / step / canvas.width)) * step;
    const large = document.createElement("canvas");
    Object.assign(large, { width: canvas.width * factor, height: canvas.height * factor });
    const pen = large.getContext("2d");
    pen.imageSmoothingEnabled = false;
    pen.drawImage(canvas, 0, 0, large.width, large.height);
    return pen;
  }

  /* A new picture without levels. */
  const fresh = (wanted) => ({ ...said(wanted), levels: [], states: [], sharps: [] });

  /* A branch of a picture from a level on, with the noise of branch `number`. */
  function branchOf(parent, level, number) {
    const above = parent.branches.filter((branch) => branch.level > level);
    const branches = [...above, { level, number }];
    return { ...fresh({ ...said(parent), branches }), parent, fork: level };
  }

  /* The state to draw a picture from: null for its beginning, undefined while it is unknown. A
     branch shares the earlier levels of its parent. */
  function start(picture) {
    const { parent, fork } = picture;
    if (!parent) return null;
    const at = parent.levels.indexOf(fork);
    if (at < 0) return;
    for (const list of ["levels", "states", "sharps"])
      picture[list] = parent[list].slice(0, at + 1);
    picture.sharps[at] = undefined;
    return { level: fork, state: parent.states[at] };
  }

  /* Show the element of one model. */
  function select(figure, model) {
    for (const box of figure.querySelectorAll(".sampler"))
      box.hidden = box.dataset.label !== model;
    for (const radio of figure.querySelectorAll(".sampler-choices input"))
      radio.checked = radio.value === model;
  }

  const below = (picture, root) =>
    picture && (picture.parent === root || below(picture.parent, root));

  /* The random parameters of a picture, without its states. */
  function said({ seed, number, branches, mean, kind, guidance, between, share }) {
    if (between) return { between, share };
    const labelled = kind !== undefined && { kind, guidance };
    return { seed, number, branches, ...(mean && { mean }), ...labelled };
  }

  /* Draw channels × rows × columns in [0, 1], clipped and rounded as in sitegen. */
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
    const choices = figure.querySelector(".sampler-choices");
    for (const box of figure.querySelectorAll(".sampler")) {
      const told = box.querySelector(".sampler-why");
      if (why) {
        told.textContent = told.dataset[why];
        told.classList.add("told");
        continue;
      }
      try {
        new Sampler(figure, box);
        choices?.classList.add("live");
      } catch (fault) {
        console.error(fault);
        told.classList.add("told");
      }
    }
    choices?.addEventListener("change", ({ target }) => select(figure, target.value));
  }
}

/* Workers that draw the pictures of one model: the first when one is asked for, more where several
   wait and the device has cores for them. One thread each.

   A task is { id, picture, coarse, start }, as static/sampler/worker.js draws it; start() tells from
   where: null for the beginning, a level and the state there, or nothing as long as that is not
   known. */

const [MOST, MOST_OF_PHONES] = [4, 2]; // some 45 MB each for the models that we ship
const PATIENCE = 30000; // milliseconds in which something more of a file has to come

/* What was fetched, by its address, so that figures and workers share it. */
const fetched = new Map();
const damaged = new Set(); // what did not serve, so that no cache may keep it

function bring(address, tell) {
  if (!fetched.has(address)) {
    const cache = damaged.has(address) ? "reload" : "default";
    const coming = download(address, cache, tell);
    fetched.set(address, coming);
    coming.catch(() => fetched.delete(address)); // the next press tries again
  }
  return fetched.get(address);
}

/* A file as a blob; rejects where the host has it not, or falls silent. Each tenth that has come is
   told in percent, where the host sends the length. */
async function download(address, cache, tell = () => {}) {
  const ending = new AbortController();
  let timer;
  const wait = () => {
    clearTimeout(timer);
    timer = setTimeout(() => ending.abort(new Error(`${address}: nothing comes`)), PATIENCE);
  };
  try {
    wait();
    const answer = await fetch(address, { cache, signal: ending.signal });
    if (!answer.ok) throw new Error(`${address}: ${answer.status}`);
    const parts = [];
    const whole = !answer.headers.get("Content-Encoding") && answer.headers.get("Content-Length");
    let [come, told] = [0, 0];
    for (const reader = answer.body.getReader(); ; wait()) {
      const { value, done } = await reader.read();
      if (done) return new Blob(parts);
      parts.push(value);
      come += value.length;
      const tenths = Math.floor((10 * come) / whole);
      if (whole > 0 && tenths > told) tell(10 * (told = tenths));
    }
  } finally {
    clearTimeout(timer);
  }
}

/* How many pictures can be drawn at once without harm to anything else. */
export function room() {
  const phone = matchMedia("(pointer: coarse)").matches || navigator.deviceMemory <= 2;
  return Math.min(navigator.hardwareConcurrency || 1, phone ? MOST_OF_PHONES : MOST);
}

export class Crew {
  #queue = [];
  #hands = []; // each a worker, whether it is ready, and the id of what it draws
  #limit = room();

  /* hear: is told what workers tell of pictures; lost: that none can be had. */
  constructor(hear, lost) {
    Object.assign(this, { hear, lost });
  }

  /* The model's properties once its first worker has it; rejects where that does not come. `tell`
     is called with the percentage of the weights that has come. */
  async open({ model, weights }, tell) {
    const files = { wasm: new URL("kernels.wasm", import.meta.url).href, model, weights };
    const names = Object.keys(files);
    const blobs = await Promise.all(names.map((name) =>
      bring(files[name], name === "weights" ? tell : undefined)));
    this.files = Object.fromEntries(names.map((name, place) => [name, blobs[place]]));
    return this.#hire().catch((fault) => {
      for (const address of Object.values(files)) {
        fetched.delete(address); // one of them is not what it should be
        damaged.add(address);
      }
      throw fault;
    });
  }

  submit(task) {
    this.#queue.push(task);
    this.#assign();
  }

  /* End all that is drawn, and forget what waits; the ids of that. */
  stop() {
    const waiting = this.#queue.map(({ id }) => id);
    this.#queue = [];
    this.#tell({ stop: true });
    return waiting;
  }

  /* While nobody looks, nothing is drawn, and workers that have nothing to do are let go. */
  pause(on) {
    this.paused = on;
    this.#tell({ pause: on });
    if (!on) return this.#assign();
    for (const hand of this.#hands.slice(1)) if (!hand.id) this.#dismiss(hand);
  }

  close() {
    for (const hand of [...this.#hands]) this.#dismiss(hand);
  }

  get size() {
    return this.#hands.length;
  }

  #tell(message) {
    for (const { worker } of this.#hands) worker.postMessage(message);
  }

  #dismiss(hand) {
    hand.worker.terminate();
    this.#hands.splice(this.#hands.indexOf(hand), 1);
  }

  #hire() {
    const worker = new Worker(new URL("worker.js", import.meta.url), { type: "module" });
    const hand = { worker, ready: false, id: undefined };
    this.#hands.push(hand);
    return new Promise((resolve, reject) => {
      const fail = (fault) => {
        if (hand.ready) return this.lost(fault);
        this.#dismiss(hand);
        this.#limit = Math.max(1, this.#hands.length); // it has no room for more, it seems
        reject(fault);
      };
      worker.onerror = fail;
      worker.onmessage = ({ data }) => {
        if (data.failed) return fail(data.failed);
        if (!data.ready) return this.#report(hand, data);
        hand.ready = true;
        if (this.paused) worker.postMessage({ pause: true });
        resolve(data.ready);
        this.#assign();
      };
      worker.postMessage({ load: this.files });
    });
  }

  #report(hand, data) {
    if (data.ended) hand.id = undefined;
    this.hear(data);
    this.#assign();
  }

  /* Give what can begin to who is idle, and hire where that is not enough. */
  #assign() {
    let hiring = this.#hands.filter(({ ready }) => !ready).length;
    for (const task of [...this.#queue]) {
      const from = task.start();
      if (from === undefined) continue;
      const hand = this.#hands.find(({ ready, id }) => ready && !id);
      if (hand) {
        this.#queue.splice(this.#queue.indexOf(task), 1);
        const { id, picture, coarse } = task;
        hand.id = id;
        hand.worker.postMessage({ draw: id, picture, from: from ?? undefined, coarse });
      } else if (hiring > 0) hiring--;
      else if (this.#hands.length < this.#limit && !this.paused) this.#hire().catch(() => {});
      else return;
    }
  }
}

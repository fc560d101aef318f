/* Workers that draw the pictures of one model: the first when one is asked for, more where several
   wait and the device has cores for them. One thread each.

   A task is { id, picture, coarse, start }, as static/sampler/worker.js draws it; start() tells from
   where: null for the beginning, a level and the state there, or nothing as long as that is not
   known. */

const [MOST, MOST_OF_PHONES] = [4, 2]; // some 45 MB each for the models that we ship

/* What was fetched or is, by its address, so that figures and workers share it: what comes, how
   many wait for it, and what ends that. */
const fetched = new Map();
const damaged = new Set(); // what did not serve, so that no cache may keep it

function bring(address) {
  if (!fetched.has(address)) {
    const cache = damaged.has(address) ? "reload" : "default";
    const ending = new AbortController();
    const coming = fetch(address, { cache, signal: ending.signal }).then((answer) => {
      if (!answer.ok) throw new Error(`${address}: ${answer.status}`);
      return answer.blob();
    });
    const entry = { coming, waiting: 0, ending };
    fetched.set(address, entry);
    const forget = () => fetched.get(address) === entry && fetched.delete(address);
    coming.then(() => (entry.waiting = Infinity), forget); // the next press tries again
  }
  const entry = fetched.get(address);
  entry.waiting++;
  return entry.coming;
}

/* One waits no more; what nobody waits for need not come. */
function leave(address) {
  const entry = fetched.get(address);
  if (!entry || --entry.waiting) return;
  fetched.delete(address);
  entry.ending.abort();
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
  #wanted = []; // addresses of what it waits for

  /* hear: is told what workers tell of pictures; lost: that none can be had. */
  constructor(hear, lost) {
    Object.assign(this, { hear, lost });
  }

  /* The model's properties once its first worker has it; rejects where that does not come. */
  async open({ model, weights }) {
    const files = { wasm: new URL("kernels.wasm", import.meta.url).href, model, weights };
    const names = Object.keys(files);
    this.#wanted = Object.values(files);
    const blobs = await Promise.all(names.map((name) => bring(files[name])));
    if (this.closed) throw new Error("nobody waits any more");
    this.#wanted = [];
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
    this.closed = true;
    for (const address of this.#wanted.splice(0)) leave(address);
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

/* A worker pool for the pictures of one model. The first worker starts with the first request, more
   start if several tasks wait and the device has enough cores. Each has one thread.

   A task is { id, picture, coarse, start } for static/sampler/worker.js; start() returns the state to
   draw from: null for the beginning, a level and its state, or undefined while it is unknown. */

const [MOST, MOST_OF_PHONES] = [4, 2]; // about 45 MB each for the shipped models
const PATIENCE = 30000; // milliseconds to wait for more data of a file
const REPORT = 250; // milliseconds from one report of progress to the next

/* Fetched files by address, shared by figures and workers. */
const fetched = new Map();
const damaged = new Set(); // files that were invalid, to bypass the cache

function bring(address, tell) {
  if (!fetched.has(address)) {
    const cache = damaged.has(address) ? "reload" : "default";
    const coming = download(address, cache, tell);
    fetched.set(address, coming);
    coming.catch(() => fetched.delete(address)); // the next press tries again
  }
  return fetched.get(address);
}

/* Download the bytes of a file; reject if it is missing or the transfer stalls. Progress is reported
   in percent, if the host sends the length. */
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
    let [come, reported] = [0, performance.now()];
    for (const reader = answer.body.getReader(); ; wait()) {
      const { value, done } = await reader.read();
      if (done) return joined(parts, come);
      parts.push(value);
      come += value.length;
      if (!(whole > 0) || performance.now() < reported + REPORT) continue;
      reported = performance.now();
      tell(Math.floor((100 * come) / whole));
    }
  } finally {
    clearTimeout(timer);
  }
}

function joined(parts, length) {
  const bytes = new Uint8Array(length);
  let at = 0;
  for (const part of parts) {
    bytes.set(part, at);
    at += part.length;
  }
  return bytes.buffer;
}

/* The number of workers that leaves the device responsive. */
export function room() {
  const phone = matchMedia("(pointer: coarse)").matches || navigator.deviceMemory <= 2;
  return Math.min(navigator.hardwareConcurrency || 1, phone ? MOST_OF_PHONES : MOST);
}

export class WorkerPool {
  #queue = [];
  #workers = []; // each with its worker, a ready flag and the id of its task
  #limit = room();

  /* hear: callback for messages about pictures; lost: callback if no worker can run. */
  constructor(hear, lost) {
    Object.assign(this, { hear, lost });
  }

  /* Return the model's properties once the first worker has loaded it; reject if loading fails.
     `tell` is called with the percentage of the weights that was received. */
  async open({ model, weights }, tell) {
    const files = { wasm: new URL("kernels.wasm", import.meta.url).href, model, weights };
    const names = Object.keys(files);
    const contents = await Promise.all(names.map((name) =>
      bring(files[name], name === "weights" ? tell : undefined)));
    this.files = Object.fromEntries(names.map((name, place) => [name, contents[place]]));
    return this.#spawn().catch((fault) => {
      for (const address of Object.values(files)) {
        fetched.delete(address); // one of the files is invalid
        damaged.add(address);
      }
      throw fault;
    });
  }

  submit(task) {
    this.#queue.push(task);
    this.#assign();
  }

  /* Stop all drawing and remove waiting tasks; return their ids. */
  stop() {
    const waiting = this.#queue.map(({ id }) => id);
    this.#queue = [];
    this.#tell({ stop: true });
    return waiting;
  }

  /* While the figure is not visible, pause drawing and terminate idle workers. */
  pause(on) {
    this.paused = on;
    this.#tell({ pause: on });
    if (!on) return this.#assign();
    for (const member of this.#workers.slice(1)) if (!member.id) this.#terminate(member);
  }

  close() {
    for (const member of [...this.#workers]) this.#terminate(member);
  }

  get size() {
    return this.#workers.length;
  }

  #tell(message) {
    for (const { worker } of this.#workers) worker.postMessage(message);
  }

  #terminate(member) {
    member.worker.terminate();
    this.#workers.splice(this.#workers.indexOf(member), 1);
  }

  #spawn() {
    const worker = new Worker(new URL("worker.js", import.meta.url), { type: "module" });
    const member = { worker, ready: false, id: undefined };
    this.#workers.push(member);
    return new Promise((resolve, reject) => {
      const fail = (fault) => {
        if (member.ready) return this.lost(fault);
        this.#terminate(member);
        this.#limit = Math.max(1, this.#workers.length); // the device probably has no memory for more
        reject(fault);
      };
      worker.onerror = fail;
      worker.onmessage = ({ data }) => {
        if (data.failed) return fail(data.failed);
        if (!data.ready) return this.#report(member, data);
        member.ready = true;
        if (this.paused) worker.postMessage({ pause: true });
        resolve(data.ready);
        this.#assign();
      };
      worker.postMessage({ load: this.files });
    });
  }

  #report(member, data) {
    if (data.ended) member.id = undefined;
    this.hear(data);
    this.#assign();
  }

  /* Assign ready tasks to idle workers, and start more workers if needed. */
  #assign() {
    let starting = this.#workers.filter(({ ready }) => !ready).length;
    for (const task of [...this.#queue]) {
      const from = task.start();
      if (from === undefined) continue;
      const member = this.#workers.find(({ ready, id }) => ready && !id);
      if (member) {
        this.#queue.splice(this.#queue.indexOf(task), 1);
        const { id, picture, coarse } = task;
        member.id = id;
        member.worker.postMessage({ draw: id, picture, from: from ?? undefined, coarse });
      } else if (starting > 0) starting--;
      else if (this.#workers.length < this.#limit && !this.paused) this.#spawn().catch(() => {});
      else return;
    }
  }
}

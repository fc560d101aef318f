/* The tiles that were drawn, and which one to draw next. Tiles are kept by their addresses, as text:
   { key, tile, state, picture }, a state as the worker sends it and a canvas. */

const [BYTES, COUNT] = [64e6, 400]; // limits of all maps of a page together

export class Store {
  tiles = new Map();
  held = 0; // bytes of states

  /* share: the part of the limits that this store has */
  constructor(share = 1) {
    Object.assign(this, { bytes: BYTES * share, count: Math.floor(COUNT * share) });
  }

  get(key) {
    return this.tiles.get(key);
  }

  /* Keep a tile, and drop those farthest away beyond the limits; `distance` takes a tile's place. */
  put(entry, distance) {
    this.#drop(entry.key);
    this.tiles.set(entry.key, entry);
    this.held += entry.state?.byteLength ?? 0;
    if (this.tiles.size <= this.count && this.held <= this.bytes) return;
    const farthest = [...this.tiles.values()]
      .map(({ key, tile }) => ({ key, away: key === entry.key ? 0 : distance(tile) }))
      .sort((one, other) => one.away - other.away);
    while (farthest.length > 1 && (this.tiles.size > this.count || this.held > this.bytes))
      this.#drop(farthest.pop().key);
  }

  clear() {
    this.tiles.clear();
    this.held = 0;
  }

  #drop(key) {
    this.held -= this.tiles.get(key)?.state?.byteLength ?? 0;
    this.tiles.delete(key);
  }
}

/* The address whose state a tile is drawn from; nothing for a start. Without randomness after the
   start, digit 0 continues the parent, and all others begin from the parent's finished picture: its
   descendant by digits 0. */
export function sourceOf({ start, digits }, { renoised, splits }) {
  if (!digits) return;
  const parent = digits.slice(0, -1);
  const isNoised = renoised && !digits.endsWith("0");
  return { start, digits: isNoised ? parent.padEnd(splits.length, "0") : parent };
}

/* The first drawing that the wanted addresses wait for: an address, and that of its source if it has
   one. `state` returns what is kept of an address, and `isBusy` whether it is drawn now or cannot be. */
export function nextOf(wanted, facts, state, isBusy) {
  for (const address of wanted)
    for (let missing = address; ; ) {
      if (state(missing) || isBusy(missing)) break;
      const source = sourceOf(missing, facts);
      if (!source || state(source)) return { address: missing, source };
      missing = source;
    }
}

/* The picture of static/sampler/worker.js that is a tile, and the level of its source. Without
   randomness, a start takes a step, for its prediction. */
export function pictureOf({ start, digits }, { splits, renoised, label, guidance }, seed) {
  const depth = digits.length;
  const until = (splits[depth] ?? 0) - (renoised && !depth ? 1 : 0);
  const picture = { seed, number: start, digits, until };
  if (label !== null && label !== undefined) Object.assign(picture, { kind: label, guidance });
  if (renoised && depth && !digits.endsWith("0")) picture.renoised = true;
  return { picture, level: splits[depth - 1] };
}

/* The random numbers of sitegen/generative/maths/noise.py: those of (seed, purpose, sample, level), by
   Philox and the ziggurat method (Marsaglia and Tsang 2000) as numpy's generator uses them for
   float32. They are identical to the last bit, except if a browser's logarithm differs in a draw
   from the tail, which is one in four thousand. */

export const Purpose = {
  STEP: 0, INITIAL_STATE: 1, PRIOR_NOISE: 2, BRANCH: 3, INITIAL_NOISE: 4, TILE: 5,
};

const BLOCKS = 128; // generated at a time, of eight words each
const LAYERS = 256;
const TAIL = 3.6541528853610088; // where the lowest layer ends and the tail begins
const AREA = 0.00492867323399; // of each layer
const STEPS = 2 ** 23; // float32 positions in a layer

const { fround } = Math;

/* Ends of the layers: |x| = place · width, certainly below `inside`, which numpy rounds; `height` is
   the density. */
function ziggurat() {
  const [width, height] = [new Float32Array(LAYERS), new Float32Array(LAYERS)];
  const inside = new Uint32Array(LAYERS);
  const density = (x) => Math.exp(-0.5 * x * x);
  const base = AREA / density(TAIL);
  let x = TAIL;
  [width[0], inside[0], height[0]] = [base / STEPS, Math.round((TAIL / base) * STEPS), 1];
  [width[LAYERS - 1], height[LAYERS - 1]] = [x / STEPS, density(x)];
  for (let layer = LAYERS - 2; layer > 0; layer--) {
    const above = Math.sqrt(-2 * Math.log(AREA / x + density(x)));
    inside[layer + 1] = Math.round((above / x) * STEPS);
    [width[layer], height[layer]] = [above / STEPS, density(above)];
    x = above;
  }
  return { width, height, inside };
}

const { width, height, inside } = ziggurat();

/* A stream of random words of 32 bits. */
class Words {
  constructor(kernels, seed, purpose, sample, level) {
    this.kernels = kernels;
    this.key = [BigInt(seed), BigInt(purpose)];
    this.counter = [BigInt(sample), BigInt(level)];
    this.room = kernels.room("words", 8 * BLOCKS);
    this.made = 1; // the first counter is never used
    this.left = 0;
  }

  next() {
    if (!this.left) {
      const { kernels, key, counter, room } = this;
      kernels.run.philox(room, BLOCKS, ...key, BigInt(this.made), ...counter);
      this.words = new Uint32Array(kernels.memory.buffer.slice(room, room + 32 * BLOCKS));
      this.made += BLOCKS;
      this.left = this.words.length;
    }
    return this.words[this.words.length - this.left--];
  }

  /* A uniform number in [0, 1). */
  fraction() {
    return (this.next() >>> 8) / 2 ** 24;
  }

  /* A uniform integer in [0, count) (Lemire 2019). */
  below(count) {
    const least = 2 ** 32 % count;
    for (;;) {
      const spread = BigInt(this.next()) * BigInt(count);
      if (Number(spread & 0xffffffffn) >= least) return Number(spread >> 32n);
    }
  }

  normal() {
    for (;;) {
      const word = this.next();
      const layer = word & 0xff;
      const place = word >>> 9;
      const x = fround(place * width[layer]) * (word & 0x100 ? -1 : 1);
      if (place < inside[layer]) return x;
      if (layer === 0) return this.#tail(place);
      const rise = fround(fround(height[layer - 1] - height[layer]) * fround(this.fraction()));
      if (fround(rise + height[layer]) < Math.exp(-0.5 * x * x)) return x;
    }
  }

  #tail(place) {
    for (;;) {
      const beyond = fround(fround(-1 / TAIL) * fround(Math.log1p(-this.fraction())));
      const other = -fround(Math.log1p(-this.fraction()));
      if (2 * other > fround(beyond * beyond)) {
        const x = fround(fround(TAIL) + beyond);
        return place & 0x100 ? -x : x;
      }
    }
  }
}

/* Standard normal numbers. `seed` is a BigInt if a Number cannot represent it. */
export function normals(kernels, seed, purpose, sample, level, count) {
  const words = new Words(kernels, seed, purpose, sample, level);
  const numbers = new Float32Array(count);
  for (let i = 0; i < count; i++) numbers[i] = words.normal();
  return numbers;
}

/* The number of a tile of an atlas for its noise: that of its start, and of its place in the tree in
   which each node splits in four. `digits` is a text of the digits 0 to 3. */
export function tileNode(start, digits) {
  const heap = [...digits].reduce((node, digit) => 4n * node + BigInt(digit), 1n);
  return (BigInt(start) << 32n) + heap;
}

/* Noise on the great circle from one source to another: the first's at angle 0, the second's at
   π/2, and standard normal between. */
export function interpolated(first, second, angle) {
  const [cosine, sine] = [Math.cos(angle), Math.sin(angle)].map(fround);
  const near = Math.abs(cosine) > 1e-15 ? cosine : 0; // rounding error at π/2
  return (level) => {
    const other = second(level);
    return first(level).map((value, i) => fround(near * value) + fround(sine * other[i]));
  };
}

/* The index of a sample's start in a bank of `count` initial states: among those of its label, if
   `labels` has one for each state. */
export function chosenState(kernels, seed, sample, count, labels = [], label = undefined) {
  const among = [...labels.keys()].filter((state) => labels[state] === label);
  const words = new Words(kernels, seed, Purpose.INITIAL_STATE, sample, 0);
  return among.length ? among[words.below(among.length)] : words.below(count);
}

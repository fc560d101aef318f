/* The kernels of engine/kernels.c, and the memory shared with them.

   Memory is never freed: a sampler reserves everything that it needs when it is created. Addresses
   are in bytes, counts in numbers of four bytes. */

const PAGE = 65536;
const GROWTH = 256; // pages, since each time that memory grows has its cost

export class Kernels {
  #rooms = new Map();

  /* Load from the bytes of kernels.wasm, or from its compiled module. */
  static async load(source) {
    const made = await WebAssembly.instantiate(source);
    return new Kernels((made.instance ?? made).exports);
  }

  constructor(exports) {
    this.memory = exports.memory;
    this.run = exports;
    this.end = exports.__heap_base.value;
  }

  /* Reserve memory for `count` zeros and return its address. */
  reserve(count) {
    const address = Math.ceil(this.end / 16) * 16;
    this.end = address + 4 * count;
    const lacking = this.end - this.memory.buffer.byteLength;
    if (lacking > 0) this.memory.grow(Math.max(GROWTH, Math.ceil(lacking / PAGE)));
    return address;
  }

  /* Named memory, reserved by its first user and shared by all others. */
  room(name, count) {
    if (!this.#rooms.has(name)) this.#rooms.set(name, this.reserve(count));
    return this.#rooms.get(name);
  }

  /* A view of the numbers at an address, valid until more memory is reserved. */
  floats(address, count) {
    return new Float32Array(this.memory.buffer, address, count);
  }

  bytes(address, count) {
    return new Uint8Array(this.memory.buffer, address, count);
  }

  write(address, numbers) {
    this.floats(address, numbers.length).set(numbers);
  }

  /* Reserve memory for numbers, and write them. */
  keep(numbers) {
    const address = this.reserve(numbers.length);
    this.write(address, numbers);
    return address;
  }
}

/* The tensors of a model: float16, float32, or bytes with a scale per row, packed for the kernels. */
export class Weights {
  /* `tensors` has the type, shape and offset of each tensor in `data`, an ArrayBuffer. */
  constructor(kernels, tensors, data) {
    Object.assign(this, { kernels, tensors, data });
    const largest = Math.max(...Object.values(tensors).map(({ shape }) => product(shape)));
    this.raw = kernels.reserve(largest);
    this.wide = kernels.reserve(largest);
  }

  shape(name) {
    const tensor = this.tensors[name];
    if (!tensor) throw new Error(`the model has no ${name}`);
    return tensor.shape;
  }

  /* The address of a tensor as float32, valid until the next one is read. */
  read(name) {
    const { kernels, raw, wide } = this;
    const count = product(this.shape(name));
    const { dtype, offset } = this.tensors[name];
    if (dtype === "F32") {
      kernels.bytes(wide, 4 * count).set(new Uint8Array(this.data, offset, 4 * count));
    } else if (dtype === "I8") {
      kernels.bytes(raw, count).set(new Uint8Array(this.data, offset, count));
      const { shape, offset: at } = this.tensors[`${name}.scale`];
      const columns = count / shape[0];
      for (const [row, scale] of new Float32Array(this.data, at, shape[0]).entries())
        kernels.run.widen_bytes(wide + 4 * row * columns, raw + row * columns, columns, scale);
    } else {
      kernels.bytes(raw, 2 * count).set(new Uint8Array(this.data, offset, 2 * count));
      kernels.run.widen(wide, raw, count);
    }
    return wide;
  }

  /* A copy of a tensor's numbers for use in JavaScript. */
  numbers(name) {
    return this.kernels.floats(this.read(name), product(this.shape(name))).slice();
  }

  /* A vector such as a bias, padded with zeros to whole panels. */
  vector(name) {
    const numbers = this.numbers(name);
    const kept = this.kernels.reserve(panels(numbers.length));
    this.kernels.write(kept, numbers);
    return kept;
  }

  /* (columns, depth), the layout of linear layers and 1×1 convolutions. */
  linear(name) {
    const [columns, depth] = this.shape(name);
    return this.#packed(name, panels(columns) * depth, (out, from) =>
      this.kernels.run.pack(out, from, depth, columns, 1, depth));
  }

  /* (depth, columns). */
  transposed(name) {
    const [depth, columns] = this.shape(name);
    return this.#packed(name, panels(columns) * depth, (out, from) =>
      this.kernels.run.pack(out, from, depth, columns, columns, 1));
  }

  direct(name) {
    const [columns, depth] = this.shape(name);
    return this.#packed(name, 9 * panels(columns) * depth, (out, from) =>
      this.kernels.run.pack_direct(out, from, depth, columns));
  }

  winograd(name) {
    const [columns, depth] = this.shape(name);
    return this.#packed(name, 36 * columns * depth, (out, from) =>
      this.kernels.run.pack_winograd(out, from, depth, columns));
  }

  #packed(name, count, pack) {
    const kept = this.kernels.reserve(count);
    pack(kept, this.read(name));
    return kept;
  }
}

export const product = (numbers) => numbers.reduce((all, number) => all * number, 1);

/* The number of columns, rounded up to whole panels. */
export const panels = (columns) => Math.ceil(columns / 8) * 8;

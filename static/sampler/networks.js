/* The networks of a model, planned once and run at any level. A plan is a list of kernel calls with
   fixed addresses. The networks mirror sitegen/generative/networks/unet.py and coarse.py. */

import { panels } from "./kernels.js";

const FEW_TILES = 9; // of four by four pixels
const GROUPS = 32; // of norms, as in the published models

/* A sequence of kernel calls with their weights. */
class Plan {
  #steps = [];

  /* The names of the network's tensors begin with `prefix`. */
  constructor(kernels, weights, prefix) {
    Object.assign(this, { kernels, weights, prefix });
  }

  /* The sum of embeddings of class labels, each with its weight, is added to that of the level. */
  planLabels(at) {
    const name = `${this.prefix}label_emb.weight`;
    const [, width] = this.weights.shape(name);
    const rows = this.weights.numbers(name);
    this.#steps.push(() => {
      const sum = this.kernels.floats(at, width);
      for (const [row, weight] of this.label)
        for (let i = 0; i < width; i++) sum[i] += weight * rows[row * width + i];
    });
  }

  call(kernel, ...values) {
    const run = this.kernels.run[kernel];
    this.#steps.push(() => run(...values));
  }

  perform() {
    for (const step of this.#steps) step();
  }

  names(name) {
    return [`${this.prefix}${name}.weight`, `${this.prefix}${name}.bias`];
  }

  /* A linear layer, or a 1×1 convolution of `rows` pixels. */
  linear(out, from, name, { rows = 1, onto = 0 } = {}) {
    const [weight, bias] = this.names(name);
    const [columns, depth] = this.weights.shape(weight);
    const [packed, shift] = [this.weights.linear(weight), this.weights.vector(bias)];
    this.call("multiply", out, columns, from, depth, rows, packed, depth, columns, shift, onto);
  }
}

/* Patches of pixels as channels, in the order of torch's pixel_unshuffle: channel, row, column. */
class Patches {
  constructor(kernels, size, channels, patch) {
    Object.assign(this, { kernels, patch });
    this.side = size / patch;
    this.channels = channels * patch ** 2;
    this.order = new Int32Array(size * size * channels);
    let i = 0;
    for (let y = 0; y < size; y++) {
      for (let x = 0; x < size; x++) {
        const place = Math.floor(y / patch) * this.side + Math.floor(x / patch);
        const within = (y % patch) * patch + (x % patch);
        for (let c = 0; c < channels; c++) {
          this.order[i++] = place * this.channels + c * patch ** 2 + within;
        }
      }
    }
  }

  unshuffle(out, from) {
    const { order, kernels } = this;
    const [to, pixels] = [out, from].map((at) => kernels.floats(at, order.length));
    for (let i = 0; i < order.length; i++) to[order[i]] = pixels[i];
  }

  shuffle(out, from) {
    const { order, kernels } = this;
    const [pixels, values] = [out, from].map((at) => kernels.floats(at, order.length));
    for (let i = 0; i < order.length; i++) pixels[i] = values[order[i]];
  }
}

/* f(u, k) of an image: `input` and `output` are the addresses of pixels × channels. */
export class UNet extends Plan {
  /* `config` is the card's table [unet]. */
  constructor(kernels, weights, prefix, config, size, channels) {
    super(kernels, weights, prefix);
    this.config = config;
    this.patches = new Patches(kernels, size, channels, config.patch_size ?? 1);
    this.input = kernels.reserve(size * size * channels);
    this.output = kernels.reserve(size * size * channels);
    const apart = this.patches.patch > 1;
    this.first = apart ? kernels.reserve(size * size * channels) : this.input;
    this.last = apart ? kernels.reserve(size * size * channels) : this.output;
    this.#planEmbedding();
    this.#plan(this.patches.side, this.patches.channels);
  }

  /* Compute `output` from `input` at a level; `label` lists rows of the class embedding. */
  run(level, label) {
    this.label = label;
    const width = this.config.model_channels;
    const half = Math.floor(width / 2);
    const embedding = this.kernels.floats(this.level, width);
    for (let i = 0; i < half; i++) {
      const angle = level * Math.exp((-Math.log(10000) * i) / half);
      embedding[i] = Math.cos(angle);
      embedding[half + i] = Math.sin(angle);
    }
    if (this.first !== this.input) this.patches.unshuffle(this.first, this.input);
    this.perform();
    if (this.last !== this.output) this.patches.shuffle(this.output, this.last);
  }

  #planEmbedding() {
    const width = this.config.model_channels;
    const [middle, end] = [this.kernels.reserve(4 * width), this.kernels.reserve(4 * width)];
    this.level = this.kernels.reserve(width);
    this.linear(middle, this.level, "time_embed.0");
    this.call("silu", middle, middle, 4 * width);
    this.linear(end, middle, "time_embed.2");
    if (this.config.num_classes) this.planLabels(end);
    this.call("silu", end, end, 4 * width); // the first operation of every block
    this.embedding = end;
  }

  #plan(size, channels) {
    const { channel_mult: mult, num_res_blocks: blocks, model_channels: width } = this.config;
    const attended = (level) => this.config.attention_levels.includes(level);
    let x = { at: this.first, size, channels };
    let block = 0;
    x = this.#convolution(x, "input_blocks.0.0");
    const skips = [x];
    for (const [level, factor] of mult.entries()) {
      for (let i = 0; i < blocks; i++) {
        const name = `input_blocks.${++block}`;
        x = this.#resBlock(x, width * factor, `${name}.0`);
        if (attended(level)) x = this.#attention(x, `${name}.1`);
        skips.push(x);
      }
      if (level + 1 < mult.length) {
        x = this.#halve(x, `input_blocks.${++block}.0`);
        skips.push(x);
      }
    }
    x = this.#resBlock(x, x.channels, "middle_block.0");
    x = this.#attention(x, "middle_block.1");
    x = this.#resBlock(x, x.channels, "middle_block.2");
    block = 0;
    for (let level = mult.length - 1; level >= 0; level--) {
      for (let i = 0; i <= blocks; i++) {
        const name = `output_blocks.${block++}`;
        x = this.#resBlock(this.#joined(x, skips.pop()), width * mult[level], `${name}.0`);
        if (attended(level)) x = this.#attention(x, `${name}.1`);
        if (level > 0 && i === blocks) x = this.#double(x, `${name}.${attended(level) ? 2 : 1}`);
      }
    }
    const frame = this.#frame(x.size, x.channels);
    this.#norm(frame.inside, frame.row, x, "out.0", { silu: 1 });
    this.#convolve(frame, { at: this.last, size, channels }, "out.2");
  }

  /* Two convolutions around the level's embedding, with a skip. */
  #resBlock(x, channels, name) {
    const { size } = x;
    const hidden = this.#passing("hidden", size, channels);
    const level = this.kernels.reserve(channels);
    const before = this.#frame(size, x.channels);
    this.#norm(before.inside, before.row, x, `${name}.in_layers.0`, { silu: 1 });
    this.#convolve(before, hidden, `${name}.in_layers.2`);
    this.linear(level, this.embedding, `${name}.emb_layers.1`);
    const after = this.#frame(size, channels);
    this.#norm(after.inside, after.row, hidden, `${name}.out_layers.0`, { silu: 1, level });
    const out = this.#image(size, channels);
    if (x.channels === channels) this.#place(out, 0, x);
    else this.linear(out.at, x.at, `${name}.skip_connection`, { rows: size * size });
    this.#convolve(after, out, `${name}.out_layers.3`, { onto: 1 });
    return out;
  }

  /* Attention over the pixels, added to `x` in place. The channels of qkv are those of q, k and v,
     each in the order of the heads; the export arranges them so. */
  #attention(x, name) {
    const { size, channels } = x;
    const rows = size * size;
    const normed = this.#passing("hidden", size, channels);
    const qkv = this.#passing("qkv", size, 3 * channels);
    const { num_heads, num_head_channels: fixed } = this.config;
    const heads = fixed > 0 ? channels / fixed : num_heads;
    const needed = this.kernels.run.attend_scratch(rows, channels, heads);
    const scratch = this.kernels.room(`attend ${needed}`, needed);
    this.#norm(normed.at, size * channels, x, `${name}.norm`);
    this.linear(qkv.at, normed.at, `${name}.qkv`, { rows });
    this.call("attend", normed.at, qkv.at, rows, channels, heads, scratch);
    this.linear(x.at, normed.at, `${name}.proj_out`, { rows, onto: 1 });
    return x;
  }

  #joined(x, skip) {
    const out = this.#passing("joined", x.size, x.channels + skip.channels);
    this.#place(out, 0, x);
    this.#place(out, x.channels, skip);
    return out;
  }

  /* Copy an image to the channels of another from `first` on. */
  #place(out, first, x) {
    const { size, channels } = out;
    const at = out.at + 4 * first;
    this.call("place", at, size * channels, channels, x.at, size, size, x.channels);
  }

  #halve(x, name) {
    const { size, channels } = x;
    if (this.config.conv_resample) return this.#convolution(x, `${name}.op`, 2);
    const out = this.#image(size / 2, channels);
    this.call("average", out.at, x.at, size, size, channels);
    return out;
  }

  #double(x, name) {
    const { size, channels } = x;
    const out = this.#image(2 * size, channels);
    if (!this.config.conv_resample) {
      this.call("upsample", out.at, 2 * size * channels, x.at, size, size, channels);
      return out;
    }
    const frame = this.#frame(2 * size, channels);
    this.call("upsample", frame.inside, frame.row, x.at, size, size, channels);
    this.#convolve(frame, out, `${name}.conv`);
    return out;
  }

  #convolution(x, name, stride = 1) {
    const { size, channels } = x;
    const [columns] = this.weights.shape(`${this.prefix}${name}.weight`);
    const frame = this.#frame(size, channels);
    const out = this.#image(size / stride, columns);
    this.call("place", frame.inside, frame.row, channels, x.at, size, size, channels);
    this.#convolve(frame, out, name, { stride });
    return out;
  }

  /* A 3×3 convolution of a framed image; for few tiles, reading 36 matrices would cost more than
     it saves. */
  #convolve(frame, out, name, { stride = 1, onto = 0 } = {}) {
    const { size, channels: columns } = out;
    const [weight, bias] = this.names(name);
    const from = [frame.at, frame.row, size, size, frame.channels, columns];
    const shift = this.weights.vector(bias);
    const tiles = Math.ceil(size / 4) ** 2;
    if (stride > 1 || tiles < FEW_TILES || frame.channels % 4 || columns % 8) {
      this.call("convolve", out.at, ...from, stride, this.weights.direct(weight), shift, onto);
      return;
    }
    const needed = this.kernels.run.winograd_scratch(frame.channels, columns);
    const scratch = this.kernels.room(`winograd ${needed}`, needed);
    this.call("winograd", out.at, ...from, this.weights.winograd(weight), shift, onto, scratch);
  }

  #norm(out, row, x, name, { silu = 0, level = 0 } = {}) {
    const [gain, bias] = this.names(name).map((each) => this.weights.vector(each));
    const scratch = this.#passing("sums", 1, 2 * x.channels).at;
    const groups = this.config.norm_groups ?? GROUPS;
    this.call("group_norm", out, row, x.at, x.size, x.size, x.channels, groups, level, gain, bias,
      silu, scratch);
  }

  #image(size, channels) {
    return { at: this.kernels.reserve(size * size * channels), size, channels };
  }

  /* A temporary image, reused by the next one with the same purpose and shape. */
  #passing(purpose, size, channels) {
    const name = `${purpose} ${size} ${channels}`;
    return { at: this.kernels.room(name, size * size * channels), size, channels };
  }

  /* The input of a 3×3 convolution, padded with zeros to whole tiles of four pixels. */
  #frame(size, channels) {
    const side = Math.ceil(size / 4) * 4 + 2;
    const row = side * channels;
    const at = this.kernels.room(`frame ${size} ${channels}`, side * row);
    return { at, row, inside: at + 4 * (row + channels), channels };
  }
}

/* The network of coarse levels, from z to r: `input` and `output` are the addresses of the lowest
   side × side cosines of each channel. */
export class CosineNet extends Plan {
  /* `config` is the card's table of the MLP. */
  constructor(kernels, weights, prefix, config, side, channels) {
    super(kernels, weights, prefix);
    const { width, blocks, features, level_features: levelFeatures } = config;
    const size = channels * side ** 2;
    const room = (count) => kernels.reserve(panels(count));
    Object.assign(this, { size, features, levelFeatures });
    this.frequencies = weights.transposed(`${prefix}frequencies`);
    [this.input, this.output] = [room(size + 2 * features), room(size)];
    [this.phases, this.level] = [room(features), room(2 * levelFeatures)];
    const [hidden, normed, change] = [room(width), room(width), room(width)];
    const norm = (name) => {
      const [gain, bias] = this.names(name).map((each) => weights.vector(each));
      this.call("layer_norm", normed, hidden, gain, bias, width);
    };
    if (config.num_classes) this.planLabels(this.level);
    this.linear(hidden, this.input, "enter");
    for (let block = 0; block < blocks; block++) {
      norm(`blocks.${block}.norm`);
      this.linear(change, normed, `blocks.${block}.enter`);
      this.linear(change, this.level, `blocks.${block}.level`, { onto: 1 });
      this.call("silu", change, change, width);
      this.linear(hidden, change, `blocks.${block}.leave`, { onto: 1 });
    }
    norm("norm");
    this.linear(this.output, normed, "leave");
  }

  /* `place` is the level divided by K; `label` is as in a U-Net. */
  run(place, label) {
    this.label = label;
    const { size, features, levelFeatures } = this;
    this.kernels.run.multiply(this.phases, features, this.input, size, 1, this.frequencies, size,
      features, 0, 0);
    const input = this.kernels.floats(this.input, size + 2 * features);
    const phases = this.kernels.floats(this.phases, features);
    for (let i = 0; i < features; i++) {
      input[size + i] = Math.sin(phases[i]);
      input[size + features + i] = Math.cos(phases[i]);
    }
    const level = this.kernels.floats(this.level, 2 * levelFeatures);
    for (let i = 0; i < levelFeatures; i++) {
      const phase = place * 10 ** (levelFeatures > 1 ? (2 * i) / (levelFeatures - 1) : 0);
      level[i] = Math.sin(phase);
      level[levelFeatures + i] = Math.cos(phase);
    }
    this.perform();
  }
}

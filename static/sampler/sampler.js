/* Sampling of a model: sitegen/generative/process/{model,dissipation,flow,diffusion}.py in a browser.

     const kernels = await Kernels.load(bytesOfKernelsWasm);
     const sampler = new Sampler(kernels, description, weights);
     const start = sampler.initialState(seed, n);
     for (const step of sampler.descend(start, sampler.noise(seed, n))) show(step.state);

   `description` is the JSON that sitegen exports and `weights` the ArrayBuffer beside it
   (sitegen/models/browser.py). A state is a Float32Array of channels × rows × columns in
   [0, 1] pixel units, unclipped. The code is synchronous: a worker that must receive messages, such
   as a stop request, awaits a task between two steps. */

import { panels, Weights } from "./kernels.js";
import { CosineNet, UNet } from "./networks.js";
import { chosenState, normals, Purpose } from "./noise.js";

export { Kernels } from "./kernels.js";
export { interpolated, normals, Purpose, tileNode } from "./noise.js";

const PRIOR = "prior.coefficients";
const RESIDUAL = "statistics.residual";
const SMALLEST_VARIANCE = 1e-12;
const LEAST_VARIANCE = 1e-10; // of the data's cosines

export class Sampler {
  #kernels;
  #planes;
  #bands;
  #statistics;
  #prior;

  constructor(kernels, description, data) {
    if (description.version !== 1) throw new Error("the model is of another version of sitegen");
    const { image_size: size, channels, bands } = description;
    const weights = new Weights(kernels, description.tensors, data);
    this.#kernels = kernels;
    this.description = description;
    this.#planes = new CosineTransform(kernels, size, channels);
    this.#bands = bands.map((band) => {
      const Band = band.unet ? PixelBand : CosineBand;
      return new Band(kernels, weights, band, description);
    });
    const [mean, variance] = ["statistics.mean", "statistics.variance"];
    if (mean in description.tensors) {
      this.#statistics = { mean: weights.numbers(mean), variance: weights.numbers(variance) };
      if (RESIDUAL in description.tensors) this.#statistics.residual = weights.numbers(RESIDUAL);
      this.#statistics.ring = Int32Array.from({ length: size ** 2 }, (_, i) =>
        Math.round(Math.hypot(Math.floor(i / size), i % size)));
    }
    if (!(PRIOR in description.tensors)) return; // it starts from noise
    const [count, , low] = weights.shape(PRIOR);
    this.#prior = { count, low, numbers: weights.numbers(PRIOR) };
  }

  /* u_K of sample number `sample` of a seed and perhaps a label, as in `sitegen sample`. */
  initialState(seed, sample, label) {
    if (!this.#prior) return this.#initialNoise(seed, sample);
    const { count, low, numbers } = this.#prior;
    const { image_size: size, channels } = this.description;
    const { start_labels: labels } = this.description;
    const chosen = chosenState(this.#kernels, seed, sample, count, labels, label);
    const own = numbers.subarray(chosen * channels * low ** 2, (chosen + 1) * channels * low ** 2);
    return this.#planes.inverse(resized(own, channels, low, size));
  }

  #initialNoise(seed, sample) {
    const { image_size: size, channels, start_std: std } = this.description;
    const numbers = normals(this.#kernels, seed, Purpose.INITIAL_NOISE, sample, 0, channels * size ** 2);
    return shown(numbers.map((value) => std * value));
  }

  /* The initial state on the way from one to another: straight, or for noise on a great circle. */
  between(one, other, share) {
    if (this.#prior) return one.map((value, i) => (1 - share) * value + share * other[i]);
    const [near, far] = [Math.cos((share * Math.PI) / 2), Math.sin((share * Math.PI) / 2)];
    const [first, last] = [hidden(one), hidden(other)];
    return shown(first.map((value, i) => near * value + far * last[i]));
  }

  /* A finished image with noise, as the forward process of a flow or a DDPM has it at a level. */
  renoised(image, level, noise) {
    const { implicit, flow } = this.description;
    const added = flow && Math.abs(flow.times[level] - flow.times[0]);
    const [kept, fresh] = implicit ? implicit.state[level] : [1 - added, added];
    return shown(hidden(image).map((value, i) => kept * value + fresh * noise[i]));
  }

  /* The noise of a sample: standard normal numbers for the level at which a step begins. */
  noise(seed, sample) {
    const { image_size: size, channels } = this.description;
    return (level) =>
      normals(this.#kernels, seed, Purpose.STEP, sample, level, channels * size ** 2);
  }

  /* Yield the steps down from a state at level `from`: the `level` reached, the `state` there, and
     `sharp`, the predicted û_0 (null without a prediction). No noise is added at level 0, whose state
     is the picture. `visited` replaces the model's levels, for example by fewer ones. `label` lists
     rows of the class embedding with weights, and `towards` is the guidance towards it. */
  *descend(state, noise, options = {}) {
    const { from, visited = this.description.visited, label, towards = 0 } = options;
    for (const band of this.#bands) Object.assign(band, { label, towards });
    const start = visited.indexOf(from ?? visited[0]);
    if (start < 0) throw new Error(`level ${from} is not one that is visited`);
    const steps = visited.slice(start);
    if (!this.#prior) yield* this.#flow(hidden(state), steps);
    else if (this.#statistics) yield* this.#cascade(state, noise, steps);
    else yield* this.#changes(state, noise, steps);
  }

  /* The steps of a network that answers with the change of the image. */
  *#changes(state, noise, visited) {
    const delta = Math.fround(this.description.sampling_noise_std);
    for (let i = 0; i + 1 < visited.length; i++) {
      const change = this.#bands[0].seen(state, visited[i]);
      state = state.map((value, place) => value + change[place]);
      if (visited[i + 1]) add(state, noise(visited[i]).map((value) => delta * value));
      yield { level: visited[i + 1], state, sharp: null };
    }
  }

  /* The steps of a preconditioned model, on cosines, since all but its U-Nets works on these. */
  *#cascade(state, noise, visited) {
    let cosines = this.#planes.forward(state);
    for (let i = 0; i + 1 < visited.length; i++) {
      const [level, below] = [visited[i], visited[i + 1]];
      const factors = this.#factors(level, below);
      const [mean, sharp] = this.#predicted(cosines, level, factors);
      if (below) add(mean, this.#scaled(noise(level), level, factors));
      cosines = mean;
      const [next, predicted] = [mean, sharp].map((each) => this.#planes.inverse(each));
      yield { level: below, state: next, sharp: predicted };
    }
  }

  /* Yield the steps of a flow, or of DDIM, from a state in [-1, 1]. */
  *#flow(state, visited) {
    const step = this.description.flow ? this.#solved : this.#implied;
    for (let i = 0; i + 1 < visited.length; i++) {
      const [next, sharp] = step.call(this, state, visited[i], visited[i + 1]);
      state = next;
      yield { level: visited[i + 1], state: shown(state), sharp: shown(sharp) };
    }
  }

  /* The next state of dx/dt = v(x, t), and the predicted image. */
  #solved(x, level, below) {
    const { times, solver, time_scale: scale } = this.description.flow;
    const [t, step] = [times[level], times[below] - times[level]];
    const direction = 2 * times[0] - 1;
    const velocity = (state, time) => {
      const added = Math.abs(times[0] - time);
      const found = this.#bands[0].seen(state, scale * time);
      return this.#guided(found, state, [1 - added, added], [direction, -direction]);
    };
    const along = (slope, length) => x.map((value, i) => value + length * slope[i]);
    const slope = velocity(x, t);
    const sharp = along(slope, times[0] - t);
    if (solver === "euler") return [along(slope, step), sharp];
    if (solver === "midpoint")
      return [along(velocity(along(slope, step / 2), t + step / 2), step), sharp];
    const other = velocity(along(slope, step), times[below]);
    return [along(slope.map((value, i) => (value + other[i]) / 2), step), sharp];
  }

  /* The next state by a DDPM's network, without noise, and the predicted image. */
  #implied(x, level, below) {
    const { input, timestep, image, noise, state, clip, rederive } = this.description.implicit;
    const seen = x.map((value) => input[level] * value);
    const answer = this.#bands[0].seen(seen, timestep[level]);
    const part = ([own, other]) => seen.map((value, i) => own * value + other * answer[i]);
    let [sharp, left] = [part(image[level]), part(noise[level])];
    const shares = state[level].map((share) => input[level] * share);
    if (this.description.guidance) {
      sharp = this.#guided(sharp, seen, shares, [1, 0]);
      left = this.#guided(left, seen, shares, [0, 1]);
    }
    if (clip) sharp = sharp.map((value) => Math.min(Math.max(value, -1), 1));
    if (rederive) left = seen.map((value, i) => (value - shares[0] * sharp[i]) / shares[1]);
    const [kept, added] = state[below];
    return [sharp.map((value, i) => kept * value + added * left[i]), sharp];
  }

  /* An estimate of image · x_0 + noise · ε in the state x = kept · x_0 + added · ε, moved away from
     the linear one: `guided` of sitegen/generative/process/model.py. */
  #guided(estimate, x, [kept, added], [image, noise]) {
    const weight = this.description.guidance?.[0] ?? this.description.guidance;
    if (!weight) return estimate;
    const { image_size: size } = this.description;
    const { mean, variance } = this.#statistics;
    const linear = this.#planes.forward(x).map((value, i) => {
      const average = 2 * mean[i] - (i % size ** 2 ? 0 : size); // of images in [-1, 1]
      const all = 4 * Math.max(variance[i], LEAST_VARIANCE);
      const away = (value - kept * average) / (kept ** 2 * all + added ** 2);
      return image * (average + kept * all * away) + noise * added * away;
    });
    const worse = this.#planes.inverse(linear);
    return estimate.map((value, i) => value + weight * (value - worse[i]));
  }

  /* The cosines of the mean of the next state, and of û_0, given those of the state at `level`. */
  #predicted(cosines, level, factors) {
    const at = this.#bands.findLastIndex(({ lowest_level: lowest }) => lowest <= level);
    const { mean: average, variance } = this.#statistics;
    const noise = this.description.training_noise_std ** 2;
    const [here, there, stays] = factors;
    const [plane, count] = [here.length, cosines.length];
    const [estimate, z, unknown] = [0, 1, 2].map(() => new Float32Array(count));
    for (let first = 0; first < count; first += plane)
      for (let place = 0, i = first; place < plane; place++, i++) {
        // Destructuring would run an iterator for each pixel.
        const left = here[place];
        const own = variance[i];
        const total = left * left * own + noise;
        const away = cosines[i] - left * average[i];
        estimate[i] = average[i] + ((left * own) / total) * away;
        z[i] = away / Math.sqrt(total);
        unknown[i] = Math.sqrt((own * noise) / total);
      }
    const answer = this.#bands[at].answer(estimate, z, level);
    const more = this.description.guidance ?? 0; // one for all bands, or each
    const farther = 1 + (more[at] ?? more);
    const [sharp, mean] = [estimate, z]; // of which no more is needed
    for (let first = 0; first < count; first += plane)
      for (let place = 0, i = first; place < plane; place++, i++) {
        const kept = stays[place];
        sharp[i] = estimate[i] + farther * unknown[i] * answer[i];
        mean[i] = (there[place] - kept * here[place]) * sharp[i] + kept * cosines[i];
      }
    return [mean, sharp];
  }

  /* The cosines of the noise of δ and, if known, of the residual variance of each cosine, for colour
     images with its covariance over channels: sitegen/generative/process/dissipation.py. Both are
     reduced if noise is kept. */
  #scaled(fresh, level, factors) {
    const { variance, residual, ring } = this.#statistics;
    const { image_size: size, channels, training_noise_std: std } = this.description;
    const delta = Math.fround(this.description.sampling_noise_std);
    const cosines = this.#planes.forward(fresh);
    if (!residual) return cosines.map((value) => delta * value);
    const [here, there, stays] = factors;
    const [, rings] = this.description.tensors[RESIDUAL].shape;
    const [plane, noise] = [size * size, std * std];
    const scaled = new Float32Array(cosines.length);
    const [deviation, root] = [channels, channels ** 2].map((count) => new Float64Array(count));
    for (let place = 0; place < plane; place++) {
      const left = here[place];
      const stay = stays[place];
      for (let c = 0; c < channels; c++) {
        const all = variance[c * plane + place];
        const unknown = (all * noise) / (left * left * all + noise);
        deviation[c] = (there[place] - stay * left) * Math.sqrt(unknown);
      }
      const drawn = Math.max(delta * delta * (1 - stay * stay), SMALLEST_VARIANCE);
      const first = ((level - 1) * rings + ring[place]) * channels ** 2;
      for (let a = 0; a < channels; a++) {
        let sum = 0; // of L times the cosines; L Lᵀ is the covariance (Cholesky)
        for (let b = 0; b <= a; b++) {
          let rest = residual[first + a * channels + b] * deviation[a] * deviation[b] + (a === b ? drawn : 0);
          for (let c = 0; c < b; c++) rest -= root[a * channels + c] * root[b * channels + c];
          const factor = a === b ? Math.sqrt(rest) : rest / root[b * channels + b];
          root[a * channels + b] = factor;
          sum += factor * cosines[b * plane + place];
        }
        scaled[a * plane + place] = sum;
      }
    }
    return scaled;
  }

  #factors(level, below) {
    return [this.#left(level), this.#left(below), this.#stays(level, below)];
  }

  /* A_k: the factor that remains of each cosine at level k. */
  #left(level) {
    return this.#decayed(this.description.sigmas[level] ** 2 / 2);
  }

  /* ρ: the share of each cosine's noise that is kept if the forward process is a Markov chain. */
  #stays(level, below) {
    const { sigmas, forward, image_size: size } = this.description;
    if (forward !== "markov" || !below) return new Float32Array(size ** 2);
    return this.#decayed((sigmas[level] ** 2 - sigmas[below] ** 2) / 2);
  }

  #decayed(time) {
    const { image_size: size } = this.description;
    const along = Float64Array.from({ length: size }, (_, n) =>
      Math.exp(-((Math.PI * n / size) ** 2) * time));
    const factors = new Float32Array(size ** 2);
    for (let y = 0, i = 0; y < size; y++)
      for (let x = 0; x < size; x++) factors[i++] = along[y] * along[x];
    return factors;
  }
}

function add(sum, numbers) {
  for (let i = 0; i < sum.length; i++) sum[i] += numbers[i];
}

/* States from [-1, 1] in pixel units, and back. */
const shown = (state) => state.map((value) => (value + 1) / 2);
const hidden = (state) => state.map((value) => 2 * value - 1);

/* A network's answer for the label of its band, with classifier-free guidance (Ho and Salimans
   2022); the last row of a class embedding is for no label. */
function guidedBy({ classes, label, towards }, answer) {
  const none = [[classes - 1, 1]];
  const first = answer(label ?? none);
  if (!classes || !label || !towards) return first;
  const without = answer(none);
  return first.map((value, i) => value + towards * (value - without[i]));
}

/* A U-Net on images of `side` pixels. */
class PixelBand {
  constructor(kernels, weights, band, { image_size: size, channels }) {
    const { side, prefix, lowest_level, pixel_mean: mean, pixel_std: std } = band;
    this.unet = new UNet(kernels, weights, prefix, band.unet, side, channels);
    this.planes = new CosineTransform(kernels, side, channels);
    Object.assign(this, { kernels, size, channels, side, lowest_level, mean, std });
    this.classes = band.unet.num_classes;
  }

  /* The network's output for an image, which is also an image. */
  seen(image, level) {
    const { kernels, unet, channels, side } = this;
    return guidedBy(this, (label) => {
      kernels.write(unet.input, interleaved(image, channels, side));
      unet.run(level, label);
      return separated(kernels.floats(unet.output, image.length), channels, side);
    });
  }

  /* The cosines of r: only the lowest if the images have fewer pixels than the model's. */
  answer(estimate, z, level) {
    const { size, side, channels, planes, mean, std } = this;
    const image = planes.inverse(resized(estimate, channels, size, side));
    const seen = this.seen(image.map((value) => ((value * side) / size - mean) / std), level);
    return resized(planes.forward(seen), channels, side, size);
  }
}

/* An MLP over the lowest `side` × `side` cosines. */
class CosineBand {
  constructor(kernels, weights, band, { image_size: size, channels, levels }) {
    const { side, prefix, lowest_level } = band;
    this.net = new CosineNet(kernels, weights, prefix, band.cosines, side, channels);
    Object.assign(this, { kernels, size, channels, levels, side, lowest_level });
    this.classes = band.cosines.num_classes;
  }

  answer(estimate, z, level) {
    const { kernels, net, size, side, channels, levels } = this;
    const answer = guidedBy(this, (label) => {
      kernels.write(net.input, resized(z, channels, size, side));
      net.run(level / levels, label);
      return kernels.floats(net.output, channels * side ** 2).slice();
    });
    return resized(answer, channels, side, size);
  }
}

/* The orthonormal two-dimensional DCT-II of each channel, and its inverse. */
class CosineTransform {
  constructor(kernels, size, channels) {
    const rows = Float32Array.from({ length: size ** 2 }, (_, i) => {
      const [n, x] = [Math.floor(i / size), i % size];
      return Math.sqrt((n ? 2 : 1) / size) * Math.cos((Math.PI * n * (x + 0.5)) / size);
    });
    const columns = rows.map((_, i) => rows[(i % size) * size + Math.floor(i / size)]);
    Object.assign(this, { kernels, size, channels });
    this.basis = [rows, columns].map((numbers) => kernels.keep(numbers));
    this.packed = [...this.basis, 0].map(() => kernels.reserve(panels(size) * size));
    for (const [i, matrix] of this.basis.entries()) this.#pack(this.packed[i], matrix);
    [this.images, this.half] = [0, 1].map(() => kernels.reserve(channels * size ** 2));
  }

  forward(images) {
    return this.#transformed(images, this.basis[0], this.packed[1]);
  }

  inverse(cosines) {
    return this.#transformed(cosines, this.basis[1], this.packed[0]);
  }

  /* left · X · right of each channel; `right` is packed. */
  #transformed(planes, left, right) {
    const { kernels, size, channels, images, half } = this;
    const packed = this.packed[2];
    kernels.write(images, planes);
    this.#multiply(half, images, right, channels * size);
    for (let c = 0, plane = 0; c < channels; c++, plane += 4 * size ** 2) {
      this.#pack(packed, half + plane);
      this.#multiply(images + plane, left, packed, size);
    }
    return kernels.floats(images, planes.length).slice();
  }

  #pack(out, matrix) {
    const { kernels, size } = this;
    kernels.run.pack(out, matrix, size, size, size, 1);
  }

  #multiply(out, a, b, rows) {
    const { kernels, size } = this;
    kernels.run.multiply(out, size, a, size, rows, b, size, size, 0, 0);
  }
}

/* Resize planes of `from` × `from` cosines to `to` × `to`: keep the lowest, or pad with 0. */
function resized(planes, channels, from, to) {
  if (from === to) return planes;
  const side = Math.min(from, to);
  const out = new Float32Array(channels * to ** 2);
  for (let c = 0; c < channels; c++)
    for (let n = 0; n < side; n++) {
      const row = (c * from + n) * from;
      out.set(planes.subarray(row, row + side), (c * to + n) * to);
    }
  return out;
}

/* Convert planar channels to interleaved pixels, and back. */
const interleaved = (planes, channels, side) => transposed(planes, channels, side ** 2);
const separated = (pixels, channels, side) => transposed(pixels, side ** 2, channels);

/* The transpose of a matrix of rows × columns. */
function transposed(matrix, rows, columns) {
  const out = new Float32Array(matrix.length);
  for (let row = 0, i = 0; row < rows; row++)
    for (let column = 0; column < columns; column++) out[column * rows + row] = matrix[i++];
  return out;
}

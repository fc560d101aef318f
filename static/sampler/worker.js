/* A worker that draws pictures for a page. It receives and sends these messages:

     { load: { wasm, model, weights } }
                                    the bytes of the engine and of a model's files; answered by
                                    { ready }
     { draw: id, picture, from, coarse }
                                    answered by one message per level: { id, level, state, sharp }, then
                                    { id, ended: "done", seconds }, or { id, ended: "stopped" }, or
                                    { id, ended: "diverged", level } before an invalid state
     { stop: true }  { pause: true or false }

   A picture is a value with all random parameters: `seed` and `number` as in `sitegen sample`;
   `branches`, each with a `number` and the `level` from which down its noise differs; and the `mean`
   of its flat start in each channel, if it was changed; the number of its class, its `kind`, if chosen,
   and the `guidance` towards it. An interpolation is `between` two such
   pictures, with a `share`. `from` is a level and the state there, if known; `coarse` uses few levels.

   A tile of an atlas is a picture with the `digits` of its splits. It is drawn `until` a level, and
   only the state there is sent. `from` is the state of its parent, or the finished picture to be
   `renoised` at that level. */

import { interpolated, Kernels, normals, Purpose, Sampler, tileNode } from "./sampler.js";

const COARSE = 10; // steps while a slider moves
const [MOST_PIXELS, MOST_LEVELS] = [1024, 10000]; // limits: pixels per side, levels of a model
const DIVERGED = 1000; // limit of valid states, as in sitegen; pixels are in [0, 1]

let kernels, sampler, prior;
let current = 0;
let paused = false;
let wake = () => {};
const channel = new MessageChannel();

onmessage = async ({ data }) => {
  try {
    if (data.load) await load(data.load);
    if (data.draw) await draw(data);
  } catch (fault) {
    postMessage({ id: data.draw, failed: String(fault) });
  }
  if (data.stop) current = 0;
  if ("pause" in data) paused = data.pause;
  wake();
};

async function load({ wasm, model, weights }) {
  kernels = await Kernels.load(wasm);
  const description = JSON.parse(new TextDecoder().decode(model));
  validate(description);
  sampler = new Sampler(kernels, description, weights);
  const { image_size: size, channels, visited, parameterization } = description;
  if (description.axis) {
    const known = { sigmas: description.axis.values, predicts: true, range: [0, 1], hues: [] };
    postMessage({ ready: { size, channels, visited, ...known } });
    return;
  }
  prior = means(description, weights);
  const predicts = parameterization === "preconditioned";
  const known = { range: range(), hues: channels === 3 ? hues() : [] };
  postMessage({ ready: { size, channels, visited, sigmas: description.sigmas, predicts, ...known } });
}

/* Throw an error if the description of a model was not written by sitegen. */
function validate({ image_size: size, channels, levels, visited, sigmas, axis }) {
  const whole = (value, least, most) => Number.isInteger(value) && least <= value && value <= most;
  const falls = (level, at) => whole(level, 0, levels) && (at === 0 || level < visited[at - 1]);
  const scale = (sigma) => Number.isFinite(sigma) && sigma >= 0;
  const right = {
    image_size: whole(size, 1, MOST_PIXELS),
    channels: channels === 1 || channels === 3,
    levels: whole(levels, 1, MOST_LEVELS),
    visited: visited?.length > 1 && visited.every?.(falls) && visited.at(-1) === 0,
    [axis ? "axis" : "sigmas"]: axis
      ? axis.values?.length === levels + 1 && axis.values.every?.(Number.isFinite)
      : sigmas?.length === levels + 1 && sigmas.every?.(scale),
  };
  for (const [name, holds] of Object.entries(right))
    if (!holds) throw new Error(`the model's ${name} is damaged`);
}

/* The channel means of every initial state in the bank. */
function means({ tensors, image_size: size }, data) {
  const { shape, offset } = tensors["prior.coefficients"];
  const [count, channels, low] = shape;
  const numbers = new Float32Array(data, offset, count * channels * low ** 2);
  return Array.from({ length: channels }, (_, c) =>
    Array.from({ length: count }, (_, i) => numbers[(i * channels + c) * low ** 2] / size));
}

const range = () => [Math.min(...prior.flat()), Math.max(...prior.flat())];

/* The most saturated mean of the bank in each eighth of the colour circle, from red on; undefined
   for an eighth without one. */
function hues() {
  const found = Array(8);
  for (const [i, red] of prior[0].entries()) {
    const colour = [red, prior[1][i], prior[2][i]];
    const [green, blue] = colour.slice(1);
    const [across, up] = [red - (green + blue) / 2, (Math.sqrt(3) / 2) * (green - blue)];
    const eighth = Math.round((Math.atan2(up, across) / Math.PI) * 4 + 8) % 8;
    const chroma = Math.hypot(across, up);
    if (!(chroma <= found[eighth]?.chroma)) found[eighth] = { colour, chroma };
  }
  return found.map((each) => each.colour);
}

async function draw({ draw: id, picture, from, coarse }) {
  current = id;
  const { visited } = sampler.description;
  const noise = noiseOf(picture);
  let start = from?.state ?? startOf(picture);
  if (picture.renoised) start = sampler.renoised(start, from.level, noise(from.level));
  if (!from) postMessage({ id, level: visited[0], state: start });
  const options = { from: from?.level, visited: coarse ? few(visited) : visited, ...labels(picture) };
  const steps = sampler.descend(start, noise, options);
  let seconds = 0;
  for (let reached = from?.level ?? visited[0]; !(reached <= picture.until); ) {
    const begun = performance.now();
    const { value: step, done } = steps.next();
    seconds += (performance.now() - begun) / 1000;
    if (done) break;
    const { level, state, sharp } = step;
    if (!state.every(sound)) return postMessage({ id, ended: "diverged", level });
    reached = level;
    if (!(level > picture.until)) postMessage({ id, level, state, sharp });
    await turn();
    while (paused && current === id) await new Promise((resolve) => (wake = resolve));
    if (current !== id) return postMessage({ id, ended: "stopped" });
  }
  postMessage({ id, ended: "done", seconds });
}

/* The rows of the class embedding for a picture, with their weights, and its guidance. */
function labels({ kind, guidance = 0, between, share }) {
  if (!between) return kind === undefined ? {} : { label: [[kind, 1]], towards: guidance };
  if (between.every((end) => end.kind === undefined)) return {};
  const row = (end) => end.kind ?? sampler.description.labels.length;
  const [near, far] = [1 - share, share];
  return {
    label: [[row(between[0]), near], [row(between[1]), far]],
    towards: near * (between[0].guidance ?? 0) + far * (between[1].guidance ?? 0),
  };
}

const sound = (value) => Math.abs(value) <= DIVERGED; // false for NaN

/* Let the event loop deliver a message. */
const turn = () =>
  new Promise((resolve) => {
    channel.port1.onmessage = resolve;
    channel.port2.postMessage(0);
  });

function few(visited) {
  const last = visited.length - 1;
  const count = Math.min(COARSE, last);
  return Array.from({ length: count + 1 }, (_, i) => visited[Math.round((i * last) / count)]);
}

function startOf({ seed, number, mean, kind, between, share }) {
  if (between) {
    const [one, other] = between.map(startOf);
    return sampler.between(one, other, share);
  }
  const state = sampler.initialState(BigInt(seed), number, kind);
  if (!mean) return state;
  const plane = sampler.description.image_size ** 2;
  return mean.reduce((moved, wanted, c) => {
    const own = state.subarray(c * plane, (c + 1) * plane);
    const away = wanted - own.reduce((sum, value) => sum + value, 0) / plane;
    moved.set(own.map((value) => value + away), c * plane);
    return moved;
  }, new Float32Array(state.length));
}

function noiseOf({ seed, number, branches = [], between, share, digits }) {
  if (between) return interpolated(...between.map(noiseOf), (share * Math.PI) / 2);
  const { image_size: size, channels } = sampler.description;
  const drawn = (purpose, node, level) =>
    normals(kernels, BigInt(seed), purpose, node, level, channels * size ** 2);
  if (digits !== undefined) return (level) => drawn(Purpose.TILE, tileNode(number, digits), level);
  const own = sampler.noise(BigInt(seed), number);
  return (level) => {
    const branch = branches.findLast((each) => each.level >= level);
    if (!branch) return own(level);
    const node = (BigInt(branch.number) << 32n) + BigInt(number);
    return drawn(Purpose.BRANCH, node, level);
  };
}

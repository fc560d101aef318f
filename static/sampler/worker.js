/* Draws pictures for a page, in a worker: what it is told and what it tells are messages.

     { load: { model, weights } }   the addresses of a model's files; answered by { ready }
     { draw: id, picture, from, coarse }
                                    answered by a message a level: { id, level, state, sharp }, then
                                    { id, done, seconds }, or { id, stopped }
     { stop: true }  { pause: true or false }

   A picture is a value that says all of its randomness: `seed` and `number` as of `sitegen sample`;
   `branches`, each the `level` from which down its noise is another, by its own `number`; and the
   `mean` of its flat start in each channel, where that is not as it was drawn. Or it is `between` two
   such pictures, `share` of the way. `from` is a level of it and the state there, where that is known;
   `coarse` takes few levels. The state at level 0 is the last mean. */

import { interpolated, Kernels, normals, Purpose, Sampler } from "./sampler.js";

const COARSE = 10; // steps of what is drawn while a slider moves

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

async function load({ model, weights }) {
  const [wasm, description, numbers] = await Promise.all([
    fetched(new URL("kernels.wasm", import.meta.url)).then((found) => found.arrayBuffer()),
    fetched(model).then((found) => found.json()),
    fetched(weights).then((found) => found.arrayBuffer()),
  ]);
  kernels = await Kernels.load(wasm);
  sampler = new Sampler(kernels, description, numbers);
  prior = means(description, numbers);
  const { image_size: size, channels, visited, sigmas, parameterization } = description;
  const predicts = parameterization === "preconditioned";
  postMessage({ ready: { size, channels, visited, sigmas, predicts, range: range() } });
}

async function fetched(address) {
  const answer = await fetch(address);
  if (!answer.ok) throw new Error(`${address}: ${answer.status}`);
  return answer;
}

/* The mean of each channel of every initial state in the bank. */
function means({ tensors, image_size: size }, data) {
  const { shape, offset } = tensors["prior.coefficients"];
  const [count, channels, low] = shape;
  const numbers = new Float32Array(data, offset, count * channels * low ** 2);
  return Array.from({ length: channels }, (_, c) =>
    Array.from({ length: count }, (_, i) => numbers[(i * channels + c) * low ** 2] / size));
}

const range = () => [Math.min(...prior.flat()), Math.max(...prior.flat())];

async function draw({ draw: id, picture, from, coarse }) {
  current = id;
  const { visited } = sampler.description;
  const start = from?.state ?? startOf(picture);
  if (!from) postMessage({ id, level: visited[0], state: start });
  const options = { from: from?.level, visited: coarse ? few(visited) : visited };
  const steps = sampler.descend(start, noiseOf(picture), options);
  let seconds = 0;
  for (;;) {
    const begun = performance.now();
    const { value: step, done } = steps.next();
    seconds += (performance.now() - begun) / 1000;
    if (done) break;
    const { level, state, mean, sharp } = step;
    postMessage({ id, level, state: level ? state : mean, sharp });
    await turn();
    while (paused && current === id) await new Promise((resolve) => (wake = resolve));
    if (current !== id) return postMessage({ id, stopped: true });
  }
  postMessage({ id, done: true, seconds });
}

/* Let a message come in. */
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

function startOf({ seed, number, mean, between, share }) {
  if (between) {
    const [one, other] = between.map(startOf);
    return one.map((value, i) => (1 - share) * value + share * other[i]);
  }
  const state = sampler.initialState(BigInt(seed), number);
  if (!mean) return state;
  const plane = sampler.description.image_size ** 2;
  return mean.reduce((moved, wanted, c) => {
    const own = state.subarray(c * plane, (c + 1) * plane);
    const away = wanted - own.reduce((sum, value) => sum + value, 0) / plane;
    moved.set(own.map((value) => value + away), c * plane);
    return moved;
  }, new Float32Array(state.length));
}

function noiseOf({ seed, number, branches = [], between, share }) {
  if (between) return interpolated(...between.map(noiseOf), (share * Math.PI) / 2);
  const { image_size: size, channels } = sampler.description;
  const own = sampler.noise(BigInt(seed), number);
  return (level) => {
    const branch = branches.findLast((each) => each.level >= level);
    if (!branch) return own(level);
    const node = (BigInt(branch.number) << 32n) + BigInt(number);
    return normals(kernels, BigInt(seed), Purpose.BRANCH, node, level, channels * size ** 2);
  };
}

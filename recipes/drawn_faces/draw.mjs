// Draw cartoon faces with facesjs, 64 × 64 pixels in colour: node draw.mjs FOLDER TRAIN HELD_OUT
//
// Each picture has its own random numbers, seeded by its index, so the bytes are the same on every
// machine, whatever its number of cores. Women and men alternate; everything else is facesjs'
// default. The background is hsl(h, 55 %, 65 %), with h in whole degrees. VIEW_BOX crops the
// drawing to the whole head. Images go to files in the format of MNIST, with four dimensions, and
// their attributes to lines of JSON in a second file.

import { once } from "node:events";
import { createWriteStream } from "node:fs";
import { mkdir, rename } from "node:fs/promises";
import { availableParallelism } from "node:os";
import { join } from "node:path";
import { Worker, isMainThread, parentPort } from "node:worker_threads";
import { Resvg } from "@resvg/resvg-js";
import { faceToSvgString, generate } from "facesjs";

const SIDE = 64;
const VIEW_BOX = "-30 60 460 460";
const AT_ONCE = 500;
const OF_ONE_WORKER = 4000; // resvg keeps some 40 kB of each picture until its worker ends
const HELD_OUT_FROM = 1_000_000; // the number of the first picture that is held out

// mulberry32: a small generator of 32 bits, whose seed is the number of the picture.
function randomNumbers(seed) {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

function draw(number) {
  const random = randomNumbers(number);
  Math.random = random; // which is where facesjs takes its numbers from
  const hue = Math.floor(random() * 360);
  const gender = number % 2 ? "male" : "female";
  const face = generate(undefined, { gender });
  const svg = faceToSvgString(face).replace(/viewBox="[^"]*"/, `viewBox="${VIEW_BOX}"`);
  const { pixels } = new Resvg(svg, {
    background: `hsl(${hue}, 55%, 65%)`,
    fitTo: { mode: "width", value: SIDE },
    font: { loadSystemFonts: false },
  }).render();
  const image = new Uint8Array(SIDE * SIDE * 3);
  for (let place = 0; place < SIDE * SIDE; place++) {
    const from = place * 4;
    image.set(pixels.subarray(from, from + 3), place * 3);
  }
  const attributes = {
    gender,
    accessory: face.accessories.id,
    glasses: face.glasses.id,
    beard: face.facialHair.id,
    mouth: face.mouth.id,
    hair: face.hair.id,
    hair_color: face.hair.color,
    skin_color: face.body.color,
    hue,
  };
  return { image, line: `${JSON.stringify(attributes)}\n` };
}

function drawSome({ first, count }) {
  const faces = Array.from({ length: count }, (_, index) => draw(first + index));
  const images = Buffer.concat(faces.map((face) => face.image));
  return { images, lines: faces.map((face) => face.line).join("") };
}

// Parts in their order, by some workers after the other.
async function* drawAll(first, count) {
  const threads = availableParallelism();
  const inARound = OF_ONE_WORKER * threads;
  for (let start = 0; start < count; start += inARound) {
    const workers = Array.from({ length: threads }, () => new Worker(new URL(import.meta.url)));
    for (const worker of workers) worker.setMaxListeners(0);
    yield* drawRound(workers, first + start, Math.min(inARound, count - start));
    await Promise.all(workers.map((worker) => worker.terminate()));
  }
}

// Each part is drawn by whichever worker is free, a few ahead of the writer.
async function* drawRound(workers, first, count) {
  const parts = [];
  for (let start = 0; start < count; start += AT_ONCE) {
    parts.push({ first: first + start, count: Math.min(AT_ONCE, count - start) });
  }
  const running = [];
  for (let next = 0; next < parts.length || running.length; ) {
    while (next < parts.length && running.length < 2 * workers.length) {
      const worker = workers[next % workers.length];
      running.push(ask(worker, parts[next++]));
    }
    yield await running.shift();
  }
}

function ask(worker, part) {
  return new Promise((resolve, reject) => {
    const done = (reply) => {
      if (reply.first !== part.first) return;
      worker.off("message", done);
      resolve(reply);
    };
    worker.on("message", done);
    worker.once("error", reject);
    worker.postMessage(part);
  });
}

async function write(stream, data) {
  if (!stream.write(data)) await once(stream, "drain");
}

function header(count) {
  const numbers = Buffer.alloc(20);
  numbers.set([0, 0, 8, 4]); // bytes, in four dimensions
  [count, SIDE, SIDE, 3].forEach((size, axis) => numbers.writeUInt32BE(size, 4 + 4 * axis));
  return numbers;
}

async function main([folder, train, heldOut]) {
  await mkdir(folder, { recursive: true });
  const sets = [
    ["train", 0, Number(train)],
    ["t10k", HELD_OUT_FROM, Number(heldOut)],
  ];
  for (const [name, first, count] of sets) {
    const names = [`${name}-images-idx4-ubyte`, `${name}-attributes.jsonl`];
    const files = names.map((each) => createWriteStream(join(folder, `.${each}`)));
    await write(files[0], header(count));
    let done = 0;
    for await (const { images, lines } of drawAll(first, count)) {
      await write(files[0], images);
      await write(files[1], lines);
      done += images.length / (SIDE * SIDE * 3);
      process.stdout.write(`${name}: ${done} of ${count} faces\n`);
    }
    for (const [index, file] of files.entries()) {
      file.end();
      await once(file, "finish");
      await rename(join(folder, `.${names[index]}`), join(folder, names[index]));
    }
  }
}

if (isMainThread) await main(process.argv.slice(2));
else parentPort.on("message", (part) => parentPort.postMessage({ ...part, ...drawSome(part) }));

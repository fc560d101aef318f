/* Films as MP4 with H.264, which all players and presentation programs support. WebCodecs encodes the
   pictures, and this module writes the box structure (ISO/IEC 14496-12 and -15). Where the browser
   cannot encode H.264, it records the film in a format of its own. */

const CODECS = ["avc1.42e01f", "avc1.42e033"]; // for small and large pictures; neither reorders frames
const BITS = 4_000_000; // bits per second
const KEYS = 24; // frames from one keyframe to the next
const RECORDED = ["video/webm;codecs=vp8", "video/webm", "video/mp4"]; // VP9 is too slow for some

/* Return an encoder configuration for films of this size; undefined without H.264. */
async function encoding(width, height, fps) {
  const avc = { format: "avc" };
  for (const codec of window.VideoEncoder ? CODECS : []) {
    const config = { codec, width, height, framerate: fps, bitrate: BITS, avc };
    const { supported } = await VideoEncoder.isConfigSupported(config).catch(() => ({}));
    if (supported) return config;
  }
}

/* Create a film as a blob. draw(n) draws picture n on `canvas`. */
export async function film(canvas, frames) {
  const config = await encoding(canvas.width, canvas.height, frames.fps);
  return config ? encoded(canvas, config, frames) : recorded(canvas, frames);
}

async function encoded(canvas, config, { count, fps, draw }) {
  const { width, height } = canvas;
  const samples = [];
  let described, failed;
  const encoder = new VideoEncoder({
    error: (fault) => (failed = fault),
    output(chunk, { decoderConfig } = {}) {
      if (decoderConfig?.description) described = decoderConfig;
      const data = new Uint8Array(chunk.byteLength);
      chunk.copyTo(data);
      samples.push({ data, key: chunk.type === "key", time: chunk.timestamp });
    },
  });
  encoder.configure(config);
  for (let n = 0; n < count && !failed; n++) {
    draw(n);
    const frame = new VideoFrame(canvas, { timestamp: Math.round((1e6 * n) / fps) });
    encoder.encode(frame, { keyFrame: n % KEYS === 0 });
    frame.close();
    while (encoder.encodeQueueSize > 8) await new Promise((resolve) => setTimeout(resolve, 5));
  }
  await encoder.flush();
  if (failed) throw failed;
  encoder.close();
  if (samples.length !== count || !described) throw new Error(`${samples.length} of ${count} frames`);
  return new Blob(file(samples, described, { width, height, fps }), { type: "video/mp4" });
}

/* Create a film without H.264: record the canvas during hidden playback. */
async function recorded(canvas, { count, fps, draw }) {
  const type = RECORDED.find((each) => MediaRecorder.isTypeSupported(each));
  draw(0);
  const stream = canvas.captureStream(0); // with an automatic rate, Firefox drops frames
  const [track] = stream.getVideoTracks();
  const recorder = new MediaRecorder(stream, { mimeType: type });
  const parts = [];
  recorder.ondataavailable = ({ data }) => parts.push(data);
  const ended = new Promise((resolve) => (recorder.onstop = resolve));
  recorder.start();
  const wait = (duration) => new Promise((resolve) => setTimeout(resolve, duration));
  for (let n = 0; n < count; n++) {
    const due = performance.now() + 1000 / fps;
    draw(n);
    (track.requestFrame ? track : stream).requestFrame();
    // Browsers capture when they next paint, which hidden pages do not.
    await Promise.race([new Promise(requestAnimationFrame), wait(1000)]);
    await wait(due - performance.now());
  }
  recorder.stop();
  await ended;
  return new Blob(parts, { type });
}

const bytes = (count) => (value) =>
  Uint8Array.from({ length: count }, (_, i) => Math.floor(value / 256 ** (count - 1 - i)) % 256);
const [u16, u32] = [bytes(2), bytes(4)];
const text = (words) => new TextEncoder().encode(words);
const zeros = (count) => new Uint8Array(count);
const joined = (parts) => {
  const out = zeros(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    out.set(part, at);
    at += part.length;
  }
  return out;
};

/* Create a box from its name and content; a full box also has a version and flags. */
function box(name, ...parts) {
  const content = joined(parts);
  return joined([u32(8 + content.length), text(name), content]);
}
const full = (name, flags, ...parts) => box(name, u32(flags), ...parts);

const MATRIX = joined([1, 0, 0, 0, 1, 0, 0, 0, 0x4000].map((value) => u32(value * 0x10000)));
const PRIMARIES = { bt709: 1, bt470bg: 5, smpte170m: 6 };
const TRANSFERS = { bt709: 1, smpte170m: 6, "iec61966-2-1": 13 };
const MATRICES = { rgb: 0, bt709: 1, bt470bg: 5, smpte170m: 6 };

/* The parts of the file. Its tables come first, so that playback can begin during download. */
function file(samples, config, { width, height, fps }) {
  const type = box("ftyp", text("isom"), u32(512), text("isomiso2avc1mp41"));
  const length = samples.reduce((sum, { data }) => sum + data.length, 0);
  const tables = (at) => movie(samples, config, { width, height, fps, at });
  const start = type.length + tables(0).length + 8;
  return [type, tables(start), u32(8 + length), text("mdat"), ...samples.map(({ data }) => data)];
}

/* The box "moov"; the first sample is at the byte `at` of the file. */
function movie(samples, config, { width, height, fps, at }) {
  const count = samples.length;
  const keys = [...samples.keys()].filter((n) => samples[n].key);
  const head = [u32(0), u32(0), u32(fps), u32(count)]; // creation and modification time; ticks per second; duration
  const tables = box("stbl",
    full("stsd", 0, u32(1), entry(config, width, height)),
    full("stts", 0, u32(1), u32(count), u32(1)),
    full("stss", 0, u32(keys.length), ...keys.map((n) => u32(n + 1))),
    full("stsc", 0, u32(1), u32(1), u32(count), u32(1)),
    full("stsz", 0, u32(0), u32(count), ...samples.map(({ data }) => u32(data.length))),
    full("stco", 0, u32(1), u32(at)));
  const data = box("dinf", full("dref", 0, u32(1), full("url ", 1)));
  return box("moov",
    full("mvhd", 0, ...head, u32(0x10000), u16(0x100), zeros(10), MATRIX, zeros(24), u32(2)),
    box("trak",
      full("tkhd", 3, u32(0), u32(0), u32(1), u32(0), u32(count), zeros(16), MATRIX,
        u32(width * 0x10000), u32(height * 0x10000)),
      box("mdia",
        full("mdhd", 0, ...head, u16(0x55c4), u16(0)), // undetermined language
        full("hdlr", 0, u32(0), text("vide"), zeros(12), text("film\0")),
        box("minf", full("vmhd", 1, zeros(8)), data, tables))));
}

/* The decoder configuration, with the colour space if the encoder reports it. */
function entry({ description, colorSpace }, width, height) {
  const { primaries, transfer, matrix, fullRange } = colorSpace ?? {};
  const known = [PRIMARIES[primaries], TRANSFERS[transfer], MATRICES[matrix]];
  const colours = known.every((value) => value !== undefined)
    ? [box("colr", text("nclx"), ...known.map(u16), new Uint8Array([fullRange ? 128 : 0]))]
    : [];
  const setup = ArrayBuffer.isView(description)
    ? new Uint8Array(description.buffer, description.byteOffset, description.byteLength)
    : new Uint8Array(description);
  return box("avc1", zeros(6), u16(1), zeros(16), u16(width), u16(height),
    u32(72 * 0x10000), u32(72 * 0x10000), u32(0), u16(1), zeros(32), u16(24), u16(0xffff),
    box("avcC", setup), ...colours);
}

/* The geometry of a map. It is a square of `columns` × `columns` starts, of which each is one unit
   wide. A tile { depth, x, y } is in column x and row y of columns · 2^depth; its four children are
   its quadrants. A camera { x, y, scale } is the point in the middle of a view { width, height }, and
   the CSS pixels of a start. Points of a view are in CSS pixels from its upper left corner. */

const LEAST_TILE = 1.5; // times its pixels, in CSS pixels
const [FEWEST, MOST] = [2, 3]; // finished tiles, and tiles of any depth, at least across a view
const SEAMS = [1, 2.5, 4]; // CSS pixels beside a tile: to a sibling, to a cousin, to all others
const ADDRESS = /^(\d{1,9})(?:\.([0-3]{1,15}))?$/;

export const clamp = (value, least, most) => Math.min(Math.max(value, least), most);

/* The address in a text such as 5.0231 or 5, or nothing; the text may be from a link. */
export function read(text) {
  const [, start, digits = ""] = ADDRESS.exec(text) ?? [];
  return start && { start: Number(start), digits };
}

export const written = ({ start, digits }) => (digits ? `${start}.${digits}` : String(start));

/* The address of a tile; `starts` are the numbers of the starts in each row. A digit is a quadrant:
   its column, and twice its row. */
export function addressOf({ depth, x, y }, starts) {
  const quadrant = (_, split) => ((x >> (depth - 1 - split)) & 1) + 2 * ((y >> (depth - 1 - split)) & 1);
  const digits = Array.from({ length: depth }, quadrant).join("");
  return { start: starts[y >> depth][x >> depth], digits };
}

/* The tile at an address, or nothing if its start is not on the map. */
export function tileOf({ start, digits }, starts) {
  const row = starts.findIndex((numbers) => numbers.includes(start));
  if (row < 0) return;
  const root = { depth: 0, x: starts[row].indexOf(start), y: row };
  return [...digits].reduce((tile, digit) => child(tile, Number(digit)), root);
}

export const child = ({ depth, x, y }, digit) =>
  ({ depth: depth + 1, x: 2 * x + (digit % 2), y: 2 * y + (digit >> 1) });

/* The tile itself, or its ancestor at a depth. */
export const ancestor = ({ depth, x, y }, above) =>
  ({ depth: above, x: x >> (depth - above), y: y >> (depth - above) });

/* The limits of a map in a view: the scale that shows all of it, the largest one, and the width of a
   tile at which each doubling of the scale is one depth more. `side` are the pixels of a picture. */
export function limitsOf({ width, height }, { columns, deepest, side }) {
  const room = Math.min(width, height);
  const least = room / columns;
  const tile = Math.max(least, Math.min(room / MOST, LEAST_TILE * side));
  return { least, tile, most: Math.max(tile, room / FEWEST, 2 * side) * 2 ** deepest };
}

/* The depth of the tiles that are shown at a scale. */
export const depthAt = (scale, { tile }, deepest) =>
  clamp(Math.round(Math.log2(scale / tile)), 0, deepest);

/* The camera within the limits, and the view within the map as far as the map fills it. */
export function kept({ x, y, scale }, { width, height }, { least, most }, columns) {
  const within = clamp(scale, least, most);
  const axis = (value, room) => {
    const half = room / 2 / within;
    return half < columns / 2 ? clamp(value, half, columns - half) : columns / 2;
  };
  return { x: axis(x, width), y: axis(y, height), scale: within };
}

/* The camera after a zoom by a factor, with the same point of the map under a point of the view. */
export function zoomed(camera, { width, height }, [left, top], factor) {
  const away = 1 / camera.scale - 1 / (camera.scale * factor);
  const [x, y] = [camera.x + (left - width / 2) * away, camera.y + (top - height / 2) * away];
  return { x, y, scale: camera.scale * factor };
}

/* The camera on the way from one to another: an even zoom, around the point that does not move. */
export function between(from, to, share) {
  const scale = from.scale * (to.scale / from.scale) ** share;
  const isZoom = Math.abs(to.scale / from.scale - 1) > 1e-6;
  const way = isZoom ? (1 / from.scale - 1 / scale) / (1 / from.scale - 1 / to.scale) : share;
  return { x: from.x + (to.x - from.x) * way, y: from.y + (to.y - from.y) * way, scale };
}

/* The camera that shows a tile in the middle, as wide as tiles of its depth are. */
export function cameraAt({ depth, x, y }, { tile }) {
  const side = 1 / 2 ** depth;
  return { x: (x + 0.5) * side, y: (y + 0.5) * side, scale: tile * 2 ** depth };
}

/* The box of a tile in a view, without the seams beside it. A seam is wider between tiles that parted
   earlier. */
export function boxOf({ depth, x, y }, camera, { width, height }) {
  const side = camera.scale / 2 ** depth;
  const edge = (index) => {
    let level = 0;
    while (level < Math.min(depth, SEAMS.length - 1) && (index >> level) % 2 === 0) level++;
    return SEAMS[level];
  };
  const axis = (index, middle, room) => {
    const start = room / 2 + index * side - middle * camera.scale;
    return [start + edge(index), start + side - edge(index + 1)];
  };
  const [[left, right], [top, bottom]] = [axis(x, camera.x, width), axis(y, camera.y, height)];
  return { left, top, width: right - left, height: bottom - top };
}

/* Whether the middle of a tile is in a view. */
export function isInView(tile, camera, view) {
  const { left, top, width, height } = boxOf(tile, camera, view);
  const isInside = (middle, room) => middle > 0 && middle < room;
  return isInside(left + width / 2, view.width) && isInside(top + height / 2, view.height);
}

/* The tile of a depth at a point of a view; nothing outside the map. */
export function tileAt([left, top], depth, camera, { width, height }, columns) {
  const axis = (at, middle, room) =>
    Math.floor((middle + (at - room / 2) / camera.scale) * 2 ** depth);
  const tile = { depth, x: axis(left, camera.x, width), y: axis(top, camera.y, height) };
  return isOnMap(tile, columns) ? tile : undefined;
}

export function isOnMap({ depth, x, y }, columns) {
  const count = columns * 2 ** depth;
  return x >= 0 && y >= 0 && x < count && y < count;
}

/* The tiles of a depth in a view, the nearest to its middle first. */
export function visible(depth, camera, { width, height }, columns) {
  const cells = 2 ** depth;
  const axis = (middle, room) => {
    const half = room / 2 / camera.scale;
    const first = Math.max(0, Math.floor((middle - half) * cells + 1e-6));
    const last = Math.min(columns * cells, Math.ceil((middle + half) * cells - 1e-6));
    return Array.from({ length: last - first }, (_, at) => first + at);
  };
  const [across, down] = [axis(camera.x, width), axis(camera.y, height)];
  const tiles = down.flatMap((y) => across.map((x) => ({ depth, x, y })));
  const middle = ({ x, y }) => Math.hypot((x + 0.5) / cells - camera.x, (y + 0.5) / cells - camera.y);
  return tiles.sort((one, other) => middle(one) - middle(other));
}

/* How far a tile is from what is seen: in widths of the view, and a quarter for each depth. */
export function distance({ depth, x, y }, seen, camera, { width }) {
  const side = 1 / 2 ** depth;
  const axis = (index, middle) => Math.max(index * side - middle, middle - (index + 1) * side, 0);
  const away = Math.hypot(axis(x, camera.x), axis(y, camera.y));
  return (away * camera.scale) / width + Math.abs(depth - seen) / 4;
}

/* The map as a tree for the keyboard and for screen readers: the line from the start to the tile with
   the focus, and its siblings. The item with the focus is over its tile, the others are not seen. */

import { ancestor, child, isOnMap } from "./geometry.js";

const WAYS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

/* The tile that a key leads to, if it is one: the next in a direction, the first child, the parent. */
export function led(key, tile, { columns, deepest }) {
  if (key === "Enter") return tile.depth < deepest ? child(tile, 0) : undefined;
  if (key === "Backspace") return tile.depth ? ancestor(tile, tile.depth - 1) : undefined;
  if (!(key in WAYS)) return;
  const [across, down] = WAYS[key];
  const to = { depth: tile.depth, x: tile.x + across, y: tile.y + down };
  return isOnMap(to, columns) ? to : undefined;
}

/* The tiles beside a tile, itself included: those of its parent, or all starts. */
export function siblings({ depth, x, y }, columns) {
  if (depth) return [0, 1, 2, 3].map((digit) => child({ depth: depth - 1, x: x >> 1, y: y >> 1 }, digit));
  return Array.from({ length: columns ** 2 }, (_, at) => ({ depth, x: at % columns, y: Math.floor(at / columns) }));
}

/* Fill the element of the tree; said: the text for a tile. Returns the item of the tile. */
export function fillTree(element, tile, { columns, deepest, said }) {
  let own;
  const item = (each, number, count) => {
    const made = document.createElement("div");
    const facts = { level: each.depth + 1, posinset: number + 1, setsize: count, label: said(each) };
    made.setAttribute("role", "treeitem");
    for (const [name, value] of Object.entries(facts)) made.setAttribute(`aria-${name}`, value);
    if (each.depth < deepest) made.setAttribute("aria-expanded", String(each.depth < tile.depth));
    return made;
  };
  const group = (depth) => {
    const above = ancestor(tile, depth);
    const all = siblings(above, columns);
    return all.flatMap((each, number) => {
      const isLine = each.x === above.x && each.y === above.y;
      if (depth < tile.depth && !isLine) return [];
      const made = item(each, number, all.length);
      if (isLine && depth < tile.depth) {
        const below = document.createElement("div");
        below.setAttribute("role", "group");
        below.append(...group(depth + 1));
        made.append(below);
      } else if (isLine) own = made;
      made.tabIndex = -1;
      return [made];
    });
  };
  element.replaceChildren(...group(0));
  own.setAttribute("aria-selected", "true");
  own.tabIndex = 0;
  return own;
}

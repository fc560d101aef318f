/* The tree of a sample with its branches, over an axis with a column for each level of its nodes. A
   node is a picture and one of its levels. The arrow keys navigate it as a tree widget: right to the
   first branch, left to the parent, up and down to the previous and next node. */

/* The tree of the pictures of one sample, or undefined without branches; leaves end with their
   pictures. */
export function grown(pictures) {
  return pictures.some(({ branches }) => branches.length) ? parting(pictures, 0) : undefined;
}

/* The subtree of pictures whose first `depth` branches are the same. */
function parting(pictures, depth) {
  const own = pictures.find(({ branches }) => branches.length === depth);
  const others = pictures.filter(({ branches }) => branches.length > depth);
  const levels = [...new Set(others.map(({ branches }) => branches[depth].level))];
  return chain(own, others, levels.sort((one, other) => other - one), depth);
}

/* One branch from its first split on: `own` is the picture that continues without branching. */
function chain(own, others, levels, depth) {
  if (!levels.length) return { picture: own, level: undefined, children: [] };
  const [level, ...rest] = levels;
  const here = others.filter(({ branches }) => branches[depth].level === level);
  const below = others.filter((each) => !here.includes(each));
  const numbers = [...new Set(here.map(({ branches }) => branches[depth].number))];
  const children = numbers.map((number) =>
    parting(here.filter(({ branches }) => branches[depth].number === number), depth + 1));
  if (own || rest.length) children.unshift(chain(own, below, rest, depth));
  return { picture: own ?? others[0], level, children };
}

const WAYS = {
  ArrowRight: (node) => node.children[0],
  ArrowLeft: (node) => node.above,
  ArrowDown: (node, all) => all[all.indexOf(node) + 1],
  ArrowUp: (node, all) => all[all.indexOf(node) - 1],
  Home: (node, all) => all[0],
  End: (node, all) => all.at(-1),
  Enter: (node) => node,
  " ": (node) => node,
};

export class TreeView {
  #nodes = [];
  #columns = []; // the level of each

  /* box: the container element, whose last child is the axis; open: callback for the picture and level
     that a visitor selects; draw: draws a state on a canvas; said: the text for a picture and a level;
     tick: the text for a level on the axis. */
  constructor(box, { open, draw, said, tick }) {
    Object.assign(this, { box, axis: box.lastElementChild, open, draw, said, tick });
    box.addEventListener("click", ({ target }) => {
      const node = this.#at(target.closest("[role=treeitem]"));
      if (node) this.#go(node);
    });
    box.addEventListener("keydown", (event) => {
      if (event.ctrlKey || event.altKey || event.metaKey || !(event.key in WAYS)) return;
      const node = this.#at(document.activeElement);
      if (!node) return;
      event.preventDefault();
      const to = WAYS[event.key](node, this.#nodes);
      if (to) this.#go(to);
    });
  }

  /* Draw the tree of these pictures; name: the label of the tree. Without branches, a tree that the
     page was made with stays. */
  show(pictures, name) {
    const root = grown(pictures);
    if (!root && !this.#nodes.length) return;
    const focused = this.#at(document.activeElement);
    this.#nodes = [];
    this.box.hidden = !root;
    if (!root) return;
    const tree = element("div", { role: "tree", "aria-label": name });
    tree.append(this.#item(root, 1));
    this.#columns = [...new Set(this.#nodes.map(({ level = 0 }) => level))].sort((one, other) => other - one);
    this.box.style.setProperty("--columns", this.#columns.length);
    for (const node of this.#nodes) {
      node.column = this.#columns.indexOf(node.level ?? 0);
      node.item.style.setProperty("--skipped", node.above ? node.column - node.above.column - 1 : 0);
    }
    this.box.firstElementChild.replaceWith(tree);
    const symbol = this.axis.querySelector("var");
    const ticks = this.#columns.map((level) => element("span", {}, this.tick(level)));
    this.axis.replaceChildren(...ticks);
    ticks[0].prepend(symbol, " ");
    for (const { picture } of this.#nodes) this.refresh(picture);
    const again = this.#nodes.find(
      ({ picture, level }) => picture === focused?.picture && level === focused?.level);
    this.#reach(again ?? root);
    if (again) again.item.focus();
  }

  /* Draw the nodes that a picture has reached. */
  refresh(picture) {
    for (const node of this.#nodes) {
      if (node.picture !== picture) continue;
      const { levels, states } = picture;
      const state = node.level === undefined ? states.at(-1) : states[levels.indexOf(node.level)];
      if (!state || node.seen === state) continue;
      node.seen = state;
      this.draw(node.canvas, state);
      node.item.setAttribute("aria-label", this.said(picture, node.level ?? levels.at(-1)));
    }
  }

  /* Mark the enlarged node, by picture and level, if there is one, and move the line for now. */
  mark(picture, level) {
    if (!this.#nodes.length) return;
    const after = this.#columns.findIndex((each) => each <= level);
    const [one, other] = this.#columns.slice(Math.max(0, after - 1));
    const column = after > 0 ? after - (level - other) / (one - other) : 0;
    this.axis.style.setProperty("--now", column);
    this.axis.classList.toggle("growing", level > 0);
    for (const node of this.#nodes) {
      const own = node.level ?? node.picture.levels.at(-1);
      const seen = node.picture === picture && own === level;
      node.item.setAttribute("aria-selected", String(seen));
    }
  }

  #at(item) {
    return this.#nodes.find((node) => node.item === item);
  }

  #go(node) {
    this.#reach(node);
    node.item.focus();
    if (node.seen) this.open(node.picture, node.level ?? node.picture.levels.at(-1));
  }

  /* Set the node that Tab reaches. */
  #reach(to) {
    for (const node of this.#nodes) node.item.tabIndex = node === to ? 0 : -1;
  }

  #item(node, depth, above) {
    const said = this.said(node.picture, node.level ?? 0);
    node.item = element("div", { role: "treeitem", "aria-level": depth, "aria-label": said });
    Object.assign(node, { canvas: element("canvas"), above, depth });
    node.item.append(node.canvas);
    this.#nodes.push(node);
    if (node.children.length) {
      const group = element("div", { role: "group" });
      const items = node.children.map((child) => this.#item(child, depth + 1, node));
      group.append(arrows(node.children), ...items);
      node.item.append(group);
      node.item.setAttribute("aria-expanded", "true");
    }
    return node.item;
  }
}

/* The lines from a picture to its branches, each an S, in a drawing as high as all branches; all
   leaves have the same height. */
function arrows(children) {
  const sizes = children.map(leaves);
  const all = sizes.reduce((sum, size) => sum + size);
  let above = 0;
  const line = sizes.map((size) => {
    const middle = (above + size / 2) / all;
    above += size;
    return `M0 .5C.5 .5 .5 ${middle} 1 ${middle}`;
  }).join("");
  const stretched = { viewBox: "0 0 1 1", preserveAspectRatio: "none", "aria-hidden": true };
  const drawing = drawn("svg", stretched);
  drawing.append(drawn("path", { d: line }));
  return drawing;
}

function leaves({ children }) {
  return children.reduce((sum, child) => sum + leaves(child), 0) || 1;
}

function element(tag, attributes = {}, text = "") {
  return given(Object.assign(document.createElement(tag), { textContent: text }), attributes);
}

function drawn(tag, attributes) {
  return given(document.createElementNS("http://www.w3.org/2000/svg", tag), attributes);
}

function given(made, attributes) {
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  return made;
}

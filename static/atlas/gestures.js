/* Wheel, drag, pinch, tap and double tap on a map. Points are in CSS pixels from its upper left
   corner. A page that is scrolled past a map scrolls on: by a finger until the map was tapped, by a
   wheel until the pointer has moved over it. */

const [TAP, TWICE, HOLD] = [300, 300, 450]; // milliseconds
const STILL = 8; // CSS pixels within which a pointer has not moved
const [WHEEL, PINCH] = [0.002, 0.01]; // logarithm of the zoom for a pixel, and of a touchpad's pinch
const [LINE, NOTCH] = [20, 50]; // pixels of a line, and of a notch of a wheel

/* task: callbacks `active` (whether the map takes gestures), `pan` by a vector, `zoom` at a point by a
   factor, perhaps smoothly, which returns whether there was one, `tap`, `twice` and `hover` at a point. */
export function listen(map, task) {
  const pointers = new Map();
  let [isActive, isAwake] = [false, false];
  let [begun, last, timer] = [undefined, undefined, undefined];
  const activate = (on) => {
    if (on === isActive) return;
    isActive = on;
    task.active(on);
  };
  const pointOf = ({ clientX, clientY }) => {
    const { left, top } = map.getBoundingClientRect();
    return [clientX - left, clientY - top];
  };
  const apart = ([x, y], [left, top]) => Math.hypot(x - left, y - top);
  const middle = () => {
    const points = [...pointers.values()];
    const sum = points.reduce(([x, y], [left, top]) => [x + left, y + top]);
    return sum.map((value) => value / points.length);
  };
  const spread = () => {
    const [one, other] = [...pointers.values()];
    return other ? apart(one, other) : 0;
  };

  map.addEventListener("pointerdown", (event) => {
    if (event.button || event.target.closest("button")) return;
    const point = pointOf(event);
    pointers.set(event.pointerId, point);
    begun = pointers.size === 1 ? { point, time: event.timeStamp } : undefined;
    clearTimeout(timer);
    if (begun) timer = setTimeout(() => begun && task.tap(point), HOLD);
    if (event.pointerType === "mouse") activate(true);
    if (isActive) map.setPointerCapture(event.pointerId);
  });

  map.addEventListener("pointermove", (event) => {
    const point = pointOf(event);
    if (event.pointerType === "mouse" && !event.buttons) {
      if (event.movementX || event.movementY) isAwake = true; // a scrolled page sends moves of 0
      task.hover(point);
    }
    if (!pointers.has(event.pointerId) || !isActive) return;
    const [before, width] = [middle(), spread()];
    pointers.set(event.pointerId, point);
    if (begun && apart(point, begun.point) < STILL) return pointers.set(event.pointerId, begun.point);
    begun = undefined;
    clearTimeout(timer);
    const now = middle();
    task.pan([now[0] - before[0], now[1] - before[1]]);
    if (width) task.zoom(now, spread() / width);
  });

  const lift = (event) => {
    if (!pointers.delete(event.pointerId)) return;
    clearTimeout(timer);
    const { point, time } = begun ?? {};
    begun = undefined;
    if (event.type === "pointercancel" || !point || event.timeStamp - time > TAP) return;
    activate(true);
    const isTwice = last && event.timeStamp - last.time < TWICE && apart(point, last.point) < 3 * STILL;
    last = isTwice ? undefined : { point, time: event.timeStamp };
    if (isTwice) task.twice(point);
    else task.tap(point);
  };
  map.addEventListener("pointerup", lift);
  map.addEventListener("pointercancel", lift);
  map.addEventListener("pointerleave", () => task.hover(undefined));

  map.addEventListener("wheel", (event) => {
    if (!event.ctrlKey && !isAwake) return;
    const pixels = event.deltaY * (event.deltaMode ? LINE : 1);
    const factor = Math.exp(-pixels * (event.ctrlKey ? PINCH : WHEEL));
    const isNotch = Math.abs(pixels) >= NOTCH;
    if (task.zoom(pointOf(event), factor, isNotch) || event.ctrlKey) event.preventDefault();
  }, { passive: false });

  document.addEventListener("scroll", () => (isAwake = false), { passive: true });
  document.addEventListener("pointerdown", ({ target }) => map.contains(target) || activate(false));
  new IntersectionObserver((entries) => entries.at(-1).isIntersecting || activate(false)).observe(map);
}

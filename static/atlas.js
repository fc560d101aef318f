/* Atlases: their script is fetched when a visitor comes near one, moves with Tab, or follows a link to a
   tile. Without it, the page shows their posters. */
"use strict";

{
  const MAP = new URL(document.currentScript.dataset.module, document.baseURI).href;
  const SIMD = [
    0, 97, 115, 109, 1, 0, 0, 0, 1, 5, 1, 96, 0, 1, 123, 3, 2, 1, 0, 10, 10, 1, 8, 0, 65, 0, 253,
    15, 253, 98, 11,
  ];
  const figures = [...document.querySelectorAll(".atlas-figure")];

  /* The reason why nothing can be drawn here; empty if it can. */
  function hindrance() {
    const isAble = typeof WebAssembly === "object" && typeof Worker === "function";
    if (!isAble || !WebAssembly.validate(new Uint8Array(SIMD))) return "old";
    try {
      new WebAssembly.Module(new Uint8Array(SIMD));
      return "";
    } catch {
      return "policy"; // the host's policy
    }
  }

  async function load() {
    near.disconnect();
    const waiting = figures.splice(0);
    if (!waiting.length) return;
    try {
      const { Atlas } = await import(MAP);
      for (const [number, figure] of waiting.entries()) {
        const names = number ? [figure.id] : [...(waiting.length > 1 ? [figure.id] : []), "atlas", figure.id];
        new Atlas(figure, { names, why: hindrance() });
      }
    } catch (fault) {
      console.info(fault);
      const why = location.protocol === "file:" ? "file" : "lost";
      for (const told of document.querySelectorAll(".atlas:not(.live) .atlas-why")) {
        told.textContent = told.dataset[why];
        told.classList.add("told");
      }
    }
  }

  const near = new IntersectionObserver(
    (entries) => entries.some(({ isIntersecting }) => isIntersecting) && load(),
    { rootMargin: "200%" },
  );
  const follow = () => /^#[^/]+\/[\d.]+$/.test(location.hash) && load();
  for (const figure of figures) near.observe(figure);
  addEventListener("hashchange", follow);
  addEventListener("keydown", ({ key }) => key === "Tab" && load()); // its buttons are on the way
  follow();
}

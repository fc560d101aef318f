/* Light or dark colours: the system's, until the visitor chooses. This script runs before the first
   paint, so that no page flashes in the other colours. The colour scheme of the root element decides
   the stylesheet's colours, drawings, and the browser's own controls. Pictures and clips with a file
   for dark pages select it with a media condition. */
"use strict";

{
  const KEY = "sitegen-scheme";
  const CONDITION = /\(prefers-color-scheme:\s*(light|dark)\)/g;
  const root = document.documentElement;
  const meta = document.querySelector('meta[name="color-scheme"]');
  let scheme = ""; // "light" or "dark"; empty for the system's

  /* Preload the font, so that it is available for the first paint. A page that is opened from a
     disk cannot preload it. */
  if (location.protocol !== "file:")
    for (const href of Object.values(document.currentScript.dataset)) {
      const link = { rel: "preload", as: "font", type: "font/woff2", crossOrigin: "", href };
      document.head.append(Object.assign(document.createElement("link"), link));
    }

  const kept = () => {
    try {
      return localStorage[KEY] ?? "";
    } catch {
      return scheme; // some browsers have no storage for files, or in a frame
    }
  };

  const keep = (value) => {
    try {
      if (value) localStorage[KEY] = value;
      else delete localStorage[KEY];
    } catch {} // the choice applies to this page only
  };

  /* Select the files for this page's scheme, independent of the system's. */
  function fit(source) {
    source.dataset.media ??= source.media;
    const told = (all, which) => (which === scheme ? "(min-width: 0)" : "(max-width: 0)");
    const media = scheme ? source.dataset.media.replace(CONDITION, told) : source.dataset.media;
    if (source.media !== media) source.media = media;
  }

  const sources = () => document.querySelectorAll('source[media*="prefers-color-scheme"], source[data-media]');

  function choose(value) {
    scheme = value === "light" || value === "dark" ? value : "";
    if (scheme) root.dataset.scheme = scheme;
    else delete root.dataset.scheme;
    if (meta) meta.content = scheme || "light dark";
    sources().forEach(fit);
    for (const select of document.querySelectorAll(".scheme select")) select.value = scheme;
    document.dispatchEvent(new Event("scheme"));
  }

  const follow = () => kept() !== scheme && choose(kept());

  if (CSS.supports("color", "light-dark(red, oklch(from red l c h))")) {
    choose(kept());
    const fresh = new MutationObserver(() => scheme && sources().forEach(fit));
    fresh.observe(root, { childList: true, subtree: true }); // files are selected while the page is parsed
    document.addEventListener("DOMContentLoaded", () => {
      fresh.disconnect();
      for (const box of document.querySelectorAll(".scheme")) {
        const select = box.querySelector("select");
        select.value = scheme;
        select.addEventListener("change", () => {
          choose(select.value);
          keep(scheme);
        });
        box.classList.add("live");
      }
    });
    addEventListener("storage", follow); // changed in another window, or by the embedding page
    addEventListener("pageshow", follow); // or on another page before the visitor returned
  }
}

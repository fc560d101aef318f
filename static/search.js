/* The search over all pages. Its index is a script, so that it also loads on pages that are opened
   from the file system; it is fetched on first use. All texts come from the page. */
"use strict";

{
  const MOST = 12; // results shown
  const AROUND = 60; // characters of text before and after the first match
  const { index, root } = document.currentScript.dataset;
  const box = document.querySelector(".search");
  const [input, status, list] = box.querySelectorAll("input, [role=status], ol");
  let sections = null;
  let loading = false;

  const load = () => {
    if (sections || loading) return;
    loading = true;
    const script = Object.assign(document.createElement("script"), { src: index });
    script.addEventListener("error", () => {
      loading = false;
      script.remove();
      if (input.value.trim()) status.textContent = status.dataset.lost;
    });
    document.head.append(script);
  };

  globalThis.sitegenSearch = (found) => {
    sections = found.map(([uri, page, heading, text]) => {
      return { uri, page, heading, text, title: `${page} ${heading}`.toLowerCase(), words: text.toLowerCase() };
    });
    search();
  };

  /* How well a section fits: 0 unless each word is in it; titles count more than text. */
  const score = ({ title, words }, wanted) => {
    let sum = 0;
    for (const word of wanted) {
      const at = title.indexOf(word);
      const here = (at >= 0 ? (at === 0 || title[at - 1] === " " ? 9 : 5) : 0) + (words.includes(word) ? 1 : 0);
      if (!here) return 0;
      sum += here;
    }
    return sum;
  };

  /* The text around the first match, with the words marked. */
  const excerpt = ({ text, words }, wanted) => {
    const at = Math.max(0, Math.min(...wanted.map((word) => words.indexOf(word)).filter((at) => at >= 0), text.length));
    const from = at > AROUND && at < text.length ? text.indexOf(" ", at - AROUND) + 1 : 0;
    const piece = text.slice(from, from + 2 * AROUND);
    const line = document.createElement("span");
    line.append(from ? "… " : "", ...marked(piece, wanted), from + piece.length < text.length ? " …" : "");
    return line;
  };

  const marked = (piece, wanted) => {
    const escaped = wanted.map((word) => word.replace(/[.*+?^${}()|[\]\\]/g, "\\$&"));
    return piece.split(new RegExp(`(${escaped.join("|")})`, "i")).map((part, at) => {
      return at % 2 ? Object.assign(document.createElement("mark"), { textContent: part }) : part;
    });
  };

  const result = (section, wanted) => {
    const { uri, page, heading } = section;
    const link = Object.assign(document.createElement("a"), { href: root + uri });
    const title = document.createElement("b");
    title.textContent = heading ? `${page}: ${heading}` : page;
    link.append(title, excerpt(section, wanted));
    const item = document.createElement("li");
    item.append(link);
    return item;
  };

  function search() {
    const wanted = input.value.toLowerCase().split(/\s+/).filter(Boolean);
    box.classList.toggle("searching", wanted.length > 0);
    list.replaceChildren();
    status.textContent = "";
    if (!wanted.length) return;
    if (!sections) return load();
    const found = sections.map((section) => [score(section, wanted), section]).filter(([fit]) => fit);
    found.sort(([one], [other]) => other - one);
    const { none, one, many } = status.dataset;
    status.textContent = (found.length > 1 ? many : found.length ? one : none).replace("{n}", found.length);
    list.append(...found.slice(0, MOST).map(([, section]) => result(section, wanted)));
  }

  input.addEventListener("focus", load);
  input.addEventListener("input", search);
  input.addEventListener("keydown", (event) => {
    if (event.key === "Enter") list.querySelector("a")?.click();
    if (event.key !== "Escape" || !input.value) return;
    event.preventDefault(); // it closes the menu only when there is nothing to clear
    input.value = "";
    search();
  });
  box.classList.add("live");
}

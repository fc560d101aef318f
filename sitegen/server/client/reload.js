// The script that `sitegen serve` adds to a page. It listens to the server, reloads when the site
// changes, and shows errors and the rendering progress. It is not in the built folder.
"use strict";

(() => {
  const page = document.currentScript.dataset;
  let stream = null;
  let overlay = null;
  let shownError = null;
  let pill = null;
  const SCROLLED = "sitegen-scrolled";
  const RETRY = 500; // milliseconds

  const make = (name, className, text = "") => {
    const element = document.createElement(name);
    element.className = className;
    element.textContent = text;
    return element;
  };

  // "pages/index.md:5: message" becomes a location and a message; other lines are messages.
  const problem = (line) => {
    const item = make("li", "");
    const match = /^(\S[^:]*:\d+): (.*)$/.exec(line);
    if (match) item.append(make("code", "", match[1]));
    item.append(match ? match[2] : line);
    return item;
  };

  const hide = () => {
    if (overlay) overlay.remove();
    overlay = null;
    document.body.style.paddingBottom = "";
  };

  // The end of the page scrolls above the overlay; by a pixel more, since scrolling is rounded.
  const makeRoom = () => {
    if (overlay) document.body.style.paddingBottom = `${overlay.offsetHeight + 1}px`;
  };

  const show = (error) => {
    hide();
    overlay = make("div", "sitegen-overlay");
    overlay.setAttribute("role", "alertdialog");
    overlay.setAttribute("aria-label", "The site cannot be built");
    const panel = make("div", "sitegen-panel");
    const list = make("ul", "");
    list.append(...error.split("\n").map(problem));
    const button = make("button", "", "Hide this");
    button.type = "button";
    button.addEventListener("click", hide);
    panel.append(
      make("h2", "", "The site cannot be built"),
      list,
      make("p", "", "The page behind this shows what is valid. It is replaced when this is fixed."),
      button,
    );
    overlay.append(panel);
    document.body.append(overlay);
    makeRoom();
    button.focus({ preventScroll: true });
  };

  const progress = (text) => {
    if (pill) pill.remove();
    pill = null;
    if (!text) return;
    pill = make("div", "sitegen-progress", text);
    pill.setAttribute("role", "status");
    document.body.append(pill);
    giveWay();
  };

  // The progress moves to a corner in which it covers no control, or hides until there is one.
  const CORNERS = ["", "sitegen-left", "sitegen-left sitegen-top", "sitegen-top"];
  const CONTROLS = "a, button, input, select, summary, [tabindex='0']";
  const giveWay = () => {
    if (!pill) return;
    const boxes = Array.from(document.querySelectorAll(CONTROLS), (each) => each.getBoundingClientRect());
    const shown = boxes.filter((box) => box.width && box.bottom > 0 && box.top < innerHeight);
    const isFree = (corner) => {
      pill.className = `sitegen-progress ${corner}`;
      const area = pill.getBoundingClientRect();
      const meets = (box) =>
        box.left < area.right && box.right > area.left && box.top < area.bottom && box.bottom > area.top;
      return !shown.some(meets);
    };
    pill.style.visibility = CORNERS.some(isFree) ? "" : "hidden";
  };

  const mark = (name, ids) => {
    for (const element of document.querySelectorAll(`.${name}`)) {
      element.classList.toggle(name, ids.includes(element.id));
    }
    const elements = ids.map((id) => document.getElementById(id)).filter(Boolean);
    for (const element of elements) element.classList.add(name);
    return elements[0];
  };

  // Scroll to a figure, and show its tab.
  const reveal = (figure) => {
    const tab = figure.closest(".tab");
    if (tab) {
      const tabs = Array.from(tab.parentElement.querySelectorAll(":scope > .tab"));
      tab.parentElement.querySelectorAll(".tab-list input")[tabs.indexOf(tab)].checked = true;
    }
    figure.scrollIntoView({ block: "start", behavior: "instant" });
  };

  // The browser's scroll restoration misses scrolling just before the reload.
  const reload = () => {
    const arriving = document.readyState !== "complete" && sessionStorage.getItem(SCROLLED);
    if (!arriving) sessionStorage.setItem(SCROLLED, JSON.stringify([page.uri, scrollX, scrollY]));
    history.scrollRestoration = "manual";
    location.reload();
  };

  const restoreScroll = () => {
    const [uri, left, top] = JSON.parse(sessionStorage.getItem(SCROLLED) || "[]");
    if (uri && uri === page.uri) scrollTo({ left, top, behavior: "instant" });
  };

  const arrive = () => {
    restoreScroll();
    sessionStorage.removeItem(SCROLLED);
    history.scrollRestoration = "auto";
  };

  const update = (state) => {
    if (state.version !== page.version) {
      reload();
      return;
    }
    const failed = mark("sitegen-failed", state.failed[page.uri] || []);
    if (state.error !== shownError && page.plain === undefined) {
      if (state.error) show(state.error);
      else hide();
      if (failed) reveal(failed);
    }
    shownError = state.error;
    progress(state.progress);
  };

  // A hidden tab closes its connection, since browsers allow only six for each server.
  const listen = () => {
    if (document.hidden) {
      if (stream) stream.close();
      stream = null;
    } else if (!stream) {
      stream = new EventSource("/_sitegen/events");
      stream.addEventListener("message", (event) => update(JSON.parse(event.data)));
      stream.addEventListener("error", retry);
    }
  };

  // A browser retries a lost connection, but not after a response from another program.
  const retry = () => {
    if (!stream || stream.readyState !== EventSource.CLOSED) return;
    stream = null;
    setTimeout(listen, RETRY);
  };

  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape") hide();
  });
  document.addEventListener("visibilitychange", listen);
  addEventListener("scroll", giveWay, { passive: true });
  addEventListener("resize", giveWay);
  addEventListener("resize", makeRoom);
  window.addEventListener("pagehide", () => stream && stream.close());
  window.addEventListener("pageshow", (event) => {
    if (event.persisted) location.reload();
  });
  document.addEventListener("DOMContentLoaded", restoreScroll);
  document.addEventListener("DOMContentLoaded", listen);
  window.addEventListener("load", arrive);
})();

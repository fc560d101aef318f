/* A video of another host: a button in the place of the link, and the player when it is pressed.
   Before that nothing is loaded from elsewhere. Without this script the link leads to the video. */
"use strict";

(() => {
  const play = (screen, button) => {
    const player = document.createElement("iframe");
    player.title = screen.dataset.title;
    player.allow = "autoplay; fullscreen; picture-in-picture; encrypted-media";
    player.referrerPolicy = "strict-origin-when-cross-origin"; // YouTube plays to no unknown page
    player.src = screen.dataset.player;
    button.replaceWith(player);
    player.focus();
  };

  for (const screen of document.querySelectorAll("[data-player]")) {
    const link = screen.querySelector("a");
    const button = document.createElement("button");
    button.type = "button";
    button.className = link.className;
    button.append(...link.childNodes);
    button.addEventListener("click", () => play(screen, button));
    link.replaceWith(button);
  }
})();

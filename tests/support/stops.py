"""Every stop of every slider in any browser: the words, and the picture that they describe.

A frame of the sample site has the brightness `shade(frame)`, so the picture says which it is.
"""

import json
from collections.abc import Callable
from typing import Any

from sitegen.html.figure_views import scale
from tests.support.sample_site import LEVELS, POINTS, SIGMAS, shade

PAUSES = 3
"""How often the clip of samples is played and paused."""
EVERY = 4
"""Stops of the other clips from one that is looked at to the next."""

_WALK = """
(async () => {
  const wait = (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds));
  const canvas = Object.assign(document.createElement("canvas"), { width: 1, height: 1 });
  const pen = canvas.getContext("2d", { willReadFrequently: true });
  const found = [];
  const shade = (video) => {
    pen.drawImage(video, 30, 100, 1, 1, 0, 0, 1, 1);
    return pen.getImageData(0, 0, 1, 1).data[0];
  };
  const settle = async (figure, right) => {
    const video = figure.querySelector("video");
    for (let turn = 0; turn < 600; turn++) {
      await wait(20);
      const there = video.readyState >= 2 && !video.seeking && video.paused;
      if (there && right(shade(video))) break;
    }
    for (let frame = 0; frame < 3; frame++) await new Promise(requestAnimationFrame);
    const words = figure.querySelector(".readout").textContent.replace(/\\s+/g, " ").trim();
    return [shade(video), words];
  };
  for (const [id, wanted] of Object.entries(WANTED)) {
    const figure = document.getElementById(id);
    const slider = figure.querySelector(".slider");
    figure.scrollIntoView();
    if (Number(slider.max) + 1 !== wanted.length) throw new Error(`${id} has ${slider.max}`);
    for (const [stop, brightness] of wanted.entries()) {
      if (id !== "trajectories" && stop % EVERY) continue;
      slider.value = stop;
      slider.dispatchEvent(new Event("input"));
      const right = (seen) => brightness === null || Math.abs(seen - brightness) < 5;
      found.push([id, stop, ...(await settle(figure, right))]);
    }
  }
  const figure = document.getElementById("trajectories");
  const [button, video] = [figure.querySelector(".play"), figure.querySelector("video")];
  figure.scrollIntoView();
  for (let turn = 0; turn < PAUSES; turn++) {
    button.click();
    while (video.paused || video.currentTime < 0.2 * (turn + 1)) await wait(20);
    button.click();
    found.push(["trajectories", null, ...(await settle(figure, () => true))]);
  }
  return found;
})()
"""

_FRAMES = [shade(frame) for frame in range(LEVELS + 1)]
_WANTED: dict[str, list[int] | list[None]] = {
    "trajectories": _FRAMES,
    "single": _FRAMES,
    "interpolation": [shade(point) for point in range(POINTS)],
    "hierarchy": [None] * (LEVELS + 1),  # its pictures have several brightnesses
}


def wrong_stops(evaluate: Callable[[str], Any]) -> list[Any]:
    """Move the sliders to every stop, play and pause; return what has wrong words or pictures."""
    script = _WALK.replace("WANTED", json.dumps(_WANTED)).replace("PAUSES", str(PAUSES))
    found = evaluate(script.replace("EVERY", str(EVERY)))
    stops = (
        len(all) if id == "trajectories" else -(-len(all) // EVERY) for id, all in _WANTED.items()
    )
    assert len(found) == sum(stops) + PAUSES
    return [each for each in found if not _right(*each)]


def _right(id: str, stop: int | None, brightness: int, words: str) -> bool:
    """Return whether picture and words are those of the stop, or of each other after a pause."""
    frame = round((brightness - shade(0)) / 10) if stop is None else stop
    if id != "hierarchy" and abs(brightness - shade(frame)) >= 5:
        return False
    level, sigma = LEVELS - frame, scale(SIGMAS[LEVELS - frame])
    told = {
        "single": f"k = {level}",
        "interpolation": f"point {frame + 1} of {POINTS}",
    }
    return words == told.get(id, f"k = {level} σB = {sigma} px")

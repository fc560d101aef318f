"""What every engine must do on a page: tabs, popovers, scrubbing, the large view, smooth, and a
sampler; and nothing is wider than the window.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.support.drawing import PAGE, site_that_draws

_TABS = """
{{ tabs(
  trajectories("mnist", count=2, id="one"),
  trajectories("mnist", count=2, seed=1, id="two"),
  names=["One", "Two"]) }}
"""
WANTED = {
    "linked": [False, True],
    "tabs": [True, False],
    "popover": [False, True, False],
    "scrubbed": [True, True],
    "large": [False, True, "Sample 1 of 2", "auto", False],
    "sideways": 0,
    "sampler": ["The picture is done.", True],
}
"""What the page must have done after `basics`."""
_WALK = """
(async () => {
  const until = async (task) => {
    for (let turn = 0; turn < 4000; turn++) {
      if (task()) return;
      await new Promise((resolve) => setTimeout(resolve, 30));
    }
    throw new Error(String(task));
  };
  const find = (selector) => document.querySelector(selector);
  const isShown = (id) => document.getElementById(id).getClientRects().length > 0;
  const shown = () => ["one", "two"].map(isShown);
  const seen = { linked: shown() };
  find(".tabs > .tab-list input").click();
  seen.tabs = shown();
  const about = find("#one-about");
  seen.popover = [about.matches(":popover-open")];
  find("[popovertarget=one-about]").click();
  seen.popover.push(about.matches(":popover-open"));
  about.hidePopover();
  seen.popover.push(about.matches(":popover-open"));
  const slider = find("#one .slider");
  const level = find("#one [data-slot='{level}']");
  const scrub = async (stop) => {
    slider.value = stop;
    slider.dispatchEvent(new Event("input"));
    // The slider's own words are those of the stop at once, the readout's when its frame is shown.
    const [wanted] = slider.getAttribute("aria-valuetext").match(/\\d+/);
    await until(() => level.textContent === wanted);
    return Number(wanted);
  };
  const [early, late] = [await scrub(3), await scrub(6)];
  seen.scrubbed = [early > late, late > 0];
  const dialog = find("dialog");
  seen.large = [dialog.open];
  find("#one .cell-button").click();
  seen.large.push(dialog.open, find("#viewer-title").textContent);
  seen.large.push(getComputedStyle(dialog.querySelector("canvas")).imageRendering);
  dialog.querySelector(".close").click();
  seen.large.push(dialog.open);
  scrollTo(500, scrollY);
  seen.sideways = scrollX;
  find("#own").scrollIntoView(); // its script comes with the visitor
  await until(() => find("#own .sampler.live"));
  find("#own .sampler-new").click();
  const told = find("#own .sampler-told");
  await until(() => told.textContent === "The picture is done.");
  seen.sampler = [told.textContent, find("#own canvas").getClientRects().length > 0];
  return seen;
})()
"""


def site_of_basics(root: Path) -> Path:
    """Build a site whose front page has a sampler, and two clips in tabs; return its folder."""
    return site_that_draws(root, PAGE + _TABS)


def basics(evaluate: Callable[[str], Any]) -> Any:
    """Use the page of `site_of_basics`, opened at its fragment #two, and return what happened."""
    return evaluate(_WALK)

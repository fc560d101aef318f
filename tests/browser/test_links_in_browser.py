"""The links of figures: they lead to what is seen, and open there."""

import re

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.conftest import Look
from tests.browser.test_script import LARGE, PLAYING, slide, spoken, wait_for_shade
from tests.conftest import SampleSite
from tests.support.browsing import opened, until
from tests.support.sample_site import CHOSEN, CHOSEN_FROM, COUNT, LEVELS, POINTS, shade

CALM = {"reduced_motion": "reduce"}
BOARD = ["clipboard-read", "clipboard-write"]


def address_of(page: Page, place: str) -> str:
    """Press a link of a figure, or of the viewer, and tell what the address bar then holds."""
    link = page.locator(f"{place} .link")
    link.click()
    status = page.locator(f"{place} [role=status][data-copied*='seen now']")
    expect(status).to_have_text(re.compile("seen now"))
    assert link.get_attribute("href") == page.url
    return page.url.partition("/sub/")[2]


def test_level_is_kept(calm: Page, look: Look) -> None:
    """Where a clip was stopped, its link and the address say the level, and open at that frame."""
    assert address_of(calm, "#trajectories") == "#trajectories"
    slide(calm, "trajectories", 13)
    uri = address_of(calm, "#trajectories")
    assert uri == f"?level={LEVELS - 13}#trajectories"
    with look(uri) as page:
        wait_for_shade(page, "trajectories", 13)
        expect(page.locator("#trajectories .slider")).to_have_value("13")
        top = page.evaluate("document.querySelector('#trajectories').getBoundingClientRect().top")
        assert 0 <= top < page.evaluate("innerHeight / 2")
        assert page.evaluate("scrollY") > 100
        assert page.evaluate(PLAYING) == 0
    slide(calm, "interpolation", POINTS - 3)
    uri = address_of(calm, "#interpolation")
    assert uri == f"?point={POINTS - 2}#interpolation"
    with look(uri) as page:
        wait_for_shade(page, "interpolation", POINTS - 3)


def test_sample_and_branch_are_kept(calm: Page, look: Look) -> None:
    """What is seen large opens large, at its level; its seed and chosen number stand there."""
    told = f"Chosen from {CHOSEN_FROM} samples."
    expect(calm.locator("#trajectories figcaption .choice")).to_have_text(told)
    calm.locator("#trajectories .cell-button").press("End")
    calm.keyboard.press("Enter")
    dialog = calm.locator("#viewer")
    expect(dialog.locator(".seed")).to_have_text(
        f"Seed 0, sample number {CHOSEN[-1]}; the first is 0"
    )
    assert address_of(calm, "#viewer") == f"?sample={COUNT}#trajectories"
    stage, large = calm.locator("#trajectories .stage"), dialog.locator("canvas")
    for look_of, rendering in (("pixelated", "pixelated"), ("stage", "auto")):
        stage.evaluate(f"e => {{ e.className = 'stage {look_of}' }}")
        dialog.locator(".earlier").press("Enter")
        dialog.locator(".later").press("Enter")
        expect(large).to_have_css("image-rendering", rendering)  # as that of the clip
    dialog.locator(".slider").press("Home")
    uri = address_of(calm, "#viewer")
    assert uri == f"?sample={COUNT}&level={LEVELS}#trajectories"
    with look(uri) as page:
        expect(page.get_by_role("dialog", name=f"Sample {COUNT} of {COUNT}")).to_be_visible()
        until(page, f"Math.abs({LARGE} - {shade(0)}) < 5")
        page.keyboard.press("Escape")
        expect(page.locator("#trajectories .slider")).to_have_value("0")
    calm.keyboard.press("Escape")
    calm.locator("#hierarchy .node").nth(4).press("Enter")
    expect(dialog.locator(".seed")).to_have_text("Seed 0")
    assert address_of(calm, "#viewer") == "?branch=2.2#hierarchy"
    dialog.locator(".slider").press("Home")
    with look(address_of(calm, "#viewer")) as page:
        name = "Generation 2, picture 2: levels 20 to 8"
        expect(page.get_by_role("dialog", name=name)).to_be_visible()
        expect(page.locator("#viewer .slider")).to_have_attribute("aria-valuetext", spoken(LEVELS))


def test_address_goes_elsewhere(look: Look) -> None:
    """Where the fragment changes while a sample is seen large, the page is seen again."""
    with look("?sample=2#trajectories") as page:
        expect(page.locator("#viewer")).to_be_visible()
        page.evaluate("location.hash = 'hierarchy'")
        expect(page.locator("#viewer")).to_be_hidden()
        assert page.evaluate("document.querySelector('#hierarchy').getBoundingClientRect().y") < 100


@pytest.mark.parametrize(
    "uri",
    [
        "?sample=99&level=ten#trajectories",
        "?branch=7.1#hierarchy",
        "?branch=x&point=-1#hierarchy",
        "?level=3#chart",
        "?level=3#nothing",
        "?utm=x#%",
        "?level=3",
    ],
)
def test_odd_addresses(look: Look, uri: str) -> None:
    """An address that names nothing opens the page as it is, without a word on the console."""
    with look(uri) as page:
        expect(page.locator("#viewer")).to_be_hidden()
        expect(page.locator("#trajectories .play")).to_be_visible()
        assert page.evaluate(PLAYING) == 0


def test_link_is_copied(browser: Browser, sample_site: SampleSite) -> None:
    """The link of a clip, and that of a drawing, are copied whole; by keyboard, too."""
    with opened(browser, sample_site.address, permissions=BOARD, **CALM) as page:
        for name in ("trajectories", "chart"):
            page.locator(f"#{name} .link").press("Enter")
            expect(page.locator(f"#{name} .service > [role=status]")).to_have_text(
                "Copied, as it is seen now."
            )
            wanted = f"{sample_site.address}#{name}"
            assert page.evaluate("navigator.clipboard.readText()") == wanted


def test_links_without_the_script(browser: Browser, sample_site: SampleSite) -> None:
    """A figure's link, and one that keeps a level, lead to the figure where no script runs."""
    page = browser.new_page(java_script_enabled=False)
    page.goto(sample_site.address)
    page.get_by_role("link", name="Link to figure 4").click()
    assert page.url == f"{sample_site.address}#hierarchy"
    assert page.locator("#hierarchy").bounding_box() is not None
    page.goto("about:blank")
    page.goto(f"{sample_site.address}?level=3#hierarchy")
    box = page.locator("#hierarchy").bounding_box()
    assert box is not None
    assert -5 < box["y"] < 100
    page.close()

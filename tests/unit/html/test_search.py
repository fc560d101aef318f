"""The index of the search."""

import json
from pathlib import Path

from sitegen.content.pages import read_pages
from sitegen.html.search import search_index
from tests.support.fabricated import make_site

PAGE = """First *words*.

## Results of $x^2$

A list:

- one & two
- `three`

{{ trajectories("mnist", caption="Digits form.") }}

### Details

| a | b |
|---|---|
| 1 | 2 |
"""


def test_sections(tmp_path: Path) -> None:
    """Each section has its link, page, heading and plain text, with the captions of its figures."""
    site = make_site(tmp_path, index=PAGE)
    path, text = search_index(read_pages(site))
    assert path.startswith("assets/sections-")
    assert text.startswith("sitegenSearch(")
    assert json.loads(text.removeprefix("sitegenSearch(").removesuffix(");\n")) == [
        ["index.html", "A title", "", "First words."],
        [
            "index.html#h-results-of-x-2",
            "A title",
            "Results of x2",
            "A list: one & two three Digits form.",
        ],
        ["index.html#h-details", "A title", "Details", "a b 1 2"],
    ]
    assert search_index(read_pages(site))[0] == path

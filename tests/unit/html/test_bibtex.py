"""The BibTeX entry says what the config says, in words that LaTeX prints as they are."""

from __future__ import annotations

import re
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from sitegen.html import bibtex as module
from sitegen.html.bibtex import bibtex
from tests.support.fabricated import make_site

SITE = """
title = "50% of $x_1$ & {more} \\\\ ~ ^ #"
[[authors]]
name = "Ana B. Cé"
[[authors]]
name = "Dan"
[citation]
type = "inproceedings"
key = "ana2023"
booktitle = "A book"
year = 2023
"""


def test_entry(tmp_path: Path) -> None:
    """Every field, and nothing for those that are not given."""
    assert bibtex(make_site(tmp_path, SITE)) == (
        "@inproceedings{ana2023,\n"
        r"  title = {50\% of \$x\_1\$ \& \{more\} \textbackslash{} \textasciitilde{} "
        r"\textasciicircum{} \#}," + "\n"
        "  author = {Ana B. Cé and Dan},\n"
        "  booktitle = {A book},\n"
        "  year = {2023}\n"
        "}"
    )


def test_no_entry(tmp_path: Path) -> None:
    """A site without [citation] has none."""
    assert bibtex(make_site(tmp_path)) is None


@given(st.text())
def test_braces_are_balanced(text: str) -> None:
    """No text can close the field that it stands in."""
    bare = re.sub(r"\\[{}\\]", "", module._latex(text))
    depth = 0
    for mark in re.findall("[{}]", bare):
        depth += 1 if mark == "{" else -1
        assert depth >= 0
    assert depth == 0

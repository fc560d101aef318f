"""Conversion of Markdown to parts of HTML, with slots for the figures between them.

Supports CommonMark with tables, footnotes, strikethrough, formulas between dollar signs, and
sections that open, `::: details Summary` … `:::`. The captions of a figure are parsed at its slot.
Formulas become MathML; raw HTML is shown as text, with a warning.
"""

import itertools
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Literal

from markdown_it import MarkdownIt
from markdown_it.common.html_re import HTML_TAG_RE
from markdown_it.rules_core import StateCore
from markdown_it.rules_inline import StateInline
from markdown_it.token import Token
from markupsafe import Markup
from mdit_py_plugins.container import container_plugin
from mdit_py_plugins.dollarmath import dollarmath_plugin
from mdit_py_plugins.footnote import footnote_plugin

from sitegen.content.links import PageFiles
from sitegen.core.diagnostics import quoted
from sitegen.core.urls import is_whole, relative, url_fault

_TAG = re.compile(f"{HTML_TAG_RE.pattern}|<!--")
_LONGEST_TAG = 2000  # characters, so that thousands of unclosed tags do not each scan to the end
_SHOWN = "is shown to readers as it stands, since pages hold no raw HTML;"
_INSTEAD = {
    "iframe": 'write {{ video("https://youtu.be/…") }} for a video, else a link',
    "video": 'write {{ video("clip.mp4") }}',
    "img": 'write {{ image("picture.png", alt="…") }} or ![…](picture.png)',
    "br": "end the line with a backslash",
    "a": "write [words](address)",
    "!--": "write a comment as {# … #}",
}
_NOTE_REF = re.compile(r"\[\^[^]\s]+\]")
_FORMULA = re.compile(r"\$(?=[^\s$])((?:\\.|[^\\$])+)(?<!\s)\$(?!\d)", re.DOTALL)


@dataclass(frozen=True)
class Noted:
    """An error in a line, or a link to an anchor of a page; lines count from 1."""

    line: int
    text: str


@dataclass(frozen=True)
class Heading:
    """A heading below the title: its level, from 2, its text and its id."""

    level: int
    title: str
    id: str


class InlineText(str):
    """Inline Markdown of the author, as plain text; `html` is its HTML.

    notes: HTML of the footnotes to which no text before it refers
    """

    html: Markup
    notes: Markup

    def __new__(cls, plain: str, html: str = "", notes: str = "") -> "InlineText":
        """Return plain text with its HTML, which is safe."""
        text = super().__new__(cls, plain)
        text.html, text.notes = Markup(html), Markup(notes)
        return text

    def changed(self, change: Callable[[str], str]) -> "InlineText":
        """Return the text with a change of its plain text and of its HTML."""
        return InlineText(change(self), change(str(self.html)), change(str(self.notes)))

    @property
    def unlinked(self) -> "InlineText":
        """The text without links, notes and pictures, for a place where it is repeated."""
        return InlineText(self, _LINKED.sub("", self.html))


_LINKED = re.compile(r'<sup class="footnote-ref">.*?</sup>|</?a\b[^>]*>|<img\b[^>]*>')


@dataclass(frozen=True)
class ParsedPage:
    """A page's text: parts of HTML, and the numbers of the slots between them.

    texts: inline Markdown of each slot, by its number
    """

    title: str | None
    parts: tuple[Markup | int, ...]
    faults: tuple[Noted, ...]
    headings: tuple[Heading, ...]
    anchors: tuple[Noted, ...] = ()
    warnings: tuple[Noted, ...] = ()
    texts: Mapping[int, Sequence[InlineText]] = field(default_factory=dict)


def parse(
    text: str,
    slot: re.Pattern[str],
    uri: str,
    files: PageFiles,
    texts: Callable[[int], Sequence[str]] = lambda number: (),
) -> ParsedPage:
    """Convert Markdown to HTML for the page at `uri`, a path from the site's root.

    - A paragraph that consists of a match of `slot` becomes the number in the pattern's group 1.
    - A heading of level 1 at the beginning is the title and is removed from the text.
    - Links are made relative to the page.
    - Headings get ids that begin with `h-`; headings without links become links to themselves.
    - Pictures get their size.

    `files` resolves the targets of links and pictures. `texts` returns the captions and other
    inline Markdown of a slot, so that they share the page's footnotes.
    """
    env: dict[str, Any] = {"slot": slot, "texts": texts}
    tokens = _parser().parse(text, env)
    title = _plain(tokens[1]) if tokens and tokens[0].tag == "h1" else None
    warnings = tuple(_tags_as_text(tokens))
    walk = _Walk(uri, files, text.splitlines())
    # A heading is three tokens: its start, its text and its end.
    walk.run(tokens if title is None else tokens[3:])
    parsed = dict[int, list[InlineText]]()
    parts = tuple(_parts(_with_notes(walk.tokens), slot, env, parsed))
    faults, headings, anchors = tuple(walk.faults), tuple(walk.headings), tuple(walk.anchors)
    return ParsedPage(title or None, parts, faults, headings, anchors, warnings, parsed)


@cache
def _parser() -> MarkdownIt:
    options = {"html": False, "xhtmlOut": False, "highlight": highlighted}
    parser = MarkdownIt("commonmark", options).enable(["table", "strikethrough"])
    # `_Walk` rejects invalid links with their line; the parser would show them as text.
    parser.validateLink = lambda url: True  # type: ignore[method-assign]
    parser.use(footnote_plugin)
    parser.inline.ruler.after("footnote_ref", "missing_note", _missing_note)
    parser.use(container_plugin, "details")
    parser.core.ruler.before("inline", "inserted", _insert_texts)
    rules: dict[str, Any] = parser.renderer.rules  # type: ignore[attr-defined]
    # The plug-in writes [1], and [1:1] where a note is referred to again.
    rules["container_details_open"] = lambda *_: "<details>\n"
    rules["container_details_close"] = lambda *_: "</details>\n"
    rules["footnote_caption"] = lambda tokens, at, *_: str(tokens[at].meta["id"] + 1)
    parser.use(dollarmath_plugin, allow_labels=False)
    parser.inline.ruler.at("math_inline", _inline_formula)
    parser.inline.ruler.at("html_inline", _tag)
    return parser


def highlighted(code: str, language: str, _attributes: str = "") -> str:
    """Return code as HTML with classes for highlighting; "" for an unknown language.

    The language is the first word after the fence, with any of its names in Pygments.
    """
    if not language:
        return ""
    from pygments import highlight
    from pygments.formatters import HtmlFormatter
    from pygments.lexers import get_lexer_by_name
    from pygments.util import ClassNotFound

    try:
        # By default Pygments drops empty lines at the beginning and the end.
        lexer = get_lexer_by_name(language, stripnl=False)
    except ClassNotFound:
        return ""
    return str(highlight(code, lexer, HtmlFormatter(nowrap=True)))


def _inline_formula(state: StateInline, silent: bool) -> bool:
    """Parse a formula between dollar signs by pandoc's rules, which do not match prices."""
    match = _FORMULA.match(state.src, state.pos)
    if match is None:
        return False
    if not silent:
        state.push("math_inline", "math", 0).content = match[1]
    state.pos = match.end()
    return True


def _missing_note(state: StateInline, silent: bool) -> bool:
    """Parse a reference to a footnote that has no text, which `_Walk` rejects."""
    match = _NOTE_REF.match(state.src, state.pos)
    if match is None:
        return False
    if not silent:
        state.push("missing_note", "", 0).content = match[0]
    state.pos = match.end()
    return True


def _insert_texts(state: StateCore) -> None:
    """Add tokens for the texts of slots and the summaries of details, before text is parsed."""
    slot, texts = state.env["slot"], state.env["texts"]
    tokens, in_note = list[Token](), False
    for at, token in enumerate(state.tokens):
        tokens.append(token)
        if token.type.startswith("footnote_reference"):
            in_note = token.nesting > 0  # where a figure is refused
        elif token.type == "container_details_open":
            summary = token.info.strip().removeprefix("details").strip()
            tokens += _inline("summary", summary, token.map)
        elif in_note or token.type != "paragraph_close":
            continue
        elif match := _slot_at(state.tokens, at - 1, slot):
            for text in texts(int(match[1])):
                tokens += _inline("caption", text, state.tokens[at - 1].map)
    state.tokens = tokens


def _inline(name: str, text: str, lines: list[int] | None) -> list[Token]:
    start, end = Token(f"{name}_open", name, 1, block=True), Token(f"{name}_close", name, -1)
    return [start, Token("inline", "", 0, content=text, map=lines, children=[], block=True), end]


def _slot_at(tokens: Sequence[Token], at: int, slot: re.Pattern[str]) -> re.Match[str] | None:
    """Return the match of a slot if the token is its paragraph's only text."""
    if tokens[at].type != "inline" or not at:
        return None
    alone = [token.type for token in tokens[at - 1 : at + 2 : 2]] == _PARAGRAPH
    return slot.fullmatch(tokens[at].content) if alone else None


def _tag(state: StateInline, silent: bool) -> bool:
    """Parse an HTML tag, which `_tags_as_text` converts to text."""
    match = _TAG.match(state.src, state.pos, state.pos + _LONGEST_TAG)
    if match is None:
        return False
    if not silent:
        state.push("html_inline", "", 0).content = match[0]
    state.pos = match.end()
    return True


def _tags_as_text(tokens: Sequence[Token], line: int = 1) -> Iterator[Noted]:
    """Convert tags to text and yield a note for each one, except for closing tags."""
    for token in tokens:
        line = token.map[0] + 1 if token.map else line
        yield from _tags_as_text(token.children or (), line)
        if token.type == "html_inline":
            token.type = "text"
            if not token.content.startswith("</"):
                name = re.match(r"<(!--|\w+)", token.content.lower())
                instead = _INSTEAD.get(name[1] if name else "", "write Markdown")
                tag = " ".join(token.content.split())
                yield Noted(line, f"{quoted(tag)} {_SHOWN} {instead}, or \\< where < is meant")
        line += token.type in ("softbreak", "hardbreak")


def _parts(
    tokens: Sequence[Token], slot: re.Pattern[str], env: Any, texts: dict[int, list[InlineText]]
) -> Iterator[Markup | int]:
    """Split the tokens at the paragraphs that are slots, and render the parts between them.

    The texts of a slot follow it; they are rendered into `texts`.
    """

    def rendered(tokens: Sequence[Token]) -> Markup:
        return Markup(_parser().renderer.render(tokens, _parser().options, env))

    start, number, opened = 0, 0, 0
    for at, token in enumerate(tokens):
        if match := _slot_at(tokens, at, slot):
            yield rendered(tokens[start : at - 1])
            yield (number := int(match[1]))
            start, texts[number] = at + 2, []
        elif token.type == "caption_open":
            opened = at
        elif token.type == "caption_close":
            plain = tokens[opened].content
            html, notes = (
                rendered(tokens[opened + 1 : opened + 2]),
                rendered(tokens[opened + 2 : at]),
            )
            texts.setdefault(number, []).append(InlineText(plain, html, notes))
            start = at + 1
    yield rendered(tokens[start:])


_PARAGRAPH = ["paragraph_open", "paragraph_close"]


def _with_notes(tokens: Sequence[Token]) -> list[Token]:
    """Move each footnote from the end of the page to the block that first refers to it.

    The block and its notes are wrapped in an element, so that a wide window shows the notes in the
    gutter beside the block, and a narrow one shows them beneath it. Those of a caption or of
    details are in it.
    """
    footnotes: dict[int, list[Token]] = {}
    body: list[Token] = []
    note: list[Token] | None = None
    for token in tokens:
        if token.type == "footnote_open":
            note = footnotes.setdefault(token.meta["id"], [])
        elif token.type == "footnote_close":
            note = None
        elif not token.type.startswith("footnote_block"):
            (body if note is None else note).append(token)
    result: list[Token] = []
    block: list[Token] = []
    depth = 0
    for token in body:
        block.append(token)
        depth += token.nesting
        if depth:
            continue
        notes: list[Token] = []
        for part in itertools.chain(block, notes):  # a note may refer to another
            for child in part.children or ():
                if child.type == "footnote_ref" and child.meta["id"] in footnotes:
                    number = child.meta["id"]
                    content = footnotes.pop(number)
                    notes += [_raw(_NOTE.format(number + 1)), *content, _raw("</aside>\n")]
        if notes and token.type in ("caption_close", "container_details_close"):
            block[-1:] = [*notes, token]
        elif notes:
            notes = [_raw('<div class="notes">\n'), *notes, _raw("</div>\n</div>\n")]
            block = [_raw('<div class="noted">\n'), *block, *notes]
        result += block
        block = []
    return result


def free_name(base: str, taken: set[str]) -> str:
    """Return the first free name of `base`, `base-2`, `base-3`, … and add it to `taken`."""
    names = itertools.chain([base], (f"{base}-{number}" for number in itertools.count(2)))
    name = next(name for name in names if name not in taken)
    taken.add(name)
    return name


def _plain(inline: Token) -> str:
    """Return the text of an inline token without its markup."""
    return "".join(child.content or " " * (child.tag == "br") for child in inline.children or ())


NEAR_TOP = 10
"""Last line of a page up to which pictures are loaded eagerly; later ones are loaded lazily."""

_LINKS = ("link_open", "footnote_ref")
_NO_ALT = (
    "say between the brackets what is to be seen, for those who cannot see it; "
    'decoration is {{ image("…", alt="") }}'
)
_SCROLL = '<div class="scroll" tabindex="0" role="group" aria-label="{}">'
_NOTE = '<aside class="note" id="fn{0}" role="note"><span class="note-number">{0}</span>\n'


def _raw(html: str) -> Token:
    return Token("html_block", "", 0, content=html, block=True)


@dataclass
class _Walk:
    """A walk over the tokens that rewrites them and records errors."""

    uri: str
    files: PageFiles
    lines: Sequence[str]
    tokens: list[Token] = field(default_factory=list)
    faults: list[Noted] = field(default_factory=list)
    headings: list[Heading] = field(default_factory=list)
    anchors: list[Noted] = field(default_factory=list)
    ids: set[str] = field(default_factory=set)
    level: int = 1
    line: int = 1

    def run(self, tokens: Sequence[Token]) -> None:
        """Process all tokens, which completes `tokens` and `faults`."""
        for at, token in enumerate(tokens):
            self.line = token.map[0] + 1 if token.map else self.line
            if token.type == "heading_open":
                self._heading(token, tokens[at + 1])
            elif token.type == "caption_open":
                token.content = _plain(tokens[at + 1])
            elif token.type == "container_details_open":
                if not tokens[at + 2].content:
                    self._fault("::: details lacks its summary; write ::: details Proofs")
                end = token.map[1] if token.map else 0
                if not "".join(self.lines[end : end + 1]).strip().startswith(":::"):
                    self._fault("::: details has no end; write ::: on a line of its own after it")
            elif token.type == "inline" and token.content.startswith(":::"):
                line = quoted(token.content.split("\n")[0])
                self._fault(
                    f"{line} is no block; write ::: details and a summary, and ::: at its end"
                )
            for child in token.children or ():
                if child.type == "math_inline":
                    child.content = self._formula(child.content, "inline")
                    child.type = "html_inline"
                elif child.type == "image":
                    self._picture(child)
                elif child.type == "missing_note":
                    child.type, note = "text", child.content
                    text = f"write {note}: and its text in a paragraph of the page"
                    self._fault(f"the footnote {note} has no text; {text}, or \\{note} to show it")
                elif child.type == "link_open":
                    child.attrs["href"] = self._link(str(child.attrs["href"]))
            self.tokens += self._block(token)

    def _fault(self, text: str) -> None:
        self.faults.append(Noted(self.line, text))

    def _heading(self, token: Token, inline: Token) -> None:
        """Give the heading an id and a link to itself, and check that no level is skipped."""
        level, text = int(token.tag[1:]), _plain(inline)
        if level == 1:
            self._fault("a heading of level 1 is the page's title and comes first; write ##")
        elif level > self.level + 1:
            marks = "#" * (self.level + 1)
            self._fault(f"a heading of level {level} follows one of {self.level}; write {marks}")
        self.level = level
        name = "h-" + (re.sub(r"[\W_]+", "-", text.lower()).strip("-") or "section")
        name = free_name(name, self.ids)
        token.attrs["id"] = name
        self.headings.append(Heading(level, text, name))
        children = inline.children or []
        if text.strip() and not any(child.type in _LINKS for child in children):
            start = Token("link_open", "a", 1, attrs={"href": f"#{name}", "class": "anchor"})
            inline.children = [start, *children, Token("link_close", "a", -1)]

    def _block(self, token: Token) -> list[Token]:
        """Return the tokens that replace a block; blocks that may be too wide get a scroll box."""
        match token.type:
            case "table_open":
                return [_raw(_SCROLL.format("Table")), token]
            case "table_close":
                return [token, _raw("</div>\n")]
            case "fence" | "code_block":
                return [_raw(_SCROLL.format("Code")), token, _raw("</div>\n")]
            case "math_block":
                maths = self._formula(token.content, "block")
                return [_raw(_SCROLL.format("Formula") + maths + "</div>\n")]
            case "th_open" | "td_open":
                style = str(token.attrs.pop("style", ""))  # pages do not allow style attributes
                token.attrs |= {"class": style.replace("text-align:", "align-")} if style else {}
            case "footnote_anchor":
                # No link back, since the note is beside its text. The token stays, so that a
                # figure in a note is not a paragraph of its own and is refused.
                return [_raw("")]
        return [token]

    def _link(self, url: str) -> str:
        if "#" in url and not is_whole(url):
            self.anchors.append(Noted(self.line, url))
        if url.startswith("#"):
            return url
        fault = url_fault(url)
        if fault is not None:
            self._fault(f"the link {quoted(url)} {fault}")
        elif not is_whole(url):
            try:
                self.files.link(url)
            except ValueError as error:
                self._fault(f"the link {quoted(url)}: {error}")
        return relative(url, self.uri)

    def _picture(self, token: Token) -> None:
        """Set the address and the size of a picture from the author's file."""
        src = str(token.attrs["src"])
        if not _plain(token).strip():
            self._fault(f"the picture {quoted(src)}: {_NO_ALT}")
        try:
            photo = self.files.picture(src)
        except ValueError as error:
            self._fault(f"the picture {quoted(src)}: {error}")
            return
        token.attrs |= {"src": relative(photo.file.uri, self.uri), "width": photo.width}
        token.attrs |= {"height": photo.height, "decoding": "async"}
        token.attrs |= {} if self.line <= NEAR_TOP else {"loading": "lazy"}

    def _formula(self, latex: str, display: Literal["inline", "block"]) -> str:
        from sitegen.content.formulas import MathsError, to_mathml

        try:
            return str(to_mathml(latex.strip(), display))
        except MathsError as error:
            self._fault(f"the formula {quoted(latex.strip())}: {error}")
            return ""

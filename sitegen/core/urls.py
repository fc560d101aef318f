"""Rules for links and for names that become paths, and relative links between pages."""

import posixpath
import re
import unicodedata
from urllib.parse import unquote, urlsplit

INDEX = "index.html"
"""File that a server sends for a folder."""

NOT_FOUND = "404.html"
"""Page that GitHub Pages sends for unknown addresses."""

MANIFEST = "media.json"
"""File in a built site that lists its figures."""

RESERVED = frozenset({"assets", "index", "media"})
"""Names at the root of a built site that sitegen uses itself."""

_SLUG = re.compile(r"[a-z0-9][a-z0-9-]{0,63}")
_RESERVED = re.compile(r"con|prn|aux|nul|com\d|lpt\d")
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*):")
_BEGINNINGS = "should begin with https://, http:// or mailto:, or be a path in the site"
_ODD = 'should not contain spaces, control characters, \\, <, >, ", `, {, }, | or ^'
# Lengths of a name and of its labels are those of DNS (RFC 1035).
_HOST = re.compile(
    r"(?=.{4,253}\Z)([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z][a-z0-9-]{0,61}[a-z0-9]"
)
_FORBIDDEN = re.compile(r"[\s\x00-\x20\x7f-\x9f\\<>\"`{}|^]")


def slug_fault(text: str) -> str | None:
    """Return the rule for names that the text breaks, or None; a name becomes part of a path."""
    if not _SLUG.fullmatch(text):
        return "should be 1 to 64 of a-z, 0-9 and -, and not begin with -"
    if _RESERVED.fullmatch(text):
        return "is a reserved name on Windows"
    return None


def page_fault(text: str) -> str | None:
    """Return the rule for page names that the text breaks, or None; any script is allowed."""
    kinds = {unicodedata.category(letter)[0] for letter in text.replace("-", "")}
    if text.startswith("-") or not kinds or not kinds <= set("LMN") or len(text) > 64:
        return "should be 1 to 64 letters, digits and -, and not begin with -"
    if text != text.lower():
        return f"should be in lower case: {text.lower()}"
    return slug_fault(text) if text.isascii() else None


_SCHEDULER = re.compile(r"([a-z]{2,4}://)?([^\s/:@\[\]]+|\[[0-9a-fA-F:.]+\]):\d{1,5}")


def scheduler_fault(address: str) -> str | None:
    """Return the problem of a dask scheduler's address, or None.

    Allowed are host and port, and "local".
    """
    if address == "local" or (len(address) <= 1000 and _SCHEDULER.fullmatch(address)):
        return None
    return "should be the address of a dask scheduler, as in tcp://10.0.0.7:8786, or local"


def url_fault(url: str) -> str | None:
    """Return the rule for links that the URL breaks, or None.

    Allowed are http and https, mailto, and a path from the site's root without a leading slash.
    """
    if not url:
        return "should not be empty"
    if _FORBIDDEN.search(url):
        return _ODD
    scheme = _SCHEME.match(url)
    if scheme is None:
        return _path_fault(url)
    if scheme[1].lower() == "mailto":
        return None if "@" in url else "should name an address: mailto:name@example.org"
    if scheme[1].lower() not in ("http", "https"):
        return _BEGINNINGS
    return web_url_fault(url)


def web_url_fault(url: str) -> str | None:
    """Return why the URL is not a complete http or https address, or None."""
    if not url.lower().startswith(("http://", "https://")):
        return "should begin with https:// or http://"
    if _FORBIDDEN.search(url):
        return _ODD
    try:
        parts = urlsplit(url)
        # Both are parsed when they are read, and raise ValueError; urlsplit alone accepts port
        # 99999.
        host, _port = parts.hostname, parts.port
    except ValueError as error:
        return f"is not a web address: {error}"
    if not host:
        return "should name a host"
    return "should not contain a user name or password" if "@" in parts.netloc else None


def site_url_fault(url: str) -> str | None:
    """Return why the URL cannot be the address of a site, or None."""
    if "?" in url or "#" in url:
        return "should end where the site begins, without ? and #"
    return web_url_fault(url)


def host_fault(text: str) -> str | None:
    """Return why the text is not the name of a host on the web, or None."""
    if "/" in text or ":" in text:
        return "should be a bare host name such as paper.example.org, without https:// and path"
    if not _HOST.fullmatch(text):
        return "should be a lower-case host name such as paper.example.org"
    return None


def _path_fault(url: str) -> str | None:
    """Return why a link without a scheme would not work at every address of the site, or None."""
    if url.startswith("/"):
        return "should be a path from the site's root without a leading slash"
    # A browser would read what is before the colon as a scheme (RFC 3986, 4.2).
    if ":" in re.split(r"[/?#]", url)[0]:
        return _BEGINNINGS
    if any(unquote(part) in {".", ".."} for part in re.split(r"[?#]", url)[0].split("/")):
        return "should be a path from the site's root, without ./ and ../"
    return None


def is_whole(url: str) -> bool:
    """Return whether the URL has a scheme, so leads out of the site."""
    return _SCHEME.match(url) is not None


def relative(target: str, page: str) -> str:
    """Return the relative link from a page to a target; both are paths from the site's root.

    Complete addresses and fragments are returned unchanged. A link to a folder names its
    `index.html`, so that it also works when the site is opened from the file system.
    """
    if is_whole(target) or target.startswith("#"):
        return target
    path = target.partition("#")[0].partition("?")[0]
    # With leading slashes posixpath does not ask for the working folder, which may be deleted.
    folder = posixpath.dirname(f"/{page}")
    return posixpath.relpath(f"/{file_at(path)}", folder) + target[len(path) :]


def file_at(path: str) -> str:
    """Return the file that a path from the site's root refers to: `index.html` for a folder."""
    return path + INDEX if path == "" or path.endswith("/") else path

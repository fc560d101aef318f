"""Addresses of videos: the player of each host that asks least of a reader, and the plain link.

YouTube has a player at an address that sets no cookie before it plays; Vimeo's takes `dnt=1`, do
not track. Both play at once, since they are loaded by a click.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from urllib.parse import parse_qsl, urlencode, urlsplit

from sitegen.links import web_url_fault

YOUTUBE = "https://www.youtube-nocookie.com"
VIMEO = "https://player.vimeo.com"

_YOUTUBE_ID = re.compile(r"[A-Za-z0-9_-]{11}")
_TIME = re.compile(r"(?:(\d{1,3})h)?(?:(\d{1,4})m)?(?:(\d{1,6})s?)?")
_VIMEO_PATH = re.compile(r"/(?:[\w-]+/)*?(?:video/)?(\d{1,12})(?:/([0-9a-f]{4,32}))?/?")


@dataclass(frozen=True)
class Player:
    """A video of another host: what it is called, its player's origin and address, its page."""

    name: str
    origin: str
    address: str
    link: str


def find_player(url: str) -> Player:
    """Find the player for the address of a video, with the time to start at.

    Raises ValueError, saying what is wrong with the address.
    """
    fault = web_url_fault(url)
    if fault is not None:
        raise ValueError(fault)
    parts = urlsplit(url)
    host = re.sub(r"^(www|m|music)\.", "", (parts.hostname or "").lower())
    make = _HOSTS.get(host)
    if make is None:
        raise ValueError(
            "should be a video on YouTube or Vimeo, or a file in the site; "
            "to videos elsewhere write a link"
        )
    # Vimeo writes the time behind the #, YouTube into the query
    given = dict(parse_qsl(parts.fragment) + parse_qsl(parts.query))
    return make(parts.path, given)


def _youtube(path: str, given: Mapping[str, str]) -> Player:
    """youtube.com/watch?v=ID, and /shorts/ID, /live/ID, /embed/ID, /v/ID; `t` or `start`."""
    found = re.fullmatch(r"/(?:shorts|live|embed|v)/([^/]+)/?", path)
    name = found[1] if found else given.get("v", "") if path.rstrip("/") == "/watch" else ""
    return _on_youtube(name, given)


def _youtu_be(path: str, given: Mapping[str, str]) -> Player:
    """youtu.be/ID."""
    return _on_youtube(path.strip("/"), given)


def _on_youtube(name: str, given: Mapping[str, str]) -> Player:
    if not _YOUTUBE_ID.fullmatch(name):
        raise ValueError("names no video: https://youtu.be/ and 11 letters, digits, - and _")
    start = _seconds(given.get("t") or given.get("start") or "")
    asked = {"autoplay": "1", "rel": "0"} | ({"start": str(start)} if start else {})
    link = {"v": name} | ({"t": f"{start}s"} if start else {})
    return Player(
        "YouTube",
        YOUTUBE,
        f"{YOUTUBE}/embed/{name}?{urlencode(asked)}",
        f"https://www.youtube.com/watch?{urlencode(link)}",
    )


def _vimeo(path: str, given: Mapping[str, str]) -> Player:
    """vimeo.com/NUMBER, below channels too, and with /HASH or ?h=HASH where it is unlisted."""
    found = _VIMEO_PATH.fullmatch(path)
    secret = (found[2] if found else None) or given.get("h", "")
    if found is None or not re.fullmatch(r"[0-9a-f]*", secret):
        raise ValueError("names no video: https://vimeo.com/ and a number")
    start = _seconds(given.get("t", ""))
    asked = ({"h": secret} if secret else {}) | {"dnt": "1", "autoplay": "1"}
    at = f"#t={start}s" if start else ""
    return Player(
        "Vimeo",
        VIMEO,
        f"{VIMEO}/video/{found[1]}?{urlencode(asked)}{at}",
        f"https://vimeo.com/{found[1]}{f'/{secret}' if secret else ''}{at}",
    )


def _seconds(text: str) -> int:
    """A time such as 90, 90s or 1h2m3s in seconds; 0 for none."""
    found = _TIME.fullmatch(text)
    if found is None:
        raise ValueError(f"starts at {text[:20]!r}; write seconds as in t=90, or t=1m30s")
    hours, minutes, seconds = (int(part or 0) for part in found.groups())
    return 3600 * hours + 60 * minutes + seconds


_HOSTS: Mapping[str, Callable[[str, Mapping[str, str]], Player]] = {
    "youtube.com": _youtube,
    "youtube-nocookie.com": _youtube,
    "youtu.be": _youtu_be,
    "vimeo.com": _vimeo,
    "player.vimeo.com": _vimeo,
}

"""The author's pictures and videos as a page shows them, and what the page may load for them."""

from __future__ import annotations

from collections.abc import Iterable

from sitegen.content.embeds import Embed, ImageCall, Photo, Player, VideoCall
from sitegen.content.markdown import NEAR_TOP
from sitegen.core.urls import relative
from sitegen.figures.views import Picture
from sitegen.html.views import OwnVideo, Photograph, Screen


def embed_view(thing: Embed, uri: str, backdrop: Picture | None) -> Photograph | Screen | OwnVideo:
    """What the page at `uri` shows; `backdrop` stands for a video that has no poster."""
    call = thing.call
    if isinstance(call, ImageCall):
        return _photograph(thing, call, uri)
    poster = _picture(call.poster, uri) if call.poster else None
    words = {"id": thing.id, "title": call.title, "caption": call.caption}
    if isinstance(call.url, Player):
        player = call.url
        return Screen(
            **words,
            host=player.name,
            player=player.address,
            link=player.link,
            poster=poster or backdrop,
        )
    video = call.url
    return OwnVideo(
        **words,
        uri=relative(video.file.uri, uri),
        type=video.type,
        width=video.width,
        height=video.height,
        poster=poster.uri if poster else None,
    )


def frames_policy(parts: Iterable[object]) -> str:
    """What a page adds to its Content-Security-Policy: frames of the hosts of its videos."""
    calls = (part.call for part in parts if isinstance(part, Embed))
    players = (call.url for call in calls if isinstance(call, VideoCall))
    origins = {player.origin for player in players if isinstance(player, Player)}
    return f"; frame-src {' '.join(sorted(origins))}" if origins else ""


def _photograph(image: Embed, call: ImageCall, uri: str) -> Photograph:
    picture = _picture(call.file, uri)
    if call.width is not None:
        height = max(1, round(picture.height * call.width / picture.width))
        picture = Picture(picture.uri, call.width, height)
    lazy = image.place.line > NEAR_TOP
    return Photograph(image.id, call.alt, call.caption, picture, lazy)


def _picture(photo: Photo, uri: str) -> Picture:
    return Picture(relative(photo.file.uri, uri), photo.width, photo.height)

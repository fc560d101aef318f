"""The author's pictures and videos as a page shows them, and what the page may load for them."""

from __future__ import annotations

from collections.abc import Iterable

from sitegen.content.embeds import Embed, Image, Photo, Player
from sitegen.content.markdown import NEAR_TOP
from sitegen.core.urls import relative
from sitegen.figures.views import Picture
from sitegen.html.views import OwnVideo, Photograph, Screen


def embed_view(
    thing: Image | Embed, uri: str, backdrop: Picture | None
) -> Photograph | Screen | OwnVideo:
    """What the page at `uri` shows; `backdrop` stands for a video that has no poster."""
    if isinstance(thing, Image):
        return _photograph(thing, uri)
    poster = _picture(thing.poster, uri) if thing.poster else None
    words = {"id": thing.id, "title": thing.title, "caption": thing.caption}
    if isinstance(thing.video, Player):
        player = thing.video
        return Screen(
            **words,
            host=player.name,
            player=player.address,
            link=player.link,
            poster=poster or backdrop,
        )
    video = thing.video
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
    players = (part.video for part in parts if isinstance(part, Embed))
    origins = {player.origin for player in players if isinstance(player, Player)}
    return f"; frame-src {' '.join(sorted(origins))}" if origins else ""


def _photograph(image: Image, uri: str) -> Photograph:
    picture = _picture(image.photo, uri)
    if image.width is not None:
        height = max(1, round(picture.height * image.width / picture.width))
        picture = Picture(picture.uri, image.width, height)
    lazy = image.place.line > NEAR_TOP
    return Photograph(image.id, image.alt, image.caption, picture, lazy)


def _picture(photo: Photo, uri: str) -> Picture:
    return Picture(relative(photo.file.uri, uri), photo.width, photo.height)

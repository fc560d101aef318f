"""Addresses of videos: every way in which hosts write them leads to the player that asks least."""

from __future__ import annotations

import pytest

from sitegen.content.video import find_player

ID = "qY1juqIDT10"


@pytest.mark.parametrize(
    "url",
    [
        f"https://youtu.be/{ID}",
        f"https://youtu.be/{ID}?si=AbC_dEf",
        f"http://youtube.com/watch?v={ID}",
        f"https://www.youtube.com/watch?v={ID}&list=PL123&index=2",
        f"https://www.youtube.com/watch?feature=shared&v={ID}",
        f"https://m.youtube.com/watch?v={ID}",
        f"https://music.youtube.com/watch?v={ID}",
        f"https://www.YouTube.com/shorts/{ID}",
        f"https://www.youtube.com/live/{ID}?feature=share",
        f"https://www.youtube.com/embed/{ID}",
        f"https://www.youtube-nocookie.com/embed/{ID}?rel=0",
    ],
)
def test_youtube(url: str) -> None:
    """All of these are one video, whose player sets no cookie."""
    player = find_player(url)
    assert player.name == "YouTube"
    assert player.origin == "https://www.youtube-nocookie.com"
    assert player.address == f"https://www.youtube-nocookie.com/embed/{ID}?autoplay=1&rel=0"
    assert player.link == f"https://www.youtube.com/watch?v={ID}"


@pytest.mark.parametrize(
    ("time", "seconds"),
    [
        ("t=90", 90),
        ("t=90s", 90),
        ("t=1m30s", 90),
        ("t=1h2m3s", 3723),
        ("start=5", 5),
        ("t=2m", 120),
    ],
)
def test_start(time: str, seconds: int) -> None:
    """The time in the address is where the player starts, and the link too."""
    player = find_player(f"https://youtu.be/{ID}?{time}")
    assert player.address.endswith(f"?autoplay=1&rel=0&start={seconds}")
    assert player.link.endswith(f"?v={ID}&t={seconds}s")
    later = find_player(f"https://www.youtube.com/watch?v={ID}#{time}")
    assert later == player


@pytest.mark.parametrize(
    ("url", "video", "link"),
    [
        ("https://vimeo.com/76979871", "76979871?dnt=1&autoplay=1", "76979871"),
        ("https://www.vimeo.com/76979871/", "76979871?dnt=1&autoplay=1", "76979871"),
        ("https://vimeo.com/channels/staffpicks/123", "123?dnt=1&autoplay=1", "123"),
        ("https://vimeo.com/groups/a/videos/123", "123?dnt=1&autoplay=1", "123"),
        ("https://vimeo.com/123/8272103f6e", "123?h=8272103f6e&dnt=1&autoplay=1", "123/8272103f6e"),
        ("https://vimeo.com/123#t=1m5s", "123?dnt=1&autoplay=1#t=65s", "123#t=65s"),
        (
            "https://player.vimeo.com/video/123?h=8272103f6e",
            "123?h=8272103f6e&dnt=1&autoplay=1",
            "123/8272103f6e",
        ),
    ],
)
def test_vimeo(url: str, video: str, link: str) -> None:
    """Vimeo's player is told not to track; unlisted videos keep their key."""
    player = find_player(url)
    assert (player.name, player.origin) == ("Vimeo", "https://player.vimeo.com")
    assert player.address == f"https://player.vimeo.com/video/{video}"
    assert player.link == f"https://vimeo.com/{link}"


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("https://youtu.be/", "names no video: https://youtu.be/ and 11 letters"),
        ("https://youtu.be/short", "names no video"),
        (f"https://youtu.be/{ID}/x", "names no video"),
        ("https://www.youtube.com/@channel", "names no video"),
        ("https://www.youtube.com/playlist?list=PL1", "names no video"),
        (f"https://www.youtube.com/x?v={ID}", "names no video"),
        (f"https://youtu.be/{ID}?t=soon", "starts at 'soon'; write seconds"),
        (f"https://youtu.be/{ID}?t=-5", "starts at '-5'"),
        ("https://vimeo.com/", "names no video: https://vimeo.com/ and a number"),
        ("https://vimeo.com/about", "names no video: https://vimeo.com/ and a number"),
        ("https://vimeo.com/123?h=%22onload", "names no video: https://vimeo.com/ and a number"),
        ("https://example.org/x.mp4", "should be a video on YouTube or Vimeo, or a file in the"),
        (f"https://youtu.be.example.org/{ID}", "should be a video on YouTube or Vimeo"),
        (f"https://notyoutube.com/watch?v={ID}", "should be a video on YouTube or Vimeo"),
        (f"https://youtu.be@example.org/{ID}", "should hold no user name or password"),
        (f"ftp://youtu.be/{ID}", "should begin with https://"),
        (f'https://youtu.be/{ID}" onload=x', "should hold no spaces"),
        ("https://[", "is not a web address"),
    ],
)
def test_refused(url: str, reason: str) -> None:
    """What is no video of a known host is told with the reason."""
    with pytest.raises(ValueError) as caught:  # noqa: PT011
        find_player(url)
    assert reason in str(caught.value)

"""Labels in pictures."""

import numpy as np
from PIL import Image, ImageDraw

from sitegen.media.frames import Frame
from sitegen.media.typeface import font


def write_label(
    frame: Frame, text: str, position: tuple[int, int], size: int, ink: tuple[int, int, int]
) -> Frame:
    """Return a copy of a frame with a label; `position` (x, y) is its centre and baseline."""
    image = Image.fromarray(frame)
    ImageDraw.Draw(image).text(position, text, fill=ink, font=font(size), anchor="ms")
    return np.array(image)

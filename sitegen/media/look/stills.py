"""Pictures in pixels: enlargement, and the quality of WebP."""

WIDE_ENOUGH = 480
"""Width in pixels from which a picture is not enlarged."""
TOO_TALL = 1280
"""Height in pixels that enlargement does not exceed."""
QUALITIES = (50, 97)
"""Range of lossy WebP qualities that are tried, the end excluded."""
LOSSLESS_QUALITY, METHOD = 80, 6
"""Effort of lossless WebP, and that of the last, slower attempts."""
EXACT_PSNR, COLOUR_PSNR = 36.0, 31.0
"""Smallest PSNR in dB of brightness and of colour; a clip's last frame has 27 to 34 in RGB."""
LUMA = (0.299, 0.587, 0.114)
"""Weights of red, green and blue in brightness, of ITU-R BT.601."""

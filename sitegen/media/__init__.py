"""Images and clips: frames, the encoder (codec, CRF, GIF), labels, and the manifest `media.json`.

It depends neither on models nor on pages.
"""

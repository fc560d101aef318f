"""Pictures and clips: frames, the encoder (codec, CRF, GIF), labels, and the manifest `media.json`.

It is told what to encode, and knows neither models nor pages.
"""

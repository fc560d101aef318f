"""Size limits for untrusted checkpoints, about ten times what published ones need."""

MB = 1 << 20

DIMENSIONS = 8
"""Maximum axes of a tensor."""

PICKLE_BYTES = 8 * MB
"""Maximum bytes of the list of tensors in a `.pth`."""
OPERATIONS = 300_000
"""Maximum instructions of that list, which limits its memo as well."""
UNPACKED, UNPACKED_BYTES = 4, MB
"""A zip may unpack to this multiple of its size, plus this many bytes."""
SCHEDULE_NUMBERS = 1 << 20
"""Maximum numbers of a blur schedule in a `.pth`."""

PART_BYTES = 16 * MB
"""Bytes of a tensor that are in memory while it is checked: a multiple of any number's size."""
HEADER_BYTES = 8 * MB
"""Maximum header of a safetensors file; its own limit is 100 MB, a model has a few 100 kB."""

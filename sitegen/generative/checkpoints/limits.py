"""What a checkpoint of a stranger may have and may cost. A published one has a tenth of it."""

MB = 1 << 20

DIMENSIONS = 8
"""How many axes a tensor may have."""
NAME_LENGTH = 1_000
"""Characters in the name of a tensor, or of what holds its numbers."""

PICKLE_BYTES = 8 * MB
"""Of the list of tensors in a `.pth`."""
OPERATIONS = 300_000
"""Of that list; it sets a bound to the memo, too, which grows by one at an operation."""
NESTING = 100
"""How many lists, dicts and tuples may be begun inside each other at a time."""
DIRECTORY_BYTES = 4 * MB
"""Of the list of a zip's entries: some 40,000 of them."""
UNPACKED, UNPACKED_BYTES = 4, MB
"""A zip may unpack to so many times its size, and so many bytes beside."""

PART_BYTES = 16 * MB
"""Of a tensor that is read to see whether it is whole: a multiple of the size of any number."""
HEADER_BYTES = 8 * MB
"""Of a safetensors file; safetensors' own limit is 100 MB, and one of a model has a few 100 kB."""

MEMORY_BYTES, MEMORY_TIMES = 400 * MB, 3
"""What reading a `.pth` may take beside Python itself: so much, and so many times the file."""
SECONDS, BYTES_A_SECOND = 2, 20 * MB
"""Seconds of computing that reading a `.pth` may take, and how much of a file adds one to them.

What is begun of a second counts as one: limits on computing are whole seconds.
"""

"""Clips: quality, rate and limits of MP4 and GIF."""

SMALL = 64
"""Largest side, in pixels, of images that are encoded at CRF_SMALL."""
CRF_SMALL, CRF = 18, 20
"""Quality of x264, 1 (best) to 51; an artefact is more visible in small images."""
CRF_SMOOTH = 4
"""Added to these where pictures are enlarged smoothly, and so have no sharp edges."""
OPENING, ENDING = 1.0, 2.0
"""Seconds for which a clip shows the finished pictures before it begins, and holds them."""
PROFILE, PRESET = "high", "medium"
KEYFRAME_EVERY = 10
"""Frames between two keyframes, at most."""
SCALE = "out_color_matrix=bt709:out_range=tv:flags=area+accurate_rnd+full_chroma_int+bitexact"
COLOURS = "range=tv:colorspace=bt709:color_primaries=bt709:color_trc=bt709"
"""Options of ffmpeg's filters that turn RGB into yuv420p."""
SECONDS, SLOWEST, FASTEST = 5, 24.0, 60.0
"""Seconds that a clip lasts if a rate between the next two, in frames per second, allows it."""
SHORTEST = 2
"""Seconds that a clip of few levels lasts, at a rate below the slowest."""
GIF_FPS = 15
"""Largest rate of a GIF, in frames a second."""
GIF_BYTES = 2_000_000
"""Largest size of a GIF; frames are dropped until it fits, or until one is left."""
NATIVE_BYTES = 256_000_000
"""Bytes on disk for native frames, from which a GIF is made; above it, every other is dropped."""
LARGEST = 2048 * 2048
"""Pixels of a grid above which its images are reduced, by an integer factor; old phones play it."""
DITHER = "none:diff_mode=rectangle"
"""Options of ffmpeg's `paletteuse`."""

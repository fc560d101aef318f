"""The types of floats in checkpoints, and whether numbers of them are finite."""

FLOATS = {
    **dict.fromkeys(("Double", "F64"), "float64"),
    **dict.fromkeys(("Float", "F32"), "float32"),
    **dict.fromkeys(("Half", "F16"), "float16"),
    **dict.fromkeys(("BFloat16", "BF16"), "bfloat16"),
}
"""Types of floats, as PyTorch's files and safetensors call them, and by their usual names."""
NAMES = {**FLOATS, "I8": "int8"}
"""The types of numbers that networks are stored in."""
_EXPONENTS = {
    "float64": ("<u8", 0x7FF0 << 48),
    "float32": ("<u4", 0x7F80 << 16),
    "float16": ("<u2", 0x7C00),
    "bfloat16": ("<u2", 0x7F80),
}
"""The bits of each type of floats that are all set in infinities and NaN only."""


def is_finite(dtype: str, data: bytes | memoryview) -> bool:
    """Whether numbers of a type, as PyTorch or safetensors calls it, hold no infinity and no NaN.

    Whole numbers and types that we do not know count as finite.
    """
    import numpy as np

    if dtype not in FLOATS:
        return True
    kind, mask = _EXPONENTS[FLOATS[dtype]]
    numbers = np.frombuffer(data, kind)
    return not bool((numbers & numbers.dtype.type(mask) == mask).any())

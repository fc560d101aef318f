"""Float types in checkpoints, and tests for finite numbers."""

FLOATS = {
    **dict.fromkeys(("Double", "F64"), "float64"),
    **dict.fromkeys(("Float", "F32"), "float32"),
    **dict.fromkeys(("Half", "F16"), "float16"),
    **dict.fromkeys(("BFloat16", "BF16"), "bfloat16"),
}
"""Float types by their names in PyTorch's files, in safetensors and in general use."""
NAMES = {**FLOATS, "I8": "int8"}
"""Number types of stored networks."""
_EXPONENTS = {
    "float64": ("<u8", 0x7FF0 << 48),
    "float32": ("<u4", 0x7F80 << 16),
    "float16": ("<u2", 0x7C00),
    "bfloat16": ("<u2", 0x7F80),
    "float8_e5m2": ("<u1", 0x7C),
    "float8_e4m3": ("<u1", 0x7F),
}
"""Exponent bits of each float type; all of them are set only in infinities and NaN."""
_KINDS = {
    **FLOATS,
    **dict.fromkeys(("C64", "ComplexFloat"), "float32"),
    **dict.fromkeys(("C128", "ComplexDouble"), "float64"),
    **dict.fromkeys(("F8_E5M2", "Float8_e5m2"), "float8_e5m2"),
    **dict.fromkeys(("F8_E4M3", "Float8_e4m3fn"), "float8_e4m3"),
}
"""Component types of all number types (complex ones have two), including types that no network
has.
"""


def is_finite(dtype: str, data: bytes | memoryview) -> bool:
    """Return whether numbers of a PyTorch or safetensors type contain no infinity and no NaN.

    Integers and unknown types count as finite.
    """
    import numpy as np

    if dtype not in _KINDS:
        return True
    kind, mask = _EXPONENTS[_KINDS[dtype]]
    numbers = np.frombuffer(data, kind)
    return not bool((numbers & numbers.dtype.type(mask) == mask).any())

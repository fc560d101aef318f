"""The types of floats in checkpoints, and whether numbers of them are finite."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

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
    "float8_e5m2": ("<u1", 0x7C),
    "float8_e4m3": ("<u1", 0x7F),
}
"""The bits of each type of floats that are all set in infinities and NaN only."""
_KINDS = {
    **FLOATS,
    **dict.fromkeys(("C64", "ComplexFloat"), "float32"),
    **dict.fromkeys(("C128", "ComplexDouble"), "float64"),
    **dict.fromkeys(("F8_E5M2", "Float8_e5m2"), "float8_e5m2"),
    **dict.fromkeys(("F8_E4M3", "Float8_e4m3fn"), "float8_e4m3"),
}
"""What numbers consist of, complex ones of two, also of types that no network is stored in."""


def not_finite(dtype: str, data: bytes | memoryview) -> NDArray[np.int64]:
    """Return the places of infinities and NaN among numbers of a type of PyTorch or safetensors.

    Whole numbers count as finite, and so do types that are not known.
    """
    import numpy as np

    if dtype not in _KINDS:
        return np.zeros(0, np.int64)
    kind, mask = _EXPONENTS[_KINDS[dtype]]
    numbers = np.frombuffer(data, kind)
    return np.flatnonzero(numbers & numbers.dtype.type(mask) == mask)


def is_finite(dtype: str, data: bytes | memoryview) -> bool:
    """Return whether numbers of a type of PyTorch or safetensors hold no infinity and no NaN."""
    return not len(not_finite(dtype, data))

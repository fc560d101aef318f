"""Checkpoint files: mapped into memory, with names, shapes and types known before they are read.

Published checkpoints and related ones are zip files of `torch.save`, which torch reads with
`weights_only=True`. Six layouts are supported:

- "published": `model`, `ema` and `step` of the paper's own code;
- "state dict": only named tensors, as improved-diffusion and guided-diffusion save them;
- "spectral": `ema_state_dict`, `schedule` and `step` of IHDM-spectral;
- "torchcfm": `net_model`, `ema_model` and `step`;
- "flow_matching": `model` with the network under `model.` and its averages as `shadow_params.N`;
- "averaged": `model` and `step`, with averages by name under `ema`, as cold diffusion and
  lucidrains' programs save them; of those only the network is kept.

Our own files, "weights", are safetensors. Torch is imported when a file is opened.
"""

from __future__ import annotations

import json
import pickle
import pickletools
import re
import struct
import warnings
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast

from sitegen.core.errors import ConfigError, RefusedError
from sitegen.core.files import regular_size, reject_duplicate_keys
from sitegen.core.zips import ZIP_DAMAGE, open_zip
from sitegen.generative.card.card import BlurSchedule
from sitegen.generative.card.limits import MOST_LEVELS

if TYPE_CHECKING:
    from torch import Tensor

Layout = Literal[
    "weights", "published", "state dict", "spectral", "torchcfm", "flow_matching", "averaged"
]

OTHER_WAYS = (
    "record its samples (`sitegen add NAME --recording FILE`) or write a sampler class: "
    'the page "Your own method" of the manual'
)
UNKNOWN_NETWORK = f"sitegen does not have this network; {OTHER_WAYS}"
HEAD = ("out.2.weight", "out.2.bias")
"""Tensors of the last convolution. If it has twice the channels, the second half is a learned
variance.
"""
HEADS = ("num_heads", "num_head_channels", "num_heads_upsample", "use_new_attention_order")
"""Settings of attention, which shapes do not show; some programs save them with the weights."""

Format = Literal["pth", "safetensors"]
"""Formats of files of weights."""
PICKLE_BYTES, HEADER_BYTES = 8 << 20, 8 << 20
"""Maximum bytes of the lists of tensors in a `.pth` and in safetensors; a model has a few 100 kB.
"""
OPERATIONS = 500_000
"""Maximum instructions of a pickle; published checkpoints have less than a tenth."""
ENCODED = 1 << 29
"""Maximum product of the longest text and the calls of a pickle: each may encode that text."""
SHARED_CONTAINERS, VISITS, LONG_INTEGERS = 24, 10**8, 1000
"""Maximum numbers of tuples and lists that a pickle uses again, of visits to their items, and of
integers beyond 64 bits. A tree of n shared tuples takes 2ⁿ operations to hash; the keys of a dict
may be integers of one hash."""
NAME_LENGTH = 1000
_CODECS = frozenset(
    "base64 bz2 hex idna punycode quopri quotedprintable rot13 uu zip zlib".split()  # noqa: SIM905
)
"""Encodings whose results can be encoded again, twice as long each time, or that take hours."""
_WRAPPERS = ("ema_model.", "module.", "denoise_fn.", "model.")
"""Prefixes of a network inside others: of averages, DataParallel, and the diffusions of Cold
Diffusion and lucidrains, which also hold kernels and noise schedules."""
_DAMAGE = (
    *(*ZIP_DAMAGE, pickle.UnpicklingError, TypeError, AttributeError, AssertionError),
    *(MemoryError, RecursionError),
)
"""Exceptions that torch and safetensors raise for damaged files."""


@dataclass(frozen=True)
class Checkpoint:
    """The content of a checkpoint of `bytes` bytes: its tensors by name, without `module.`.

    Numbers are read from the disk when a tensor is used. Only in the layout "published" are the
    averages separate: an unnamed list in the order of the parameters. In "spectral", "torchcfm",
    "flow_matching" and "averaged" the weights are averages. `schedule` is the blur in a file of
    "spectral". `notes` are those of safetensors, `heads` the settings of attention that a file
    records. `buffers` are the tensors next to the network in the diffusion that wraps it, such as
    its `betas`.
    """

    layout: Layout
    bytes: int
    weights: Mapping[str, Tensor]
    step: int | None = None
    averages: tuple[Tensor, ...] | None = None
    schedule: BlurSchedule | None = None
    notes: Mapping[str, str] = field(default_factory=dict)
    heads: dict[str, int] = field(default_factory=dict)
    buffers: Mapping[str, Tensor] = field(default_factory=dict)


def sniff(path: Path) -> Format:
    """Return the format of a checkpoint by its first bytes. Raises RefusedError if unknown."""
    size = regular_size(path, "checkpoint")
    try:
        with path.open("rb") as file:
            start = file.read(10)
    except OSError as error:
        raise RefusedError(f"{path}: cannot be read: {error.strerror}") from None
    # torch.save has written zip archives since version 1.6.
    if start.startswith(b"PK\x03\x04"):
        return "pth"
    # A safetensors file begins with the length of its JSON header, in 8 bytes.
    if start[8:9] == b"{" and int.from_bytes(start[:8], "little") <= size - 8:
        return "safetensors"
    # The opcode of a pickle's protocol, and its number.
    if start[:1] == b"\x80" and start[1:2] in b"\x01\x02\x03\x04\x05":
        raise RefusedError(
            f"{path}: a bare pickle, as torch.save wrote before version 1.6, which cannot be "
            f"checked before it is read; save it again with a newer PyTorch, or {OTHER_WAYS}"
        )
    raise _damaged(path, "neither a .pth nor safetensors")


def open_checkpoint(path: Path) -> Checkpoint:
    """Open a checkpoint without reading its numbers.

    Raises RefusedError for a file that is missing, unsafe, damaged or not a checkpoint.
    """
    size = regular_size(path, "checkpoint")
    if sniff(path) == "safetensors":
        from safetensors import safe_open

        with _damage(path):
            with path.open("rb") as file:
                length = int.from_bytes(file.read(8), "little")
                if length > HEADER_BYTES:
                    raise ValueError(f"its header claims {length} bytes")
                # the library takes the last of two tensors with one name, and keeps that a secret
                json.loads(file.read(length), object_pairs_hook=reject_duplicate_keys)
            with safe_open(path, framework="pt") as opened:
                tensors = {name: opened.get_tensor(name) for name in opened.offset_keys()}
                return Checkpoint("weights", size, tensors, notes=opened.metadata() or {})
    value = _load_pth(path, size)
    if not isinstance(value, dict):
        raise _damaged(path, f"it holds a {type(value).__name__}, not a dict")
    if value and all(map(_is_tensor, value.values())):
        weights, buffers = _unwrapped(value) if "betas" in value else (value, {})
        return Checkpoint("state dict", size, _named(path, weights), buffers=buffers)
    step = value.get("step")
    step = step if isinstance(step, int) and 0 <= step < 1 << 63 else None
    # Settings of attention are in a configuration that was saved with the weights.
    tables = [item.state if isinstance(item, _StandIn) else item for item in value.values()]
    tables += [inner for table in tables for inner in _table(table).values()]
    heads = {
        key: table[key]
        for table in map(_table, tables)
        for key in HEADS
        if isinstance(table.get(key), int)
    }
    common: dict[str, Any] = {"bytes": size, "step": step, "heads": heads}
    if "ema_state_dict" in value and "schedule" in value:
        if not _table(value["ema_state_dict"]):
            raise RefusedError(f"{path}: its ema_state_dict holds no weights")
        blurs: Any = _table(value["schedule"]).get("values")
        if _is_tensor(blurs) and blurs.dim() == 1 and len(blurs) <= MOST_LEVELS + 1:
            blurs = blurs.tolist()
        if not isinstance(blurs, list | tuple) or any(type(v) not in (int, float) for v in blurs):
            raise RefusedError(
                f"{path}: its schedule has no list of values, as IHDM-spectral saves, at most "
                f"{MOST_LEVELS + 1:,}"
            )
        try:
            schedule = BlurSchedule(tuple(blurs))
        except (ConfigError, OverflowError) as error:
            raise RefusedError(f"{path}: its schedule: {error}") from None
        weights = _named(path, value["ema_state_dict"])
        return Checkpoint("spectral", weights=weights, schedule=schedule, **common)
    if {"state", "param_groups"} <= value.keys():
        raise RefusedError(
            f"{path}: the state of an optimizer, not a model; give the model*.pt or, better, the "
            "ema_*.pt next to it"
        )
    if net := _table(value.get("net_model")):
        weights = _named(path, _table(value.get("ema_model")) or net)
        return Checkpoint("torchcfm", weights=weights, **common)
    averages, buffers = _unwrapped(_table(value.get("ema")))
    if averages:
        weights = _named(path, averages)
        return Checkpoint("averaged", weights=weights, buffers=buffers, **common)
    model = _table(value.get("model"))
    if "shadow_params.0" in model:
        wrapped = [name[6:] for name in model if str(name).startswith("model.")]
        shadows = {name: model.get(f"shadow_params.{at}") for at, name in enumerate(wrapped)}
        return Checkpoint("flow_matching", weights=_named(path, shadows), **common)
    if not model:
        names = ", ".join(str(key)[:40] for key in list(value)[:8])
        why = f"it holds {names or 'nothing'}; a published checkpoint has model and ema"
        raise RefusedError(f"{path}: not a checkpoint of this kind: {why}; {UNKNOWN_NETWORK}")
    if value.get("ema") is None:
        return Checkpoint("published", weights=_named(path, model), **common)
    shadow_params = _table(value["ema"]).get("shadow_params")
    if not isinstance(shadow_params, list | tuple):
        raise RefusedError(f"{path}: its ema has no list shadow_params, as published ones have")
    if not all(map(_is_tensor, shadow_params)):
        raise RefusedError(f"{path}: its ema.shadow_params has an item that is not a tensor")
    return Checkpoint(
        "published", weights=_named(path, model), averages=tuple(shadow_params), **common
    )


def require_whole(path: Path) -> None:
    """Raise RefusedError if a checksum in a `.pth` is wrong; safetensors have none."""
    if sniff(path) == "pth":
        # Torch maps the file and compares no checksums.
        with _damage(path), zipfile.ZipFile(path) as zipped:
            if (name := zipped.testzip()) is not None:
                raise _damaged(path, f"the checksum of {name[:100]} is wrong")


def has_learned_variance(shapes: Mapping[str, tuple[int, ...]]) -> bool:
    """Return whether a U-Net with these shapes has two outputs per channel: noise and variance."""
    first, last = (shapes.get(name, ()) for name in ("input_blocks.0.0.weight", HEAD[0]))
    return len(first) == 4 and len(last) == 4 and last[0] == 2 * first[1]


def _load_pth(path: Path, size: int) -> object:
    """Return what `torch.save` wrote, with tensors that are mapped into memory."""
    import torch

    with _damage(path):
        with path.open("rb") as file, open_zip(file, size) as zipped:
            pickles = [name for name in zipped.namelist() if name.endswith("/data.pkl")]
            if len(pickles) != 1 or pickles[0].count("/") != 1:
                raise ValueError(f"a zip with {len(pickles)} data.pkl inside; torch.save has one")
            if pickles[0].replace("data.pkl", "constants.pkl") in zipped.NameToInfo:
                raise RefusedError(
                    f"{path}: a TorchScript program; save a state dict, or {OTHER_WAYS}"
                )
            # With `mmap`, torch takes tensors from their offsets in the file, so compressed bytes
            # would become weights.
            if any(info.compress_type for info in zipped.infolist()):
                raise ValueError("it is compressed, which torch.save never does; save it again")
            if zipped.getinfo(pickles[0]).file_size > PICKLE_BYTES:
                raise ValueError("its data.pkl is far too long")
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of texts with odd escapes
                _require_harmless(path, zipped.read(pickles[0]))
        with torch.serialization.safe_globals(_STAND_INS):
            return torch.load(path, map_location="cpu", weights_only=True, mmap=True)


def _require_harmless(path: Path, data: bytes) -> None:
    """Refuse a pickle that names code, and one that torch would read at a great cost.

    Raises RefusedError, or ValueError for a pickle that is damaged.
    """
    names, codecs, containers, shared, before = set[str](), set[str](), set[int](), set[int](), ""
    calls = longest = fetches = depth = long_integers = 0
    for count, (opcode, argument, _) in enumerate(pickletools.genops(data)):
        if opcode.name == "PROTO" and argument != 2:
            raise RefusedError(
                f"{path}: saved with pickle protocol {argument}, which torch.load(weights_only="
                f"True) does not read; save it again with protocol 2, torch's, or {OTHER_WAYS}"
            )
        if opcode.name in ("GLOBAL", "INST"):
            names.add(str(argument).replace(" ", "."))
        elif opcode.name in ("BINPUT", "LONG_BINPUT"):
            # The pickle stores what it has just made; only containers can nest each other.
            if before.startswith("TUPLE") or before == "EMPTY_LIST":
                containers.add(cast(int, argument))
                shared.discard(cast(int, argument))
            continue
        elif opcode.name in ("BINGET", "LONG_BINGET") and argument in containers:
            fetches += 1
            depth += argument not in shared
            shared.add(argument)
        elif opcode.name == "REDUCE":
            calls += 1
        elif isinstance(argument, str):
            longest = max(longest, len(argument))
            codecs.add(re.sub("[^a-z0-9]", "", argument.lower()).removesuffix("codec"))
        elif isinstance(argument, int):
            long_integers += argument.bit_length() > 64
        before = opcode.name
        if (
            count > OPERATIONS
            or depth > SHARED_CONTAINERS
            or fetches * count > VISITS
            or long_integers > LONG_INTEGERS
        ):
            raise RefusedError(f"{path}: refused: its list of tensors is far too complex")
    if "_codecs.encode" in names:
        names |= codecs & _CODECS
    if unknown := sorted(name for name in names if not _HARMLESS.fullmatch(name)):
        raise RefusedError(
            f"{path}: refused as unsafe: it names {unknown[0][:100]}, which weights do not need; "
            f"nothing was run. Save only the state dict of the network, or {OTHER_WAYS}"
        )
    if longest * calls > ENCODED:
        raise RefusedError(f"{path}: refused: its list of tensors has far too long texts")


class _StandIn:
    """Takes the place of an array, type, options or path: the content is kept, nothing is run."""

    def __init__(self, code: object = "", *_: object) -> None:
        self.code, self.state = code, cast(object, None)

    def __setstate__(self, state: object) -> None:
        self.state = state


def _number(kind: _StandIn, data: bytes) -> object:
    """Return a scalar of NumPy, as training code leaves in an optimizer's state."""
    order = ">" if isinstance(kind.state, tuple) and ">" in kind.state else "<"
    return struct.unpack(order + _FORMATS[cast(str, kind.code)], data)[0]


_FORMATS = dict(
    zip("f8 f4 f2 b1 i8 i4 i2 i1 u8 u4 u2 u1".split(), "dfe?qihbQIHB", strict=True)  # noqa: SIM905
)
_STAND_INS: list[Any] = [
    *((_number, f"numpy.{core}.multiarray.scalar") for core in ("core", "_core")),
    *((_StandIn, f"numpy.{core}.multiarray._reconstruct") for core in ("core", "_core")),
    *((_StandIn, name) for name in ("numpy.dtype", "numpy.ndarray", "argparse.Namespace")),
    *((_StandIn, f"pathlib.{name}Path") for name in ("Posix", "_local.Posix", "Windows")),
]
_HARMLESS = re.compile(
    r"torch\.(\w+Storage|Size|device|u?int\d+|float\w*|bfloat16|half|double|bool|long)"
    r"|torch\._utils\._rebuild_(tensor_v2|parameter)|collections\.OrderedDict"
    # Protocol 2 has no bytes: Python pickles them as a text and a call of `_codecs.encode`.
    r"|_codecs\.encode|(__builtin__|builtins)\.set|"
    + "|".join(re.escape(name) for _, name in _STAND_INS)
)
"""Names in checkpoints of weights. Torch allows some more, which allocate memory as they are told.
"""


def _table(value: object) -> Mapping[Any, Any]:
    return value if isinstance(value, dict) else {}


def _is_tensor(value: object) -> bool:
    import torch

    return isinstance(value, torch.Tensor) and value.layout is torch.strided


def _named(path: Path, weights: Mapping[Any, Any]) -> dict[str, Tensor]:
    for name, tensor in weights.items():
        if not isinstance(name, str) or not _is_tensor(tensor):
            raise RefusedError(f"{path}: {str(name)[:100]} in its model is not a named tensor")
        if len(name) > NAME_LENGTH:
            raise RefusedError(f"{path}: {name[:100]}… in its model has far too long a name")
    prefix = "module." if all(name.startswith("module.") for name in weights) else ""
    return {name.removeprefix(prefix): tensor for name, tensor in weights.items()}


def _unwrapped(table: Mapping[Any, Any]) -> tuple[Mapping[str, Tensor], Mapping[str, Tensor]]:
    """Return a network that is stored by name, and the tensors next to it in what wraps it.

    Both are empty unless all values with names are tensors.
    """
    named = {name: value for name, value in table.items() if isinstance(name, str)}
    if not all(map(_is_tensor, named.values())):
        return {}, {}
    buffers: Mapping[str, Tensor] = {}
    for prefix in _WRAPPERS:
        if inner := {n.removeprefix(prefix): v for n, v in named.items() if n.startswith(prefix)}:
            buffers = {n: value for n, value in named.items() if not n.startswith(prefix)}
            named = inner
    return named, buffers


def _damaged(path: Path, why: object) -> RefusedError:
    return RefusedError(
        f"{path}: damaged or not a checkpoint: {why}. Of another format, {OTHER_WAYS}"
    )


@contextmanager
def _damage(path: Path) -> Iterator[None]:
    from safetensors import SafetensorError

    try:
        yield
    except RefusedError:
        raise
    except (SafetensorError, *_DAMAGE) as error:
        why = next(iter(str(error).splitlines()), type(error).__name__)
        raise _damaged(path, why) from None

"""An author's sampler class, imported where sitegen runs: its calls, its facts and its files."""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sitegen.core.errors import ConfigError, PlugInError, RefusedError
from sitegen.core.files import sha256
from sitegen.core.source import raising_line, shown
from sitegen.generative.card.card import FileRef, ModelCard
from sitegen.generative.card.labels import LabelsConfig
from sitegen.generative.card.tables import SamplerConfig

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Array = NDArray[np.float32]

TRIED = 2
"""Samples with which a sampler is tried."""
ROUNDING = 1e-4
"""Largest difference of two states, relative to their largest number, that counts as rounding."""


@dataclass(frozen=True)
class SamplerFile:
    """An author's class: in a `file`, or in an installed `module` that has this file."""

    file: Path
    name: str
    module: str = ""


class Host:
    """An author's sampler. It is imported by the first call, and does one call at a time."""

    def __init__(self, sampler: SamplerFile) -> None:
        self._sampler = sampler
        self._instance: Any = None
        # `call` holds it when it reads `instance`, which takes it again.
        self._lock = threading.RLock()

    def call(
        self,
        method: str,
        *arrays: Array,
        number: int | None = None,
        share: float | None = None,
        label: NDArray[np.int64] | None = None,
    ) -> list[Array]:
        """Return the results of a method, arrays of the shape of its first argument.

        `number` is that of the state for `step` and `corrupt`, `share` that of `between`, `label`
        (N,) are the numbers of the labels for `step`, if the class has `labels`. `step`
        has a second result if the sampler predicts images. Arrays are copied, since the sampler may
        keep or change them. Raises PlugInError, with file and line, for an exception in the
        sampler, and for a result that is not an array of this shape or not finite.
        """
        first, *others = (array.copy() for array in arrays)
        between = [value for value in (number, share) if value is not None]
        ordered: list[Any] = [first, *between, *others]
        if share is not None:
            ordered = [first, *others, *between]
        if label is not None:
            ordered.append(label.copy())
        with self._lock, _errors_of(self._sampler), _all_threads():
            function = getattr(self.instance, method)
            results = function(*ordered)
        name = method if number is None else f"{method}({number})"
        try:
            if method != "step":
                return [_array(results, first.shape, f"the result of {name}")]
            if not isinstance(results, tuple | list) or len(results) != 2:
                raise ValueError(
                    f"{name} must return the next states and the predicted images or None"
                )
            state, image = results
            checked = [_array(state, first.shape, f"the next state of {name}")]
            if image is not None:
                checked.append(_array(image, first.shape, f"the predicted image of {name}"))
            return checked
        except (TypeError, ValueError) as error:
            code = getattr(inspect.unwrap(function), "__code__", None)
            file = Path(code.co_filename) if code else self._sampler.file
            line = f":{code.co_firstlineno}" if code else ""
            raise PlugInError(f"{shown(file)}{line}: {error}") from None

    @property
    def instance(self) -> Any:
        """The author's object."""
        with self._lock:
            if self._instance is None:
                with _errors_of(self._sampler):
                    self._instance = _load(self._sampler)
            return self._instance


def _load(sampler: SamplerFile) -> Any:
    if sampler.module:
        return getattr(importlib.import_module(sampler.module), sampler.name)()
    folder = str(sampler.file.resolve().parent)
    if folder not in sys.path:
        sys.path.insert(0, folder)  # for the author's own modules
    name = f"sitegen_sampler_{sampler.file.stem}"
    spec = importlib.util.spec_from_file_location(name, sampler.file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # as dataclasses and pickle need
    spec.loader.exec_module(module)
    if not hasattr(module, sampler.name):
        raise AttributeError(f"{sampler.file.name} has no class {sampler.name}")
    return getattr(module, sampler.name)()


@contextmanager
def _errors_of(sampler: SamplerFile) -> Iterator[None]:
    """Turn an exception into a PlugInError with the last line of it in the author's folder.

    What the author's code prints goes to standard error, since a command may print JSON.
    """
    try:
        with redirect_stdout(sys.stderr):
            yield
    except PlugInError:
        raise
    except (Exception, SystemExit) as error:
        file, line = raising_line(error) or (str(sampler.file), None)
        message = f"{type(error).__name__}: {' '.join(str(error).split())}"[:2000]
        location = f"{shown(Path(file))}:{line}" if line else shown(Path(file))
        raise PlugInError(f"{location}: {message}") from error


@contextmanager
def _all_threads() -> Iterator[None]:
    """Let an author's torch use all cores; sitegen's own arithmetic uses one."""
    torch: Any = sys.modules.get("torch")
    if torch is None:
        yield
        return
    from sitegen.generative.engine import CORES

    before = torch.get_num_threads()
    torch.set_num_threads(CORES)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _array(value: Any, shape: tuple[int, ...], name: str) -> Array:
    """Return a copy of a result as float32. Raises ValueError for a wrong shape or number."""
    import numpy as np  # imported here, since a build whose clips are in the store does not need it

    if hasattr(value, "detach"):
        value = value.detach().cpu()
        value = value.float() if str(value.dtype) == "torch.bfloat16" else value
    array = np.asarray(value)
    if array.dtype.kind == "c":
        raise ValueError(f"{name} is complex; return its real part")
    array = np.array(array, np.float32, order="C")
    if array.shape != shape:
        raise ValueError(f"{name} has the shape {array.shape}; must be {shape}")
    if not np.isfinite(array).all():
        raise ValueError(f"{name} has numbers that are not finite")
    return array


def describe(sampler: SamplerFile, name: str) -> ModelCard:
    """Return the card of a sampler, by its members and one run of two samples.

    The run has equal states and different normal numbers at each step, so it shows whether steps
    are random. If the sampler has a member `random`, only the first step is run. Raises ConfigError
    with the file for an exception in it, and for members that are not valid.
    """
    import numpy as np

    if not sampler.file.is_file():
        raise ConfigError(
            f"{shown(sampler.file)}: is not there; [models.{name}] in site.toml names it"
        )
    host = Host(sampler)
    try:
        author = host.instance
        with _errors_of(sampler):
            symbol, unit, values = author.axis
            values = [float(value) for value in values]
            shape = tuple(int(size) for size in author.shape)
            low, high = (float(value) for value in author.value_range)
            names = getattr(author, "labels", None)
            labels = None if names is None else LabelsConfig(tuple(map(str, names)), optional=False)
            uses = getattr(author, "uses", ())
            uses = [os.fspath(path) for path in ([uses] if isinstance(uses, str) else uses)]
        if len(shape) != 3 or shape[0] not in (1, 3) or min(shape) < 1:
            raise ConfigError(
                f"shape = {shape}: must be (C, H, W) with 1 or 3 channels; a page shows video "
                "files by video(), and of other data a recording makes images by decode="
            )
        if len(values) < 2:
            raise ConfigError("axis must be (symbol, unit, values), with 2 values or more")
        draws = np.random.default_rng(0)
        normal = draws.standard_normal((TRIED, *shape), np.float32)
        (state,) = host.call("start", normal)
        factor = float((state * normal).sum() / (normal**2).sum())
        scaled = factor > 0 and np.allclose(state, factor * normal, rtol=1e-3, atol=1e-6)
        random, predicts = getattr(author, "random", None), True
        first_label = None if labels is None else np.zeros(TRIED, np.int64)
        for number in range(len(values) - 1 if random is None else 1):
            equal = np.repeat(state[:1], TRIED, axis=0)
            normal = draws.standard_normal((TRIED, *shape), np.float32)
            state, *final = host.call("step", equal, normal, number=number, label=first_label)
            predicts = predicts and bool(final)
            if random is None and np.ptp(state, axis=0).max() > ROUNDING * np.abs(state).max():
                random = True
        digests = {}
        for used in uses:
            path = _used(sampler, used)
            if not path.is_file():
                fault = "is not a file" if path.exists() else "is not there"
                raise RefusedError(f"{shown(sampler.file)}: uses {used}, which {fault}")
            digests[used] = sha256(path)
        config = SamplerConfig(
            name=sampler.name,
            values=tuple(values[::-1]),
            symbol=str(symbol),
            unit=str(unit),
            start=str(
                getattr(author, "start_in_words", "") or ("noise" if scaled else "an initial state")
            ),
            low=low,
            high=high,
            random=bool(random),
            gaussian=bool(scaled),
            corrupts=callable(getattr(author, "corrupt", None)),
            has_between=callable(getattr(author, "between", None)),
            predicts=predicts,
            size=None if shape[1] == shape[2] else (shape[1], shape[2]),
            uses=digests,
        )
        return ModelCard(
            max(shape[1:]),
            shape[0],
            len(values) - 1,
            kind="sampler",
            sampler=config,
            labels=labels,
            subject=str(getattr(author, "subject", "") or ""),
            weights=FileRef(sampler.file.name, sha256(sampler.file)),
        )
    except PlugInError as error:
        raise ConfigError(str(error)) from error
    except ConfigError as error:
        raise ConfigError(f"{shown(sampler.file)}: {sampler.name}: {error}") from None


def is_current(sampler: SamplerFile, card: ModelCard) -> bool:
    """Return whether a card is that of a sampler's class and files, as far as these are there."""
    if card.sampler is None or card.weights is None or card.sampler.name != sampler.name:
        return False
    digests = sampler_files(sampler, card).items()
    return all(sha256(path) == digest for path, digest in digests if path.is_file())


def sampler_files(sampler: SamplerFile, card: ModelCard) -> dict[Path, str | None]:
    """Return the digests of the files of a sampler that its card was made of."""
    assert card.sampler
    assert card.weights
    uses = {_used(sampler, name): digest for name, digest in card.sampler.uses.items()}
    return {sampler.file: card.weights.sha256, **uses}


def _used(sampler: SamplerFile, name: str) -> Path:
    """Return the path of a file that a sampler uses, which starts at the sampler's folder."""
    return sampler.file.parent / os.path.expanduser(name)

"""An author's sampler, which runs in a process of its own (`sampler_host.py`)."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sitegen.core.errors import ConfigError, PlatformError, PlugInError, RefusedError, TargetError
from sitegen.core.files import sha256
from sitegen.core.source import shown
from sitegen.generative.card.card import FileRef, ModelCard
from sitegen.generative.process.hosted import SamplerConfig

HOST = Path(__file__).resolve().with_name("sampler_host.py")
Array = NDArray[np.float32]
_MOST_LINE = 1 << 24


@dataclass(frozen=True)
class SamplerFile:
    """An author's class: in a `file`, or in an installed `module` that has this file.

    python: the interpreter that runs it; sitegen's own if None
    """

    file: Path
    name: str
    module: str = ""
    python: str | None = None


class Host:
    """The process of a sampler. It starts with the first call."""

    def __init__(self, sampler: SamplerFile, name: str) -> None:
        self._sampler, self._name = sampler, name
        self._process: subprocess.Popen[bytes] | None = None
        self._guard = threading.Lock()

    def call(
        self, function: str, *arrays: Array, **more: Any
    ) -> tuple[dict[str, Any], list[Array]]:
        """Return the answer of the sampler: facts, and arrays.

        Raises PlugInError with file and line for an exception in it, TargetError if its process
        ends, PlatformError if Python cannot be started.
        """
        with self._guard:
            process = self._started()
            assert process.stdin
            assert process.stdout
            shapes = [list(each.shape) for each in arrays]
            request = {"call": function, "shapes": shapes, "more": more}
            try:
                process.stdin.write(json.dumps(request).encode() + b"\n")
                for each in arrays:
                    process.stdin.write(np.ascontiguousarray(each, np.float32).data)
                process.stdin.flush()
                answer = json.loads(process.stdout.readline(_MOST_LINE))
                found = [_read(process.stdout, shape) for shape in answer["shapes"]]
            except (OSError, ValueError, KeyError):
                ended = "sent no valid answer"
                with contextlib.suppress(subprocess.TimeoutExpired):
                    ended = f"ended with exit code {process.wait(1)}; see the terminal"
                self._end()
                raise TargetError(
                    f"{shown(self._sampler.file)}: the process of the model {self._name} {ended}"
                ) from None
        if error := answer.get("error"):
            line = f":{error['line']}" if error["line"] else ""
            raise PlugInError(f"{shown(Path(error['file']))}{line}: {error['words']}")
        return answer["facts"], found

    def close(self) -> None:
        """End the process."""
        with self._guard:
            self._end()

    def _started(self) -> subprocess.Popen[bytes]:
        if self._process is not None and self._process.poll() is None:
            return self._process
        sampler = self._sampler
        command = [sampler.python or sys.executable, "-B", str(HOST)]
        command += [str(sampler.file), sampler.name, sampler.module]
        try:
            self._process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=sampler.file.parent
            )
        except OSError as error:
            raise PlatformError(
                f"{command[0]}: cannot run the model {self._name}: {error.strerror}; set python of "
                f"[models.{self._name}] to an interpreter"
            ) from None
        return self._process

    def _end(self) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        for pipe in (process.stdin, process.stdout):
            with contextlib.suppress(OSError):
                if pipe:
                    pipe.close()
        process.terminate()
        try:
            process.wait(1)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _read(file: Any, shape: Sequence[int]) -> Array:
    size = 4 * int(np.prod(shape))
    data = file.read(size)
    if len(data) != size:
        raise ValueError("the answer is short")
    return np.frombuffer(data, np.float32).reshape(shape).copy()


def describe(sampler: SamplerFile, name: str) -> ModelCard:
    """Run a sampler to learn what it is, and return its card.

    Raises ConfigError with file and line for an exception in it, and for facts that are not valid.
    """
    if not sampler.file.is_file():
        raise ConfigError(
            f"{shown(sampler.file)}: is not there; [models.{name}] in site.toml names it"
        )
    host = Host(sampler, name)
    try:
        facts, _ = host.call("describe")
    except TargetError as error:
        raise ConfigError(str(error)) from None
    finally:
        host.close()
    channels, side, _ = facts.pop("shape")
    subject, uses = facts.pop("subject"), facts.pop("uses")
    values = facts.pop("values")[::-1]
    try:
        config = SamplerConfig(
            name=sampler.name,
            values=values,
            uses={each: _digest(sampler, each) for each in uses},
            **facts,
        )
        return ModelCard(
            side,
            channels,
            len(values) - 1,
            kind="sampler",
            sampler=config,
            subject=subject,
            weights=FileRef(sampler.file.name, sha256(sampler.file)),
        )
    except ConfigError as error:
        raise ConfigError(f"{shown(sampler.file)}: {sampler.name}: {error}") from None


def is_current(sampler: SamplerFile, card: ModelCard) -> bool:
    """Return whether a card is that of a sampler's class and files, as far as these are there."""
    if card.sampler is None or card.weights is None:
        return False
    if card.sampler.name not in ("", sampler.name):  # notes of older versions have no name
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


def _digest(sampler: SamplerFile, name: str) -> str:
    path = _used(sampler, name)
    if not path.is_file():
        fault = "is not a file" if path.exists() else "is not there"
        raise RefusedError(f"{shown(sampler.file)}: uses {name}, which {fault}")
    return sha256(path)

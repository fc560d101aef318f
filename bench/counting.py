"""Runs a command of the sitegen that is on the path, and counts what its networks compute.

    python bench/counting.py FILE WORD …

WORD … is the command, as in `build --offline`. FILE gets its exit status, seconds on the clock, the
processor's seconds of it and all that it started, the seconds on the clock in which samples took
their steps (of figures at a time, all of theirs), the images that networks have seen, each at one
level, and the operations of that, as torch counts them for one image of each kind. It knows the
sitegen of today and the one of cf37808, which it may be run with, and imports nothing of either
that a command does not import itself.
"""

from __future__ import annotations

import functools
import importlib.abc
import importlib.machinery
import json
import os
import runpy
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

MODULES = ("sitegen.generative.process.model", "sitegen.generative.model")
"""Where `CardModel` is, of which every model is one; the second in old commits."""
SAMPLERS = {
    "sitegen.generative.process.protocol": "run",
    "sitegen.generative.process.reverse": "descend",
    "sitegen.generative.reverse": "reverse_process",
    "sitegen.generative.diffusion": "_descend",
}
"""The functions that yield the steps of samples, by module; all but the first in old commits."""


class Counts:
    """How many images each model has seen at each level, and how many seconds sampling took."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self.models: dict[int, Any] = {}
        self.images: dict[int, Counter[int]] = {}

    def watch(self, module: ModuleType) -> None:
        """Count what models are called with from now on."""
        kind = module.CardModel
        plain = kind.__call__

        def counted(model: Any, states: Any, level: Any, *rest: Any) -> Any:
            self.models[id(model)] = model
            seen = self.images.setdefault(id(model), Counter())
            for each in [level] * len(states) if isinstance(level, int) else level.tolist():
                seen[int(each)] += 1
            return plain(model, states, level, *rest)

        kind.__call__ = counted

    def time(self, module: ModuleType) -> None:
        """Count how long samples take for their steps from now on."""
        name = SAMPLERS[module.__name__]
        plain = getattr(module, name)

        @functools.wraps(plain)
        def timed(*arguments: Any, **options: Any) -> Iterator[Any]:
            steps = plain(*arguments, **options)
            while True:
                started = time.perf_counter()
                step = next(steps, None)
                self.seconds += time.perf_counter() - started
                if step is None:
                    return
                yield step

        setattr(module, name, timed)

    def evaluations(self) -> int:
        """All of them."""
        return sum(sum(seen.values()) for seen in self.images.values())

    def gflop(self) -> float:
        """The operations of all, in thousands of millions."""
        total = 0
        for key, seen in self.images.items():
            cost = constant_between(functools.partial(operations, self.models[key]), max(seen))
            total += sum(cost[level] * count for level, count in seen.items())
        return total / 1e9


def constant_between(cost: Callable[[int], int], highest: int) -> dict[int, int]:
    """The `cost` of the levels 1 … highest, asked for as if each band of equal ones were whole."""
    known = {1: cost(1), highest: cost(highest)}
    spans = [(1, highest)]
    while spans:
        low, high = spans.pop()
        middle = (low + high) // 2
        if known[low] == known[high] or middle == low:
            known |= dict.fromkeys(range(low, high), known[low])
            continue
        known[middle] = cost(middle)
        spans += [(low, middle), (middle, high)]
    return known


def operations(model: Any, level: int) -> int:
    """Operations of one image at a level, by torch's own counter and torch's own operators."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    card = model.card
    engines, model.engines = getattr(model, "engines", {}), {}
    states = torch.zeros(1, card.channels, card.image_size, card.image_size, device=model.device)
    try:
        with torch.no_grad(), FlopCounterMode(display=False) as counter:
            type(model).forward(model, states, level)
    finally:
        model.engines = engines
    return int(counter.get_total_flops())


class Watcher(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Tells `found` of a module as soon as it was imported, by whoever wants it."""

    def __init__(self, names: Sequence[str], found: Callable[[ModuleType], None]) -> None:
        self.names, self.found = names, found
        self.loader: Any = None

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        """The spec that the module has anyhow, with this as what loads it."""
        spec = importlib.machinery.PathFinder.find_spec(name, path) if name in self.names else None
        if spec is not None:
            self.loader, spec.loader = spec.loader, self
        return spec

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> ModuleType | None:
        """As its own loader."""
        module: ModuleType | None = self.loader.create_module(spec)
        return module

    def exec_module(self, module: ModuleType) -> None:
        """As its own loader, and tell."""
        self.loader.exec_module(module)
        self.found(module)


def main(arguments: Sequence[str]) -> int:
    """Run, count, write; the exit status of the command."""
    file, *words = arguments
    counts, status = Counts(), 0
    sys.meta_path.insert(0, Watcher(MODULES, counts.watch))
    sys.meta_path.insert(0, Watcher(tuple(SAMPLERS), counts.time))
    sys.argv = ["sitegen", *words]
    started = time.perf_counter()
    try:
        runpy.run_module("sitegen", run_name="__main__")
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else int(end.code is not None)
    seconds, times = time.perf_counter() - started, os.times()
    told = {
        "status": status,
        "seconds": seconds,
        "cpu_seconds": times.user + times.system + times.children_user + times.children_system,
        "sampling_seconds": counts.seconds,
        "evaluations": counts.evaluations(),
        "gflop": counts.gflop(),
    }
    Path(file).write_text(json.dumps(told), encoding="utf-8")
    return status


if __name__ == "__main__":
    sys.path.pop(0)  # this folder, in which there are modules of many names
    sys.exit(main(sys.argv[1:]))

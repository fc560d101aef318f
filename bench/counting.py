"""Run a command of the sitegen on the path, and count the computations of its networks.

    python bench/counting.py FILE WORD …

WORD … is the command, such as `build --offline`. FILE receives as JSON: its exit status; wall-clock
seconds; CPU seconds of it and its children; the wall-clock seconds in which samples took their
steps (for simultaneous figures, of all); the images evaluated by networks, each at one level; and
the operations of that, as torch counts them for one image of each kind. It works with the current
sitegen and with that of cf37808, and imports nothing of either that a command does not import
itself.
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
"""Modules of `CardModel`, the base of all models; the second is that of old commits."""
SAMPLERS = {
    "sitegen.generative.process.protocol": "run",
    "sitegen.generative.process.reverse": "descend",
    "sitegen.generative.reverse": "reverse_process",
    "sitegen.generative.diffusion": "_descend",
}
"""Functions that yield the steps of samples, by module; all but the first are of old commits."""


class Counts:
    """Images that each model evaluated at each level, and the seconds of sampling."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self.models: dict[int, Any] = {}
        self.images: dict[int, Counter[int]] = {}

    def watch(self, module: ModuleType) -> None:
        """Count the calls of models from now on."""
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
        """Measure the steps of samples from now on."""
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
        """Return the total number of evaluations."""
        return sum(sum(seen.values()) for seen in self.images.values())

    def gflop(self) -> float:
        """Return the operations of all evaluations, in GFLOP."""
        total = 0
        for key, seen in self.images.items():
            cost = constant_between(functools.partial(operations, self.models[key]), max(seen))
            total += sum(cost[level] * count for level, count in seen.items())
        return total / 1e9


def constant_between(cost: Callable[[int], int], highest: int) -> dict[int, int]:
    """Return the `cost` of the levels 1 … highest, probed as if equal levels were contiguous."""
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
    """Return the operations of one image at a level, by torch's counter for its operators."""
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
    """Import hook that calls `found` with a module as soon as it is imported."""

    def __init__(self, names: Sequence[str], found: Callable[[ModuleType], None]) -> None:
        self.names, self.found = names, found
        self.loader: Any = None

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        """Return the module's usual spec, with this object as its loader."""
        spec = importlib.machinery.PathFinder.find_spec(name, path) if name in self.names else None
        if spec is not None:
            self.loader, spec.loader = spec.loader, self
        return spec

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> ModuleType | None:
        """Delegate to the module's own loader."""
        module: ModuleType | None = self.loader.create_module(spec)
        return module

    def exec_module(self, module: ModuleType) -> None:
        """Delegate to the module's own loader, then call `found`."""
        self.loader.exec_module(module)
        self.found(module)


def main(arguments: Sequence[str]) -> int:
    """Run, count, write; return the exit status of the command."""
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
    sys.path.pop(0)  # this folder, whose modules could shadow others
    sys.exit(main(sys.argv[1:]))

"""Computation of a figure's shards in a cluster: block by block, each on any worker.

A block is some consecutive steps of a shard. It starts from the end of the previous block, on the
worker that holds that state, so little data is transferred. A few blocks are requested in advance,
so that workers do not wait while the build draws and encodes. Workers release a block after the
build has received it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from sitegen.cluster.client import Cluster, Lost
from sitegen.cluster.worker import Numbers, ShardBlock, take_steps
from sitegen.core.compute import ComputeTarget
from sitegen.core.errors import PlatformError
from sitegen.models.registry import ModelSource
from sitegen.sampling.provider import ModelProvider

if TYPE_CHECKING:
    import torch

    from sitegen.sampling.batches import Executor, SampleBatch, Selection, Visible
    from sitegen.sampling.models import Sampler

STEPS = 10
"""Steps per block."""
AHEAD = 2
"""Number of blocks of a shard to request in advance."""
TOLERANCE = 0.1
"""Largest root mean square difference between a worker's values and this machine's.

After the first ten steps of the shipped models, bfloat16 and float32 differ by less than 0.001.
"""
MOST_LOST = 20
"""Number of times that a shard may lose its workers before the build fails."""

_HERE = ComputeTarget("cpu", "float32")


class ClusterModels(ModelProvider):
    """Models with samples that are computed in a cluster; this process does the rest."""

    def __init__(self, sources: Any, cluster: Cluster) -> None:
        super().__init__(sources, _HERE)
        self.cluster, self.compute_target = cluster, cluster.compute_target

    def close(self) -> None:
        """Close the cluster."""
        self.cluster.close()

    def _load_network(self, source: ModelSource) -> Sampler:
        from sitegen.sampling.models import load_sampler

        sampler = load_sampler(source, _HERE, engines=False)
        return replace(sampler, executor=executor(self.cluster, source, sampler.model))


def executor(cluster: Cluster, source: ModelSource, model: Any) -> Executor:
    """Send a model to the workers of a cluster, and return the executor that computes there.

    model: the same model in this process, which also computes one sample of each worker's first
        block
    """
    held = cluster.hold(source)

    def compute(shards: Sequence[SampleBatch], selection: Selection) -> Iterator[Visible]:
        process = shards[0].process
        count = len(process.transitions())
        ends = [*range(0, count, STEPS), count]
        bare = replace(process, model=None, starts=None)  # workers have the model
        batches = [replace(shard, process=bare) for shard in shards]
        works = [_Work(cluster, source, model, held, each, selection, ends) for each in batches]
        with closing(_All(works)):
            for block in range(len(ends) - 1):
                for work in works:
                    work.ask(block)
                yield from _levels([work.take(block) for work in works])

    return compute


def _levels(blocks: Sequence[ShardBlock]) -> Iterator[Visible]:
    """Yield the levels of one block of every shard, with all shards together."""
    from sitegen.sampling.batches import joined

    for parts in zip(*(block.seen for block in blocks), strict=True):
        kept = [tuple(map(_tensor, part)) for _, part in parts]
        yield parts[0][0], joined(kept)


def _alike(found: Numbers, wanted: Numbers) -> bool:
    """Return whether the first samples of `found` match `wanted`."""
    if found.shape[1:] != wanted.shape[1:] or len(found) < len(wanted):
        return False
    return bool(np.sqrt(np.mean((found[: len(wanted)] - wanted) ** 2)) <= TOLERANCE)


def _tensor(numbers: Numbers) -> torch.Tensor:
    import torch

    return torch.from_numpy(np.array(numbers))  # arrays from the network are read-only


@dataclass
class _Work:
    """A shard in progress: its pending requests by block, and the state received so far."""

    cluster: Cluster
    source: ModelSource
    model: Any
    held: str
    shard: SampleBatch
    selection: Selection
    ends: Sequence[int]
    asked: dict[int, tuple[Any, frozenset[str]]] = field(default_factory=dict)
    lost: int = 0

    def ask(self, block: int) -> None:
        """Request this block and some after it."""
        last = min(block + AHEAD, len(self.ends) - 2)
        wanted = [each for each in range(block, last + 1) if each not in self.asked]
        if not wanted:
            return
        workers = self.cluster.workers(self.held)
        for each in wanted:
            before = self.asked.get(each - 1)
            shard = replace(self.shard, initial=self.shard.initial[:0]) if before else self.shard
            future = self.cluster.submit(
                self.source.name,
                workers,
                take_steps,
                self.held,
                {"name": self.source.name, "sha256": self.source.weights_sha256},
                self.cluster.compute_target,
                shard,
                before[0] if before else None,
                (self.ends[each], self.ends[each + 1]),
                self.selection,
            )
            self.asked[each] = future, workers

    def take(self, block: int) -> ShardBlock:
        """Wait for a requested block; the shard's state is then the end of that block."""
        while True:
            future, workers = self.asked[block]
            try:
                found = self.cluster.result(self.held, future, workers)
            except Lost:
                self._ask_again(block)
                continue
            if fault := self._fault(found, block):
                self.cluster.dismiss(found.worker, fault)
                self._ask_again(block)
                continue
            self.shard = replace(self.shard, initial=_tensor(found.state))
            del self.asked[block], future
            return found

    def _fault(self, found: ShardBlock, block: int) -> str:
        """Describe what is wrong with a worker's block; empty if nothing is.

        The first block of each worker is compared with this process's result for one sample, up to
        `TOLERANCE`. That detects a worker that computes something else, not a malicious one.
        """
        first, last = self.ends[block], self.ends[block + 1]
        arrays = [found.state, *(each for _, kept in found.seen for each in kept)]
        if len(found.seen) != last - first or not all(np.isfinite(each).all() for each in arrays):
            return "sent values that do not fit the shard"
        key = self.held, found.worker
        if key in self.cluster.compared:
            return ""
        from sitegen.sampling.executors import in_chunks

        sample, wanted = self.shard.shards(1)[0], list[np.ndarray[Any, Any]]()
        sample = replace(sample, process=replace(sample.process, model=in_chunks(self.model)))
        for step in sample.run(first, last):
            state = step.state
            wanted += [each.numpy() for each in sample.select(step, self.selection)]
        wanted = [state.numpy(), *wanted]
        if len(wanted) != len(arrays) or not all(map(_alike, arrays, wanted)):
            return "computes different images than this machine"
        self.cluster.compared.add(key)
        return ""

    def _ask_again(self, block: int) -> None:
        """Request the lost blocks again, from the last state that the build has received."""
        self.lost += 1
        if self.lost > MOST_LOST:
            raise PlatformError(
                f"the workers that computed {self.source.name} were lost {self.lost} times; read "
                "their logs, and build again"
            )
        self.stop()
        self.ask(block)

    def stop(self) -> None:
        """Cancel all requests of this shard."""
        self.cluster.forget([future for future, _ in self.asked.values()])
        self.asked.clear()


@dataclass(frozen=True)
class _All:
    works: Sequence[_Work]

    def close(self) -> None:
        """Cancel all requests of all shards."""
        for work in self.works:
            work.stop()

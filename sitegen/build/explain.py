"""Figures that are missing where nothing can be rendered, and what changed since they were.

The store keeps what was asked for beside what was rendered. A figure that is missing is compared
with the figure of its kind that it has most in common with.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from sitegen.build.context import BuildContext, Records
from sitegen.build.plan import PlannedFigure, environment
from sitegen.core.diagnostics import quoted
from sitegen.core.errors import PlatformError, TargetError

_PARTS = ("card", "weights", "prior")  # of a model, in the order of a request
_MOST = 4  # changes beyond which it is another figure


def refuse_unrenderable(context: BuildContext, records: Records) -> None:
    """Raise where nothing may or can be rendered, naming each figure and what has changed.

    Raises TargetError with `offline`, PlatformError where torch or an encoder is not installed.
    """
    if not context.options.offline and context.environment:
        return
    known = context.store().remembered()
    lines = [
        f"{planned.figure.place.file}:{planned.figure.place.line}: {planned.figure.id} "
        + (
            "cannot be made again"
            if planned.request_digest in records
            else f"is not in the store; {what_changed(planned, known)}"
        )
        for planned in context.to_render(records)
    ]
    bring = "; render it where sitegen can, and bring the cache_dir from there"
    if context.options.offline:
        raise TargetError("\n".join([*lines, f"--offline renders nothing{bring}"]))
    try:
        environment(context.options.compute_target)
    except PlatformError as error:
        raise PlatformError("\n".join([*lines, f"{error}{bring}"])) from error


def what_changed(planned: PlannedFigure, known: Sequence[Mapping[str, Any]]) -> str:
    """Say how the figure differs from what was rendered; `known` are the requests in the store."""
    kind, request = planned.figure.kind, json.loads(planned.request_json)
    specs = [(each, each.get("spec")) for each in known]
    alike = [each for each, spec in specs if isinstance(spec, dict) and spec.get("kind") == kind]
    if not alike:
        return f"no figure of the kind {kind} is" if known else "the store is empty"
    names = [model.name for model in planned.models]
    changes = min((list(_changes(each, request, names)) for each in alike), key=len)
    if not changes:
        return "it was rendered, but its files are damaged or did not come with the store"
    if len(changes) > _MOST:
        return "nothing like it was rendered"
    return f"since it was rendered, {', '.join(changes)}"


def _changes(
    then: Mapping[str, Any], now: Mapping[str, Any], names: Sequence[str]
) -> Iterator[str]:
    """What differs between two requests of one kind, in words."""
    old, new = then["spec"], now["spec"]
    for name in sorted({*old, *new}):
        yield from _went(name, old.get(name), new.get(name), quoted)
    yield from _went("sitegen's recipe for it", then.get("recipe"), now["recipe"], str)
    yield from _went(f"the example of {names[0]}", then.get("example"), now.get("example"), _short)
    models = then.get("models", [])
    if len(models) != len(names):
        yield "it shows other models"
        return
    for name, before, after in zip(names, models, now["models"], strict=True):
        for part, first, second in zip(_PARTS, before, after, strict=False):
            yield from _went(f"the {part} of {name}", first, second, _short)


def _went(name: str, old: object, new: object, words: Callable[[Any], str]) -> Iterator[str]:
    if old != new:
        told = ("none" if value is None else words(value) for value in (old, new))
        yield f"{name} went from {' to '.join(told)}"


def _short(digest: str) -> str:
    return digest[:8]

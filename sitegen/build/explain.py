"""Figures that are missing where nothing can be rendered, and what changed since they were.

The store keeps what was asked for beside what was rendered. A figure that is missing is compared
with the figure of its kind that it has most in common with.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
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


def what_changed(planned: PlannedFigure, known: Sequence[str]) -> str:
    """Say how the figure differs from what was rendered; `known` are the requests in the store."""
    request_json = json.loads(planned.request_json)
    alike = [_read(text) for text in known]
    alike = [each for each in alike if each.get("spec", {}).get("kind") == planned.figure.kind]
    if not alike:
        return f"no figure of the kind {planned.figure.kind} is" if known else "the store is empty"
    names = [model.name for model in planned.models]
    changes = min((list(_changes(each, request_json, names)) for each in alike), key=len)
    if not changes:
        return "it was rendered, but its files are damaged or did not come with the store"
    if len(changes) > _MOST:
        return "nothing like it was rendered"
    return f"since it was rendered, {', '.join(changes)}"


def _read(text: str) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) and isinstance(value.get("spec"), dict) else {}


def _changes(
    then: Mapping[str, Any], now: Mapping[str, Any], names: Sequence[str]
) -> Iterator[str]:
    """What differs between two requests of one kind, in words."""
    old, new = then["spec"], now["spec"]
    for name in sorted({*old, *new}):
        if old.get(name) != new.get(name):
            yield f"{name} went from {_shown(old.get(name))} to {_shown(new.get(name))}"
    if then.get("recipe") != now["recipe"]:
        yield f"sitegen's recipe for it went from {then.get('recipe')} to {now['recipe']}"
    first, second = then.get("example"), now.get("example")
    if first != second:
        yield f"the example of {names[0]} went from {_short(first)} to {_short(second)}"
    models = then.get("models", [])
    if len(models) != len(names):
        yield "it shows other models"
        return
    for name, before, after in zip(names, models, now["models"], strict=True):
        for part, first, second in zip(_PARTS, before, after, strict=False):
            if first != second:
                yield f"the {part} of {name} went from {_short(first)} to {_short(second)}"


def _shown(value: object) -> str:
    return "none" if value is None else quoted(value)


def _short(digest: object) -> str:
    return "none" if digest is None else str(digest)[:8]

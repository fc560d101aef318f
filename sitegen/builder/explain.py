"""What has changed since a figure was rendered, for builds that cannot render it again."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from operator import itemgetter
from typing import Any

from sitegen.builder.plan import PlannedFigure, environment
from sitegen.builder.state import SiteBuild
from sitegen.core.diagnostics import quoted
from sitegen.core.errors import PlatformError, TargetError

_PARTS = ("card", "weights", "prior")  # parts of a model, in the order of a request
_MOST = 4  # with more changes it counts as another figure


def refuse_unrenderable(build: SiteBuild) -> None:
    """Raise if missing figures may not or cannot be rendered; name each, and what has changed.

    Raises TargetError with `offline`, PlatformError if torch or an encoder is not installed.
    """
    context = build.context
    if not context.options.offline and context.environment:
        return
    known = context.store().remembered()
    lines = []
    for planned in build.to_render:
        place, told = planned.figure.place, "cannot be rendered again"
        if planned.request_digest not in build.records:
            told = f"is not in the store; {what_changed(planned, known)}"
        lines.append(f"{place.file}:{place.line}: {planned.figure.id} {told}")
    bring = "; render it on a machine with torch, and copy its cache_dir here"
    if context.options.offline:
        raise TargetError("\n".join([*lines, f"--offline renders nothing{bring}"]))
    try:
        environment(context.options.compute_target)
    except PlatformError as error:
        raise PlatformError("\n".join([*lines, f"{error}{bring}"])) from error


def what_changed(planned: PlannedFigure, known: Sequence[Mapping[str, Any]]) -> str:
    """Describe the changes of the figure since it was rendered; `known` are the store's
    requests.
    """
    kind, request = planned.figure.kind, json.loads(planned.request_json)
    specs = [(each, each.get("spec")) for each in known]
    alike = [each for each, spec in specs if isinstance(spec, dict) and spec.get("kind") == kind]
    if not alike:
        return f"the store has no figure of the kind {kind}" if known else "the store is empty"
    names = [model.name for model in planned.models]
    changes = min((list(_changes(each, request, names)) for each in alike), key=len)
    if not changes:
        return "it was rendered, but its files are damaged or missing from the store"
    if len(changes) > _MOST:
        return "no similar figure was rendered"
    return f"since it was rendered, {', '.join(changes)}"


def _changes(
    then: Mapping[str, Any], now: Mapping[str, Any], names: Sequence[str]
) -> Iterator[str]:
    old, new = then["spec"], now["spec"]
    for name in sorted({*old, *new}):
        yield from _went(name, old.get(name), new.get(name), quoted)
    yield from _went("sitegen's recipe for it", then.get("recipe"), now["recipe"], str)
    yield from _went(
        "sitegen's constants for it", then.get("constants"), now.get("constants"), _names
    )
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


_short = itemgetter(slice(8))  # of a digest


def _names(groups: Mapping[str, Any]) -> str:
    return f"other values of {' and '.join(groups)}"

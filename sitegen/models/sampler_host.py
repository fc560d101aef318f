"""Run an author's sampler in a process of its own; sitegen calls it through pipes.

This file is run by the author's Python, where sitegen may be missing: it needs Python 3.8 and
NumPy alone. A message is a line of JSON and the bytes of its arrays. Requests arrive at the
original standard input, and answers leave by the original standard output. What the sampler prints
goes to standard error, and its standard input is empty.
"""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import json
import os
import sys
import threading
import time
import traceback
from typing import Any, Dict, List, Tuple

try:
    import numpy as np
except ImportError as error:
    sys.exit(f"{sys.executable}: cannot import NumPy, which a sampler needs: {error}")

PROBED = 2
"""Samples with which a sampler is tried."""
MOST_STATES = 100_001
"""Maximum number of states of a sample, as of a model (`card.limits`) with its start."""
RANDOM = 1e-4
"""Difference of two states, relative to their largest number, that is not taken for rounding."""
HISTORY = 0.01
"""Difference of two results for equal arguments, relative to the largest change by the step, that
is not taken for rounding; the last digit of each number may differ, too."""
ALONE = (
    "it must depend on x, i and normal alone, without other randomness or memory of earlier steps. "
    "A method that needs these can be recorded: sitegen add NAME --recording FILE; the page "
    '"Your own method" of the manual shows how'
)
METHODS = {
    "start": "start",
    "step": "step",
    "_repeat": "step",
    "_require_separate": "step",
    "corrupt": "corrupt",
    "between": "between",
}
"""Methods of a sampler, by the names of the functions here that call them."""


def main() -> None:
    """Answer requests until the input ends, or the process that asks."""
    threading.Thread(target=_end_with, args=(os.getppid(),), daemon=True).start()
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    requests = os.fdopen(os.dup(0), "rb")
    sampler: list[Any] = []
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    while line := requests.readline():
        request = json.loads(line)
        given = [_read(requests, shape) for shape in request["shapes"]]
        try:
            if not sampler:
                sampler.append(_load(*sys.argv[1:4]))
            facts, arrays = CALLS[request["call"]](sampler[0], *given, **request["more"])
            answer = {"facts": facts, "shapes": [list(each.shape) for each in arrays]}
        except BaseException as error:  # sys.exit and KeyboardInterrupt of the author, too
            answer, arrays = {"error": _told(error, *sampler), "shapes": []}, []
        answers.write(json.dumps(answer).encode() + b"\n")
        for each in arrays:
            answers.write(each.tobytes())
        answers.flush()


def _end_with(parent: int) -> None:
    """End this process when its parent has ended, even within a step.

    Windows keeps the number of a parent that has ended, so this does nothing there.
    """
    while os.getppid() == parent:
        time.sleep(0.5)
    os._exit(1)


def _read(file: Any, shape: list[int]) -> Any:
    count = 4 * int(np.prod(shape))
    return np.frombuffer(bytearray(file.read(count)), np.float32).reshape(shape)


def _load(path: str, name: str, module: str) -> Any:
    """Return the sampler: the class `name` of a file, or of an installed module."""
    if module:
        return getattr(importlib.import_module(module), name)()
    sys.path.insert(0, os.path.dirname(os.path.abspath(path)))
    spec: Any = importlib.util.spec_from_file_location("sitegen_sampler", path)
    loaded = importlib.util.module_from_spec(spec)
    sys.modules["sitegen_sampler"] = loaded
    spec.loader.exec_module(loaded)
    if not hasattr(loaded, name):
        raise AttributeError(f"{os.path.basename(path)} has no class {name}")
    return getattr(loaded, name)()


def _told(error: BaseException, sampler: Any = None) -> dict[str, Any]:
    """Describe an exception, with the last place in code that is not a library's.

    For a result that is refused, that is the first line of the sampler's method.
    """
    own = os.path.dirname(os.path.abspath(sys.argv[1]))
    frames = traceback.extract_tb(error.__traceback__)
    places: list[Any] = []
    own_calls = (frame.name for frame in frames if frame.filename == __file__)
    for name in {*METHODS}.intersection(own_calls):
        method: Any = getattr(sampler, METHODS[name], None)
        if code := getattr(inspect.unwrap(method), "__code__", None):
            places.append((code.co_filename, code.co_firstlineno))
    places += [(frame.filename, frame.lineno) for frame in frames if frame.filename != __file__]
    if isinstance(error, SyntaxError) and error.filename:
        places.append((error.filename, error.lineno))
    near = [
        place for place in places if place[0].startswith(own) and "site-packages" not in place[0]
    ]
    file, line = (near or [(sys.argv[1], None)])[-1]
    words = " ".join(str(error).split())
    return {"file": file, "line": line, "words": f"{type(error).__name__}: {words}"[:2000]}


def _array(value: Any, shape: Any, what: str) -> Any:
    """Return what the sampler gave as float32, of the expected shape, with finite numbers."""
    if hasattr(value, "detach"):
        value = value.detach().cpu()
        value = value.float() if str(value.dtype) == "torch.bfloat16" else value
    given = np.asarray(value)
    if given.dtype.kind == "c":
        raise ValueError(f"{what} is complex; give its real part")
    found = np.ascontiguousarray(given, np.float32)
    if found.shape != tuple(shape):
        raise ValueError(f"{what} has the shape {found.shape}; must be {tuple(shape)}")
    if not np.isfinite(found).all():
        raise ValueError(f"{what} holds numbers that are not finite")
    return found


Answer = Tuple[Dict[str, Any], List[Any]]
"""Facts and arrays."""


def start(sampler: Any, normal: Any) -> Answer:
    """Return the first states of normal numbers (N, C, H, W)."""
    return {}, [_array(sampler.start(normal), normal.shape, "what start(normal) returns")]


def step(sampler: Any, states: Any, normal: Any, number: int) -> Answer:
    """Return the next states, and the predicted images if there are any."""
    found = sampler.step(states, number, normal)
    if not isinstance(found, (tuple, list)) or len(found) != 2:
        raise TypeError(
            f"step({number}) must return the next states and the predicted images or None"
        )
    after = _array(found[0], states.shape, f"the next state of step({number})")
    if found[1] is None:
        return {}, [after]
    return {}, [after, _array(found[1], states.shape, f"the predicted image of step({number})")]


def corrupt(sampler: Any, images: Any, normal: Any, number: int) -> Answer:
    """Return the states at a place of finished images."""
    found = sampler.corrupt(images, number, normal)
    return {}, [_array(found, images.shape, f"what corrupt(…, {number}, …) returns")]


def between(sampler: Any, first: Any, last: Any, share: float) -> Answer:
    """Return the states between two others."""
    return {}, [_array(sampler.between(first, last, share), first.shape, "what between(…) returns")]


def describe(sampler: Any) -> Answer:
    """Return the facts on a sampler, and what a trial shows.

    Every step is tried once, with equal states and different normal numbers; only three steps if
    the sampler says itself whether steps are random. One or two are then repeated, in another
    order, and the first one with another second sample.
    """
    try:
        symbol, unit, values = sampler.axis
        values = [float(each) for each in values]
    except (TypeError, ValueError):
        values = []
    if not (1 < len(values) <= MOST_STATES and np.isfinite(values).all()):
        each = f"a finite number for each of 2 to {MOST_STATES} states"
        raise ValueError(f"axis must be (symbol, unit, values), with {each}")
    shape, (low, high) = [int(each) for each in sampler.shape], sampler.value_range
    if len(shape) != 3 or shape[0] not in (1, 3) or shape[1] != shape[2]:
        raise ValueError(f"shape = {shape}: must be (C, H, W) with 1 or 3 channels and H = W")
    if not float(low) < float(high):
        raise ValueError(
            f"value_range = ({low}, {high}): must be (black, white) with black < white"
        )
    rng, probed = np.random.default_rng(0), (PROBED, *shape)
    normal = rng.standard_normal(probed, np.float32)
    first = state = start(sampler, normal.copy())[1][0]
    factor = float((state * normal).sum() / (normal**2).sum())
    scaled = bool(np.allclose(state, factor * normal, rtol=1e-3, atol=1e-6))
    begun = "noise" if factor > 0 and scaled else "an initial state"
    steps, said = len(values) - 1, getattr(sampler, "random", None)
    random, predicts, uses = bool(said), True, getattr(sampler, "uses", ())
    tried: dict[int, Any] = dict.fromkeys(sorted({0, steps // 2, steps - 1}))
    for number in range(steps) if said is None else tried:
        equal = np.repeat(state[:1], PROBED, axis=0)
        normal = rng.standard_normal(probed, np.float32)
        state, *final = _copied(sampler, equal, normal, number)
        if number in tried:
            tried[number] = equal, normal, [state, *final]
        if said is None:
            random = random or bool(np.ptp(state, axis=0).max() > RANDOM * np.abs(state).max())
        predicts = predicts and bool(final)
    for number in sorted({steps // 2, steps - 1}):
        _repeat(sampler, number, *tried[number])
    _require_separate(sampler, first, *tried[0])
    facts = {
        "shape": shape,
        "low": float(low),
        "high": float(high),
        "symbol": str(symbol),
        "unit": str(unit),
        "values": values,
        "start": str(getattr(sampler, "start_in_words", "") or begun),
        "subject": str(getattr(sampler, "subject", "") or ""),
        "uses": [os.fspath(each) for each in ([uses] if isinstance(uses, str) else uses)],
        "random": random,
        "gaussian": factor > 0 and scaled,
        "corrupts": callable(getattr(sampler, "corrupt", None)),
        "has_between": callable(getattr(sampler, "between", None)),
        "predicts": predicts,
    }
    return facts, []


def _copied(sampler: Any, states: Any, normal: Any, number: int) -> list[Any]:
    """Return the results of a step that changes neither its arguments nor earlier results."""
    return [each.copy() for each in step(sampler, states.copy(), normal.copy(), number)[1]]


def _repeat(sampler: Any, number: int, states: Any, normal: Any, before: list[Any]) -> None:
    """Raise ValueError if a step fails or differs from `before`, after one of other states.

    Samples are computed in groups, which take turns after each step.
    """
    try:
        _copied(sampler, states[..., ::-1, ::-1], normal, max(0, number - 1))
        after = _copied(sampler, states, normal, number)
    except Exception as error:
        told = f"{type(error).__name__}: {str(error)[:500]}"
        raise ValueError(f"step({number}) failed when it was repeated ({told}); {ALONE}") from error
    for first, again in zip(before, after):
        if (np.abs(again - first) > _rounding(states, first)).any():
            raise ValueError(f"step({number}) gave another result for the same arguments; {ALONE}")


def _require_separate(
    sampler: Any, states: Any, equal: Any, normal: Any, before: list[Any]
) -> None:
    """Raise ValueError if the first sample of step 0 depends on the second of its batch.

    `before` are the results for `equal` states. The batch has as many samples now, since a matrix
    product may be rounded in another way for a batch of another size.
    """
    noise = np.stack([normal[0], normal[1, ..., ::-1]])
    for first, again in zip(before, _copied(sampler, states, noise, 0)):
        if (np.abs(again - first) > _rounding(equal, first))[0].any():
            raise ValueError(
                "step(0) gave another result for a sample when the other one of its batch was "
                "changed; images of a batch must not depend on each other"
            )


def _rounding(states: Any, result: Any) -> Any:
    """Return how much the numbers of a result may differ in another run of a step on a GPU.

    Numbers of half precision are known by the zeros at their end, also where the sampler made them
    float32 itself. Their last digit is at most 2⁻⁷ of them, as in bfloat16.
    """
    digits = int(np.bitwise_or.reduce(result.view(np.uint32), axis=None))
    last = min((digits & -digits) / 2**23, 2**-7)
    large = np.maximum(np.abs(states), np.abs(result))
    return HISTORY * np.abs(result - states).max() + 1e-5 * large.max() + last * large


CALLS: dict[str, Any] = {
    "describe": describe,
    "start": start,
    "step": step,
    "corrupt": corrupt,
    "between": between,
}


if __name__ == "__main__":
    main()

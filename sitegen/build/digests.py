"""What the store knows of models whose weights are on another machine.

A card that pins its weights tells their digest without them. For others, presets above all, a build
that has the weights leaves a note of it in the store, which a machine that only renders reads. The
note counts for the path of `site.toml` that it was made for, so that a clip is never shown as that
of other weights.
"""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace

from sitegen.build.cache import Store
from sitegen.config.schema import Site
from sitegen.core.errors import SitegenError
from sitegen.core.files import canonical_json, digest_bytes
from sitegen.models.registry import ModelSource, site_models

_DIGEST = re.compile(r"[0-9a-f]{64}")


def with_known_digests(site: Site, store: Store) -> Mapping[str, ModelSource]:
    """The models of the site, by name, with the digests of weights that only the store knows."""
    sources = site_models(site)
    return {
        name: replace(source, remembered=_noted(site, name, store))
        if not source.pinned and not source.weights.exists()
        else source
        for name, source in sources.items()
    }


def usable(sources: Mapping[str, ModelSource], store: Store) -> set[str]:
    """The models that figures can show: those that are here, and those that the store has seen."""
    here = {name for name, source in sources.items() if source.available}
    wanted = {name: _digests(source) for name, source in sources.items() if name not in here}
    if not any(wanted.values()):
        return here
    rendered = [model for each in store.remembered() for model in each.get("models") or ()]
    return here | {name for name, each in wanted.items() if each is not None and each in rendered}


def record_digests(site: Site, sources: Iterable[ModelSource]) -> None:
    """Note the digests of the weights that are here and in no card.

    Raises PlatformError where the store cannot be written.
    """
    store = Store(site.cache_dir)
    for name, note in _new_notes(site, sources, store):
        store.note_weights(name, note)


def digests_outdated(site: Site, sources: Iterable[ModelSource]) -> bool:
    """Whether `record_digests` would write something."""
    return any(_new_notes(site, sources, Store(site.cache_dir)))


def _new_notes(
    site: Site, sources: Iterable[ModelSource], store: Store
) -> Iterator[tuple[str, str]]:
    """The notes that the store does not have yet, by the names of the models."""
    for source in sources:
        if source.pinned or not source.weights.is_file():
            continue
        value = {"path": _place(site, source.name), "weights": source.weights_sha256}
        note = canonical_json(value) + "\n"
        if store.weights_note(source.name) != note:
            yield source.name, note


def _noted(site: Site, name: str, store: Store) -> str | None:
    """The digest in the note on a model, if that is about the same path."""
    with contextlib.suppress(ValueError, RecursionError, TypeError, LookupError):
        note = json.loads(store.weights_note(name) or "")
        if note["path"] == _place(site, name) and _DIGEST.fullmatch(note["weights"]):
            return str(note["weights"])
    return None


def _place(site: Site, name: str) -> str:
    """The path of a model, as a digest: the store names none."""
    path = site.models[name].path
    inside = path.relative_to(site.root) if path.is_relative_to(site.root) else path
    return digest_bytes(inside.as_posix().encode())


def _digests(source: ModelSource) -> list[str | None] | None:
    """What a request says of the model; None where a digest is not known."""
    with contextlib.suppress(SitegenError):
        return [source.card.digest, source.weights_sha256, source.prior_sha256]
    return None

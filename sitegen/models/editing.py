"""Changes of a model card in its file, which keep comments, order and whatever else is there."""

from collections.abc import Mapping, MutableMapping
from pathlib import Path
from typing import Any

import tomlkit

from sitegen.core.files import read_text, write_atomic
from sitegen.generative.card.card import ModelCard, plain, read_card


def update_card(path: Path, card: ModelCard) -> bool:
    """Change the values in a card's file that differ from those of `card`.

    Returns False if there are none; the file is then not written. Raises PlatformError if it cannot
    be written.
    """
    before, after = plain(read_card(path)), plain(card)
    if before == after:
        return False
    document = tomlkit.parse(read_text(path, "model card"))
    _merge(document, before, after)
    text = tomlkit.dumps(document)
    ModelCard.from_toml(text, str(path))
    write_atomic(path, text.encode())
    return True


def _merge(
    table: MutableMapping[str, Any], before: Mapping[str, Any], after: Mapping[str, Any]
) -> None:
    for key in before.keys() - after.keys():
        table.pop(key, None)
    for key, value in after.items():
        if before.get(key) == value:
            continue
        inner = table.get(key)
        if isinstance(value, Mapping) and isinstance(inner, MutableMapping):
            _merge(inner, before.get(key) or {}, value)
        else:
            table[key] = tomlkit.item(value)

"""The manual's page about `site.toml`, generated from the tables of `sitegen.config.schema`."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from sitegen.config.json_schema import present_type
from sitegen.config.schema import Site
from sitegen.core.diagnostics import listed
from sitegen.core.installed import resource

_INTRODUCTION = """\
# `site.toml`

`site.toml` holds what all pages of a site share. It is [TOML](https://toml.io/): put text in
quotes, and keys that belong to no table first. Paths start at the folder of `site.toml`. All
mistakes are reported at once, each with its line, the value found, the values allowed and the
closest name.

Editors complete the keys if they know the schema: run `sitegen schema > site.schema.json` and
begin the file with `#:schema ./site.schema.json`. This page is written from the code by
`make docs`.
"""
_EXAMPLE = """
## Full example

This is what `sitegen new` writes. Each line is valid without its `#` once the files that it names
exist.
"""


def reference() -> str:
    """Return the reference as a Markdown page: every table with its keys."""
    schema = Site.model_json_schema()
    parts = [_INTRODUCTION, "\n## Keys in no table\n\n", *_rows(schema, schema)]
    for name, node in schema["properties"].items():
        if (table := _table(node, schema)) is not None:
            heading, sentence = _headed(name, node)
            parts += [f"\n## `{heading}`\n\n", f"{sentence}\n\n", *_rows(table, schema)]
    example = (resource("scaffold") / "site.toml").read_text("utf-8")
    return "".join([*parts, _EXAMPLE, f"```toml\n{example}```\n"])


def _table(node: Mapping[str, Any], schema: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the table behind a key: a single table, one of a list, or one with a name."""
    inner = present_type(node)
    for part in (inner, inner.get("items", {}), *_members(inner)):
        if "$ref" in part:
            table: dict[str, Any] = schema["$defs"][part["$ref"].rpartition("/")[2]]
            return table
    return None


def _members(node: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    other = node.get("additionalProperties")
    yield from [other] if isinstance(other, dict) else []
    yield from node.get("patternProperties", {}).values()


def _headed(name: str, node: Mapping[str, Any]) -> tuple[str, str]:
    inner, sentence = present_type(node), node["description"]
    if list(_members(inner)):
        return f"[{name}.NAME]", f"{sentence} One table each; you choose NAME of a-z, 0-9 and -."
    return (
        (f"[[{name}]]", f"{sentence} One table each.")
        if "items" in inner
        else (f"[{name}]", sentence)
    )


def _rows(table: Mapping[str, Any], schema: Mapping[str, Any]) -> Iterator[str]:
    yield "| Key | Holds | If left out | Meaning |\n|:--|:--|:--|:--|\n"
    for name, node in table["properties"].items():
        if _table(node, schema) is None:
            default = node.get("default")
            left_out = f"`{json.dumps(default)}`" if default not in (None, [], {}) else "nothing"
            left_out = "it is required" if name in table.get("required", []) else left_out
            yield f"| `{name}` | {_holds(node)} | {left_out} | {node['description']} |\n"


def _holds(node: Mapping[str, Any]) -> str:
    inner = present_type(node)
    if "const" in inner or "enum" in inner:
        return listed(
            [f"`{json.dumps(value)}`" for value in inner.get("enum", [inner.get("const")])]
        )
    if "x-what" in inner:
        return str(inner["x-what"])
    if inner.get("format") == "path":
        return "a path"
    if inner.get("type") == "array":
        return f"a list: {_holds(inner['items'])}"
    if inner.get("type") == "object":
        return "a table of texts"
    names = {"string": "text", "integer": "a whole number", "number": "a number"}
    name = names.get(str(inner.get("type")), "`true` or `false`")
    low, high = inner.get("minimum"), inner.get("maximum")
    return name if low is None else f"{name} from {low} to {high}"

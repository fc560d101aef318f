"""What `site.toml` may say: as JSON Schema for editors, and as a page of reference for readers.

Both are made from the tables of `sitegen.config.schema`, so they cannot say anything else.
"""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from sitegen.config.schema import Site
from sitegen.core.diagnostics import either
from sitegen.core.installed import resource

DIALECT = "https://json-schema.org/draft/2020-12/schema"
_OURS = ("title", "x-what", "format")  # what pydantic or we note down, and an editor need not see

_INTRODUCTION = """\
# `site.toml`

The site's file holds what its pages share. It is [TOML](https://toml.io/): texts stand in quotes,
keys that are in no table come first. Paths start at the folder of `site.toml`. Whatever is wrong
with it is told all at once, each with its line, what was found, what is allowed and the nearest
name that there is.

Editors complete the keys when they know the schema: run `sitegen schema > site.schema.json` and let
the file begin with `#:schema ./site.schema.json`. This page is what `sitegen schema --reference`
prints.
"""
_EXAMPLE = """
## All of it

What `sitegen new` writes. Without the `#`, each line is valid, once the files that it names are
there.

"""


def site_schema() -> dict[str, Any]:
    """The JSON Schema of `site.toml`: types, choices, ranges and a sentence for each key.

    A file that the schema refuses is refused by a build; a build knows a few more rules.
    """
    cleaned: dict[str, Any] = _cleaned(Site.model_json_schema())
    return {"$schema": DIALECT, "title": "site.toml of sitegen", **cleaned}


def reference() -> str:
    """The page of reference, in Markdown: every table with its keys."""
    schema = Site.model_json_schema()
    parts = [_INTRODUCTION, "\n## Keys in no table\n\n", *_rows(schema, schema)]
    for name, node in schema["properties"].items():
        if (table := _table(node, schema)) is not None:
            heading, sentence = _headed(name, node)
            parts += [f"\n## `{heading}`\n\n", f"{sentence}\n\n", *_rows(table, schema)]
    example = (resource("scaffold") / "site.toml").read_text("utf-8")
    return "".join([*parts, _EXAMPLE, f"```toml\n{example}```\n"])


def _cleaned(node: Any) -> Any:
    """The schema without what is only noise in an editor; null is never written in TOML."""
    if isinstance(node, list):
        return [_cleaned(each) for each in node]
    if not isinstance(node, dict):
        return node
    node = {**node, **_whole(node)} if "anyOf" in node else node
    kept = {
        key: {name: _cleaned(each) for name, each in value.items()}
        if key in ("properties", "$defs")
        else _cleaned(value)
        for key, value in node.items()
        if key not in (*_OURS, "anyOf") and not (key == "default" and value is None)
    }
    if "patternProperties" in kept:  # a table of tables refuses other names than those
        kept["additionalProperties"] = False
        kept.pop("propertyNames", None)
    return kept


def _whole(node: Mapping[str, Any]) -> Mapping[str, Any]:
    """What a key holds where it is there; one that is left out is null in Python."""
    choices = [each for each in node.get("anyOf", [node]) if each.get("type") != "null"]
    return choices[0] if len(choices) == 1 else node


def _table(node: Mapping[str, Any], schema: Mapping[str, Any]) -> dict[str, Any] | None:
    """The table that a key stands for: one, one of a list, or one of those with a name."""
    inner = _whole(node)
    for each in (inner, inner.get("items", {}), *_members(inner)):
        if "$ref" in each:
            table: dict[str, Any] = schema["$defs"][each["$ref"].rpartition("/")[2]]
            return table
    return None


def _members(node: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """The tables with a name of the author's, inside a table."""
    other = node.get("additionalProperties")
    yield from [other] if isinstance(other, dict) else []
    yield from node.get("patternProperties", {}).values()


def _headed(name: str, node: Mapping[str, Any]) -> tuple[str, str]:
    inner, each = _whole(node), f"{node['description']} Write one such table for each"
    if list(_members(inner)):
        return f"[{name}.NAME]", f"{each}; NAME is yours: a-z, 0-9 and -."
    return (f"[[{name}]]", f"{each}.") if "items" in inner else (f"[{name}]", node["description"])


def _rows(table: Mapping[str, Any], schema: Mapping[str, Any]) -> Iterator[str]:
    yield "| Key | Holds | If left out | Meaning |\n|:--|:--|:--|:--|\n"
    for name, node in table["properties"].items():
        if _table(node, schema) is None:
            default = node.get("default")
            left_out = f"`{json.dumps(default)}`" if default not in (None, [], {}) else "nothing"
            left_out = "it is required" if name in table.get("required", []) else left_out
            yield f"| `{name}` | {_holds(node)} | {left_out} | {node['description']} |\n"


def _holds(node: Mapping[str, Any]) -> str:
    inner = _whole(node)
    if "const" in inner or "enum" in inner:
        return either([f"`{json.dumps(each)}`" for each in inner.get("enum", [inner.get("const")])])
    if "x-what" in inner:
        return str(inner["x-what"])
    if inner.get("format") == "path":
        return "a path"
    if inner.get("type") == "array":
        return f"a list: {_holds(inner['items'])}"
    if inner.get("type") == "object":
        return "a table of texts"
    known = {"string": "text", "integer": "a whole number", "number": "a number"}
    words = known.get(str(inner.get("type")), "`true` or `false`")
    low, high = inner.get("minimum"), inner.get("maximum")
    return words if low is None else f"{words} from {low} to {high}"

"""Reference of `site.toml`: as JSON Schema for editors, and as a page of the manual.

Both are generated from the tables of `sitegen.config.schema`, so they cannot contradict it.
"""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from sitegen.config.schema import Site
from sitegen.core.diagnostics import listed
from sitegen.core.installed import resource

DIALECT = "https://json-schema.org/draft/2020-12/schema"
_OURS = ("title", "x-what", "format")  # annotations that editors do not need

_INTRODUCTION = """\
# `site.toml`

`site.toml` holds what all pages of a site share. It is [TOML](https://toml.io/): put text in
quotes, and keys that belong to no table first. Paths start at the folder of `site.toml`. All
mistakes are reported at once, each with its line, the value found, the values allowed and the
closest name.

Editors complete the keys if they know the schema: run `sitegen schema > site.schema.json` and
begin the file with `#:schema ./site.schema.json`. `sitegen schema --reference` prints this page.
"""
_EXAMPLE = """
## Full example

This is what `sitegen new` writes. Each line is valid without its `#` once the files that it names
exist.
"""


def site_schema() -> dict[str, Any]:
    """Return the JSON Schema of `site.toml`: types, choices, ranges and a sentence for each key.

    The schema is less strict than a build: a build rejects everything that the schema rejects.
    """
    cleaned: dict[str, Any] = _cleaned(Site.model_json_schema())
    return {"$schema": DIALECT, "title": "site.toml of sitegen", **cleaned}


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


def _cleaned(node: Any) -> Any:
    """Return the schema without annotations that editors do not need, and without null."""
    if isinstance(node, list):
        return [_cleaned(item) for item in node]
    if not isinstance(node, dict):
        return node
    node = {**node, **_whole(node)} if "anyOf" in node else node
    cleaned = {
        key: {name: _cleaned(item) for name, item in value.items()}
        if key in ("properties", "$defs")
        else _cleaned(value)
        for key, value in node.items()
        if key not in (*_OURS, "anyOf") and not (key == "default" and value is None)
    }
    if "patternProperties" in cleaned:  # a table of tables: reject names that do not match
        cleaned["additionalProperties"] = False
        cleaned.pop("propertyNames", None)
    return cleaned


def _whole(node: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the type of a key that is present; Python uses null for one that is omitted."""
    choices = [choice for choice in node.get("anyOf", [node]) if choice.get("type") != "null"]
    return choices[0] if len(choices) == 1 else node


def _table(node: Mapping[str, Any], schema: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the table behind a key: a single table, one of a list, or one with a name."""
    inner = _whole(node)
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
    inner, sentence = _whole(node), node["description"]
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
    inner = _whole(node)
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

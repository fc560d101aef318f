"""The JSON Schema of `site.toml`, generated from the tables of `sitegen.config.schema`."""

from collections.abc import Mapping
from typing import Any

from sitegen.config.schema import Site

DIALECT = "https://json-schema.org/draft/2020-12/schema"
_OURS = ("title", "x-what", "format")  # annotations that editors do not need


def site_schema() -> dict[str, Any]:
    """Return the JSON Schema of `site.toml`: types, choices, ranges and a sentence for each key.

    The schema is less strict than a build: a build rejects everything that the schema rejects.
    """
    cleaned: dict[str, Any] = _cleaned(Site.model_json_schema())
    return {"$schema": DIALECT, "title": "site.toml of sitegen", **cleaned}


def _cleaned(node: Any) -> Any:
    """Return the schema without annotations that editors do not need, and without null."""
    if isinstance(node, list):
        return [_cleaned(item) for item in node]
    if not isinstance(node, dict):
        return node
    node = {**node, **present_type(node)} if "anyOf" in node else node
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


def present_type(node: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the type of a key that is present; Python uses null for one that is omitted."""
    choices = [choice for choice in node.get("anyOf", [node]) if choice.get("type") != "null"]
    return choices[0] if len(choices) == 1 else node

"""A checker for the part of JSON Schema that docs/json uses; anything else in one is an error."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

DIRECTORY: Final = Path(__file__).parents[2] / "docs" / "json"
_TYPES: Final[dict[str, tuple[type, ...]]] = {
    "object": (dict,),
    "array": (list,),
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "null": (type(None),),
}
_KNOWN: Final = {
    *("$schema", "title", "type", "properties", "required", "additionalProperties"),
    *("items", "enum", "pattern", "$ref"),
}


def schema(name: str) -> dict[str, Any]:
    """One of docs/json."""
    found: dict[str, Any] = json.loads((DIRECTORY / f"{name}.schema.json").read_text())
    return found


def problems(value: object, rules: dict[str, Any], at: str = "$") -> Iterator[str]:
    """Everything about a value that a schema does not allow."""
    assert rules.keys() <= _KNOWN, rules.keys() - _KNOWN
    if "$ref" in rules:
        rules = schema(rules["$ref"].removesuffix(".schema.json"))
    if "type" in rules and not _is_type(value, rules["type"]):
        yield f"{at} is {value!r:.60}, no {rules['type']}"
        return
    if "enum" in rules and value not in rules["enum"]:
        yield f"{at} is {value!r}, none of {rules['enum']}"
    if "pattern" in rules and isinstance(value, str) and not re.search(rules["pattern"], value):
        yield f"{at} is {value!r}, which is not like {rules['pattern']}"
    if isinstance(value, dict):
        yield from (
            f"{at}.{key} is missing" for key in rules.get("required", ()) if key not in value
        )
        for key, item in value.items():
            yield from problems(item, rules.get("properties", {}).get(key, {}), f"{at}.{key}")
    if isinstance(value, list):
        for number, item in enumerate(value):
            yield from problems(item, rules.get("items", {}), f"{at}[{number}]")


def undescribed(value: object, rules: dict[str, Any], at: str = "$") -> Iterator[str]:
    """Members that the schema of an object with a fixed set of members says nothing of."""
    if "$ref" in rules:
        rules = schema(rules["$ref"].removesuffix(".schema.json"))
    if isinstance(value, list):
        for item in value:
            yield from undescribed(item, rules.get("items", {}), f"{at}[]")
    properties = rules.get("properties")
    if isinstance(value, dict) and properties and "code" not in properties:  # a reason has details
        yield from (f"{at}.{key}" for key in value if key not in properties)
        for key, item in value.items():
            yield from undescribed(item, properties.get(key, {}), f"{at}.{key}")


def _is_type(value: object, wanted: str | list[str]) -> bool:
    names = [wanted] if isinstance(wanted, str) else wanted
    # JSON's true is no number, though Python's is.
    allowed = [name for name in names if not (isinstance(value, bool) and name != "boolean")]
    return any(isinstance(value, _TYPES[name]) for name in allowed)

"""Look-ups in the JSON Schema of `modelflight.yaml`: what may stand at a location."""

from collections.abc import Iterator
from functools import cache
from typing import Any

from tasks.config.problem import Location
from tasks.model import json_schema

Schema = dict[str, Any]


def known_part(location: Location) -> Location:
    """As much of `location` as the schema knows; pydantic adds the branch of a union to its locations."""
    for end in range(len(location), 0, -1):
        if _find(location[:end]) is not None:
            return location[:end]
    return ()


def allowed_keys(location: Location) -> list[str]:
    """The keys of the mapping at `location`, sorted."""
    return sorted(key for option in _options(_find(location) or {}) for key in option.get("properties", {}))


def description(location: Location) -> str:
    """What the value at `location` is for, without a full stop; empty when the schema does not say."""
    text: str = (_find(location) or {}).get("description", "")
    return text.rstrip(".")


def wanted_form(location: Location) -> str:
    """The pattern of the text at `location`, in words."""
    forms = (option.get("patternErrorMessage") for option in _options(_find(location) or {}))
    return next(form for form in forms if isinstance(form, str))


@cache
def _project() -> Schema:
    return json_schema()


def _find(location: Location) -> Schema | None:
    schema: Schema | None = _project()
    for step in location:
        options = _options(schema) if schema is not None else iter(())
        schema = next((child for option in options if (child := _child(option, step)) is not None), None)
    return schema


def _child(schema: Schema, step: str | int) -> Schema | None:
    if isinstance(step, int):
        return schema.get("items")
    other = schema.get("additionalProperties")
    child: Schema | None = schema.get("properties", {}).get(step, other if isinstance(other, dict) else None)
    return child


def _options(schema: Schema) -> Iterator[Schema]:
    """`schema` and what it refers to: `$ref`, and the branches of `anyOf`."""
    yield schema
    if "$ref" in schema:
        yield from _options(_project()["$defs"][schema["$ref"].removeprefix("#/$defs/")])
    for branch in schema.get("anyOf", ()):
        yield from _options(branch)

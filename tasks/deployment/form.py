"""The form that Prefect's pages show for a start by hand: a flow's JSON Schema, narrowed for one model."""

from collections.abc import Mapping
from typing import Any


def release_form(form: Mapping[str, Any], name: str, address: str, branch: str, model: str) -> dict[str, Any]:
    """The JSON Schema `form` of the release flow, for one model of the notebook repository `name`.

    What the deployment is for can be read and not changed; the commit is what a person chooses.
    """
    whose = f"Fixed: this deployment is for one model; the block {name!r} says it."
    fixed = {"repository": (address, whose), "branch": (branch, whose), "model": (model, whose)}
    properties = {key: {**field, "title": _title(key)} for key, field in form.get("properties", {}).items()}
    for key, (value, why) in fixed.items():
        position = properties.get(key, {}).get("position", len(properties))
        properties[key] = {
            "title": _title(key),
            "description": why,
            "type": "string",
            "enum": [value],  # not const: Prefect's pages make a text field of that
            "default": value,
            "position": position,
        }
    if "commit" in properties:
        properties["commit"] = {
            **properties["commit"],
            "description": f"Commit, tag or branch to release; {branch} is the newest commit of the branch.",
            "default": branch,
            "minLength": 1,
        }
    required = [key for key in form.get("required", ()) if "default" not in properties[key]]
    return {**form, "properties": properties, "required": required}


def _title(key: str) -> str:
    return key.replace("_", " ").capitalize()

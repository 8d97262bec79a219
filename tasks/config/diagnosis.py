"""What pydantic found wrong with the values of a document, as problems with lines."""

import difflib
import re
from collections.abc import Iterator

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from tasks.config.document import Document
from tasks.config.problem import Location, Problem
from tasks.config.schema import allowed_keys, description, known_part, wanted_form

_WANTED = {
    "model_type": "keys with values",
    "dict_type": "keys with values",
    "list_type": "a list",
    "string_type": "text",
    "float_type": "a number",
    "finite_number": "a finite number",
}
_PARAMETER = "a whole number, number, true/false or text"
_FIRST_WORDS = re.compile(r"^(String should have|Input should be)\b")


def diagnose(error: ValidationError, document: Document) -> list[Problem]:
    """One problem for each mistake in `document`; no message carries a value of the file."""
    # A union gives an error for each of its types; they are one mistake, and the same problem.
    all_details = error.errors(include_url=False, include_input=False)
    return list(dict.fromkeys(_problem(details, document) for details in all_details))


def repetitions(document: Document) -> Iterator[Problem]:
    """A problem for each name of a model, and metric of its gate, that an earlier entry of the list has.

    It does not matter how wrong the rest is.
    """
    models = document.value.get("models") if isinstance(document.value, dict) else None
    yield from _repeated(document, ("models",), models, "name", "each model has a name of its own")
    for index, model in enumerate(models if isinstance(models, list) else []):
        location = ("models", index, "gate")
        gate = model.get("gate") if isinstance(model, dict) else None
        yield from _repeated(document, location, gate, "metric", "a metric stands in the gate once")


def _repeated(
    document: Document, location: Location, entries: object, key: str, rule: str
) -> Iterator[Problem]:
    lines: dict[str, int] = {}
    for index, entry in enumerate(entries if isinstance(entries, list) else []):
        value = entry.get(key) if isinstance(entry, dict) else None
        if not isinstance(value, str):
            continue
        place = (*location, index, key)
        line = document.places[place].line
        if value in lines:
            yield Problem(line, f"{rule}; line {lines[value]} uses this one", place)
        lines.setdefault(value, line)


def _problem(details: ErrorDetails, document: Document) -> Problem:
    location = details["loc"]
    if details["type"] == "missing":
        return Problem(document.places[location[:-1]].first_line, _missing(location), location)
    if details["type"] == "extra_forbidden":
        return Problem(document.places[location].line, _unknown(location), location)
    known = known_part(location)
    place = document.places[known]
    if known != location:
        message = f"wanted {_PARAMETER}, found {place.kind}"
    elif not known and place.kind == "nothing":
        message = "the file is empty; it begins with `version: 1` and lists `models:`"
    else:
        message = _message(details, place.kind)
    return Problem(place.line, message, known)


def _message(details: ErrorDetails, found: str) -> str:
    """In the user's words where there are better ones than pydantic's."""
    kind, context = details["type"], details.get("ctx", {})
    if kind in _WANTED:
        return f"wanted {_WANTED[kind]}, found {found}"
    if kind == "literal_error":
        return f"wanted {context['expected']}, found something else ({found})"
    if kind == "too_short":
        return "the list is empty; wanted at least one entry"
    if kind == "greater_than_equal":
        return f"wanted at least {context['ge']:g}"
    if kind == "string_pattern_mismatch":
        return f"wanted {wanted_form(details['loc'])}"
    if kind == "value_error":
        return str(context["error"])
    return _FIRST_WORDS.sub("wanted", details["msg"])


def _missing(location: Location) -> str:
    purpose = description(location)
    return f"this key is missing ({purpose})" if purpose else "this key is missing"


def _unknown(location: Location) -> str:
    allowed = allowed_keys(location[:-1])
    # A key can be as long as the file; only its beginning is compared.
    key = str(location[-1])[:60].lower().replace("-", "_")
    alike = difflib.get_close_matches(key, allowed, n=1)
    question = f"did you mean {alike[0]}? " if alike else ""
    return f"unknown key; {question}allowed here: {', '.join(allowed)}"

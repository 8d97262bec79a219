"""The parameters of one run: the declared values, overridden by given ones, checked."""

import difflib
import math
from collections.abc import Iterable, Mapping

from tasks.errors import ParameterInvalid
from tasks.model import Parameter

# Kubeflow Pipelines carries every number as a double, which holds whole numbers up to here.
LARGEST_WHOLE_NUMBER = 2**53

_KIND = {bool: "true or false", int: "a whole number", float: "a number", str: "text"}


def merge_parameters(
    declared: Mapping[str, Parameter], given: Mapping[str, Parameter], where: str
) -> dict[str, Parameter]:
    """All parameters of a run; `given` win over `declared`, which also say the names and types.

    A whole number is accepted where the declared value has a fraction, and becomes one.

    Raises:
        ParameterInvalid: an unknown name, a value of another type than the declared one, a number that is not
            finite or beyond 2**53, text that is no valid Unicode.
    """
    return dict(declared) | {name: _checked(name, value, declared, where) for name, value in given.items()}


def _checked(name: str, value: Parameter, declared: Mapping[str, Parameter], where: str) -> Parameter:
    at = f"{where}: parameters.{name}"
    if name not in declared:
        close = difflib.get_close_matches(name, declared, n=1)
        raise ParameterInvalid(
            f"There is no parameter {name!r}.",
            where=at,
            why=f"The notebook's parameters cell has: {', '.join(declared) or 'nothing'}.",
            next_step=f"Did you mean {close[0]!r}?"
            if close
            else "Add it to the cell tagged pipeline-parameters.",
        )
    wanted = type(declared[name])
    if type(value) is int and abs(value) > LARGEST_WHOLE_NUMBER:
        raise ParameterInvalid(
            f"The parameter {name!r} is too large.",
            where=at,
            why=f"Whole numbers beyond {LARGEST_WHOLE_NUMBER} lose digits in Kubeflow Pipelines.",
            next_step="Set a smaller one.",
        )
    if wanted is float and type(value) is int:
        value = float(value)
    if type(value) is not wanted:
        raise ParameterInvalid(
            f"The parameter {name!r} must be {_KIND[wanted]}, as in the notebook.",
            where=at,
            why=f"It is {_KIND[type(value)]}.",
            next_step="Set a value of that kind, or change the one in the notebook.",
        )
    if isinstance(value, float) and not math.isfinite(value):
        raise ParameterInvalid(
            f"The parameter {name!r} must be a finite number.",
            where=at,
            why=f"It is {value}.",
            next_step="Set another value.",
        )
    if isinstance(value, str):
        try:
            value.encode()
        except UnicodeEncodeError as error:
            raise ParameterInvalid(
                f"The parameter {name!r} is no valid text.",
                where=at,
                why=str(error),
                next_step="Set text of whole Unicode characters.",
            ) from None
    return value


def parse_assignments(
    assignments: Iterable[str], declared: Mapping[str, Parameter], where: str
) -> dict[str, Parameter]:
    """The values of `name=value` texts, each read as the type of the declared parameter of that name.

    Raises:
        ParameterInvalid: a text without `=`, or a value that cannot be read as its type.
    """
    values: dict[str, Parameter] = {}
    for assignment in assignments:
        name, equals, text = assignment.partition("=")
        if not equals:
            raise ParameterInvalid(
                f"{assignment!r} sets no parameter.", where=where, next_step="Write name=value."
            )
        values[name] = _parse(name, text, declared[name], where) if name in declared else text
    return values


def _parse(name: str, text: str, like: Parameter, where: str) -> Parameter:
    try:
        if isinstance(like, bool):
            return {"true": True, "false": False}[text.lower()]
        return type(like)(text)
    except (KeyError, ValueError):
        raise ParameterInvalid(
            f"The parameter {name!r} must be {_KIND[type(like)]}.",
            where=f"{where}: {name}",
            why=f"It is {text!r}.",
            next_step=f"Write {name}= and a value of that kind.",
        ) from None

"""What of a notebook an evaluation function of the gate needs, and whether there is such a function."""

import re
from collections.abc import Mapping

from tasks.model import Parameter
from tasks.notebook.compile import mark_cells
from tasks.notebook.document import Notebook, code_cells


def evaluation_cells(notebook: Notebook, parameters: Mapping[str, Parameter]) -> tuple[str, ...]:
    """The parameters, and the cells tagged imports and functions: code that every step begins with, too.

    `parameters` has all values, named as in the notebook.
    """
    values = "\n".join(f"{name} = {value!r}" for name, value in parameters.items())
    marked = code_cells(mark_cells(notebook), notebook.name)
    return (values, *(cell.source for cell in marked if cell.role in ("imports", "functions")))


def defines(notebook: Notebook, function: str) -> bool:
    """Whether a cell tagged functions defines it; magics may stand around it, so nothing is parsed."""
    definition = re.compile(rf"^def {function}\b", re.MULTILINE)
    cells = code_cells(notebook.document, notebook.name)
    return any(definition.search(cell.source) for cell in cells if cell.role == "functions")

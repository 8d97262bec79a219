"""Whether a model's settings and its notebook fit together, found out without running anything."""

from pathlib import Path

from tasks.errors import NotebookInvalid, NotSupported
from tasks.model import Model
from tasks.notebook.document import Notebook, read_notebook
from tasks.notebook.evaluation import defines
from tasks.notebook.finding import refuse_errors
from tasks.notebook.static_check import findings
from tasks.parameters import merge_parameters


def check_model(model: Model, directory: Path) -> Notebook:
    """The notebook of `model`, read from the notebook repository at `directory`.

    Raises:
        NotebookInvalid: see `read_notebook` and `refuse_errors`, or the notebook lacks a metric or a function
            of the gate.
        ParameterInvalid: see `merge_parameters`.
        NotSupported: the model asks for what this version cannot do.
    """
    settings = f"modelflight.yaml: models.{model.name}"
    notebook = read_notebook(directory, model.notebook)
    refuse_errors(findings(notebook), notebook.name)
    merge_parameters(notebook.parameters, model.parameters, settings)
    lacking = [each.metric for each in model.gate if each.metric not in notebook.metrics]
    if lacking:
        printing = "; ".join(f"print({metric})" for metric in lacking)
        raise NotebookInvalid(
            f"The notebook does not produce the gate's {', '.join(map(repr, lacking))}.",
            where=f"{settings}.gate",
            why=f"Its pipeline-metrics cell prints: {', '.join(notebook.metrics) or 'nothing'}.",
            next_step=f"Add `{printing}` to a last cell tagged pipeline-metrics.",
        )
    for function in (each.evaluate.function for each in model.gate if each.evaluate):
        if not defines(notebook, function):
            raise NotebookInvalid(
                f"The notebook does not define the gate's function {function!r}.",
                where=f"{settings}.gate",
                next_step=f"Define it in a cell tagged functions: `def {function}(folder):`.",
            )
    if model.fleet.mode != "push":
        raise NotSupported(
            "Bumping by pull request is not possible yet.",
            where=f"{settings}.fleet.mode",
            next_step="Use `mode: push`.",
        )
    return notebook

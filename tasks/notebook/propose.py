"""A first `modelflight.yaml` for the notebooks of a folder, from their tags, parameters and metrics."""

import json
import re
from collections.abc import Mapping
from pathlib import Path

from tasks.errors import InvalidInput
from tasks.model import Parameter
from tasks.notebook.document import Notebook, read_notebook

_LOWER_IS_BETTER = re.compile(r"loss|error|rmse|mae|mse|mape|perplexity|latency")


def propose(directory: Path) -> str:
    """The text of a `modelflight.yaml` with a model for each notebook that prints a metric.

    Raises:
        InvalidInput: there is no notebook with tagged steps and a metric; `why` says what each one lacks.
    """
    notebooks, lacking = [], []
    for path in sorted(directory.glob("*.ipynb")):
        try:
            notebook = read_notebook(path, path.name)
        except InvalidInput as error:
            lacking.append(f"{error.where}: {error.what}")
            continue
        if notebook.metrics:
            notebooks.append(notebook)
        else:
            lacking.append(f"{path.name}: no cell tagged pipeline-metrics prints a metric for the gate.")
    if not notebooks:
        raise InvalidInput(
            "There is no notebook here to make a model of.",
            where=str(directory),
            why="\n".join(lacking) or "The folder has no .ipynb file.",
            next_step="Tag the notebook's cells in Jupyter: step:NAME, prev:NAME, pipeline-metrics.",
        )
    return "version: 1\nmodels:\n" + "".join(map(_model, notebooks))


def _model(notebook: Notebook) -> str:
    name = re.sub(r"[^a-z0-9]+", "-", Path(notebook.name).stem.lower()).strip("-")[:40].strip("-") or "model"
    metric = notebook.metrics[0]
    better = "lower" if _LOWER_IS_BETTER.search(metric) else "higher"
    limit = "minimum" if better == "higher" else "maximum"
    others = f" The notebook also prints: {', '.join(notebook.metrics[1:])}." if notebook.metrics[1:] else ""
    return f"""\
  - name: {name}
    notebook: {json.dumps(notebook.name)}
    parameters: {_flow_mapping(notebook.parameters)}
    # What a new model must reach; add `{limit}: ...` for a fixed limit.{others}
    gate: {{metric: {metric}, better: {better}, tolerance: 0.0}}
    # Where the model's image goes, without tag or digest, as the fleet names it.
    image: registry.example.com/models/{name}
    # The GitOps repository and the folder in it that carries the image; ../ is relative to this repository.
    fleet: {{repository: ../fleet.git, branch: main, path: apps/{name}}}
"""


def _flow_mapping(parameters: Mapping[str, Parameter]) -> str:
    # JSON's literals are YAML's, quotes and escapes included.
    return "{" + ", ".join(f"{name}: {json.dumps(value, ensure_ascii=False)}" for name, value in parameters.items()) + "}"

"""A first `modelflight.yaml` for the notebooks of a folder, from their tags, parameters and metrics."""

import itertools
import math
import re
from collections.abc import Container, Mapping
from pathlib import Path
from typing import Any

import yaml

from tasks.errors import InvalidInput
from tasks.model import Parameter
from tasks.notebook.document import Notebook, read_notebook

_LOWER_IS_BETTER = re.compile(r"(^|_)(\w*loss|\w*error|r?msl?e|s?mape|mae|perplexity|latency|deviance)(_|$)")


def propose(directory: Path) -> str:
    """The text of a `modelflight.yaml` with a model for each notebook that prints a metric.

    Raises:
        InvalidInput: there is no notebook with tagged steps and a metric; `why` says what each one lacks.
    """
    notebooks, lacking = [], []
    for path in sorted(directory.glob("*.ipynb")):
        try:
            notebook = read_notebook(directory, path.name)
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
    models: dict[str, str] = {}
    for notebook in notebooks:
        name = _free_name(notebook, models)
        models[name] = _model(notebook, name)
    return "version: 1\nmodels:\n" + "".join(models.values())


def _free_name(notebook: Notebook, taken: Container[str]) -> str:
    stem = re.sub(r"[^a-z0-9]+", "-", Path(notebook.name).stem.lower()).strip("-")[:37].strip("-") or "model"
    numbered = (f"{stem}-{number}" for number in itertools.count(2))
    return next(name for name in itertools.chain([stem], numbered) if name not in taken)


def _model(notebook: Notebook, name: str) -> str:
    metric = notebook.metrics[0]
    better = "lower" if _LOWER_IS_BETTER.search(metric) else "higher"
    limit = "minimum" if better == "higher" else "maximum"
    others = f" The notebook also prints: {', '.join(notebook.metrics[1:])}." if notebook.metrics[1:] else ""
    return f"""\
  - name: {_scalar(name)}
    notebook: {_scalar(notebook.name)}
    parameters: {_flow_mapping(notebook.parameters)}
    # What a new model must reach; add `{limit}: ...` for a fixed limit.{others}
    gate: {{metric: {_scalar(metric)}, better: {better}, tolerance: 0.0}}
    # Where the model's image goes, without tag or digest, as the fleet names it.
    image: registry.example.com/models/{name}
    # The GitOps repository and the folder in it that carries the image; ../ is relative to this repository.
    fleet: {{repository: ../fleet.git, branch: main, path: apps/{name}}}
"""


def _flow_mapping(parameters: Mapping[str, Parameter]) -> str:
    return "{" + ", ".join(f"{_scalar(name)}: {_scalar(value)}" for name, value in parameters.items()) + "}"


def _scalar(value: Parameter) -> str:
    """`value` in YAML, on one line; text is quoted only where it would be something else without."""
    if isinstance(value, str) and not re.fullmatch(r"[a-z0-9_.-]+", value):
        return _dumped(value, default_style='"')
    return _dumped(value)


def _dumped(value: Parameter, **options: Any) -> str:
    text: str = yaml.safe_dump(value, width=math.inf, allow_unicode=True, **options)
    return text.removesuffix("...\n").rstrip("\n")

"""Compiling a notebook into a KFP pipeline with Kale, once for each identity."""

import copy
import hashlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import yaml

from tasks.errors import CompileFailed, NotebookInvalid
from tasks.files import write_atomically
from tasks.model import Environment, Model, Parameter
from tasks.notebook.document import Notebook, read_notebook
from tasks.parameters import merge_parameters
from tasks.release import Pipeline

_TIMEOUT_SECONDS = 600
_DEFAULT_BASE_IMAGE = "python:3.12"


def compile_notebook(directory: Path, model: Model, pipelines: Path) -> Pipeline:
    """The pipeline of `model`, whose notebook repository is checked out at `directory`.

    It is kept as `pipelines/<identity>.yaml`; when it is there already, Kale is not started.

    Raises:
        NotebookInvalid, ParameterInvalid: see `read_notebook` and `merge_parameters`.
        CompileFailed: Kale or KFP refused the notebook.
    """
    path = directory / model.notebook
    notebook = read_notebook(path, model.notebook)
    parameters = merge_parameters(
        notebook.parameters, model.parameters, f"modelflight.yaml: models.{model.name}"
    )
    packages = _locked_packages(directory, model.environment)
    identity = _identity(path.read_bytes(), model.name, parameters, model.environment, packages)
    target = pipelines / f"{identity}.yaml"
    if not target.exists():
        ir = _run_kale(
            notebook, model, sorted(n for n, v in parameters.items() if isinstance(v, str)), packages
        )
        write_atomically(target, yaml.safe_dump_all(set_defaults(ir, parameters), sort_keys=True))
    return Pipeline(identity=identity, path=target, steps=notebook.steps)


def _identity(
    notebook: bytes,
    name: str,
    parameters: Mapping[str, Parameter],
    environment: Environment,
    packages: list[str] | None,
) -> str:
    inputs = {
        "notebook": hashlib.sha256(notebook).hexdigest(),
        "name": name,
        "parameters": dict(parameters),
        "kale": version("kubeflow-kale"),
        "kfp": version("kfp"),
        "base_image": environment.base_image,
        "packages": packages,
    }
    return hashlib.sha256(json.dumps(inputs, sort_keys=True).encode()).hexdigest()


def _locked_packages(directory: Path, environment: Environment) -> list[str] | None:
    """The pinned requirements of the model's lock, or None where it has none."""
    if environment.requirements is None:
        return None
    try:
        text = (directory / environment.requirements).read_text(encoding="utf-8")
    except OSError as error:
        raise NotebookInvalid(
            "The locked requirements cannot be read.",
            where=environment.requirements,
            why=error.strerror or "",
        ) from None
    # pip's and uv's lock formats put hashes on continuation lines and comments behind `#`.
    lines = text.replace("\\\n", " ").splitlines()
    requirements = [line.split("#")[0].split("--hash")[0].split(";")[0].strip() for line in lines]
    packages = [
        requirement for requirement in requirements if requirement and not requirement.startswith("-")
    ]
    for package in packages:
        if "==" not in package:
            raise NotebookInvalid(
                f"The requirement {package!r} is not pinned.",
                where=environment.requirements,
                next_step="Lock it: `uv pip compile requirements.in -o requirements.lock`.",
            )
    missing = [
        f"{name}=={version(name)}"
        for name in ("kfp", "kubeflow-kale")
        if not any(package.split("==")[0] == name for package in packages)
    ]
    return sorted(packages + missing)


def _run_kale(
    notebook: Notebook, model: Model, text_parameters: list[str], packages: list[str] | None
) -> list[Any]:
    """The documents of the IR (pipeline spec, and platform spec where there is one), as Kale makes them."""
    with tempfile.TemporaryDirectory(prefix="modelflight-kale-") as folder:
        copied = Path(folder) / Path(notebook.name).name
        copied.write_text(json.dumps(mark_cells(notebook)), encoding="utf-8")
        request = {
            "notebook": str(copied),
            "name": model.name,
            "text_parameters": text_parameters,
            "packages": packages,
        }
        try:
            process = subprocess.run(
                [sys.executable, "-P", str(Path(__file__).with_name("kale_process.py"))],
                input=json.dumps(request),
                cwd=folder,
                env=_environment(folder, model.environment),
                capture_output=True,
                text=True,
                timeout=_TIMEOUT_SECONDS,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise CompileFailed(
                "Compiling the notebook took too long.",
                where=notebook.name,
                why=f"{_TIMEOUT_SECONDS} s are over.",
            ) from None
        error = Path(folder, "error.txt")
        if error.exists():
            raise CompileFailed(
                "Kale cannot compile the notebook.",
                where=notebook.name,
                why=error.read_text(encoding="utf-8"),
                next_step="Correct the cell that the message speaks of.",
            )
        if process.returncode != 0:
            raise CompileFailed(
                "Kale's process died.",
                where=notebook.name,
                why=process.stderr[-2000:] or f"exit {process.returncode}",
            )
        return list(yaml.load_all(Path(folder, "pipeline.yaml").read_text(encoding="utf-8"), _LOADER))


_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def _environment(folder: str, environment: Environment) -> dict[str, str]:
    """Kale asks the cluster for pod defaults when it finds one, and writes to HOME; it finds neither."""
    return os.environ | {
        "HOME": folder,
        "HOSTNAME": "modelflight",
        "KUBECONFIG": os.devnull,
        "PYTHONUTF8": "1",
        "KALE_DEFAULT_BASE_IMAGE": environment.base_image or _DEFAULT_BASE_IMAGE,
    }


def mark_cells(notebook: Notebook) -> dict[str, Any]:
    """The notebook with each code cell's number as a comment at its end, for messages at run time.

    Cell magics (`%%`) take everything below them as theirs and the metrics cell may hold prints only.
    """
    document = copy.deepcopy(notebook.document)
    for number, cell in enumerate(document["cells"], start=1):
        source = cell.get("source", "")
        source = source if isinstance(source, str) else "".join(source)
        if cell["cell_type"] != "code" or "pipeline-metrics" in cell.get("metadata", {}).get("tags", []):
            continue
        if source.strip() and not source.lstrip().startswith("%%"):
            cell["source"] = f"{source}\n# {notebook.name}, cell {number}"
    return document


def set_defaults(ir: list[Any], parameters: Mapping[str, Parameter]) -> list[Any]:
    """The IR with `parameters` (named as in the notebook) as defaults of the pipeline's parameters."""
    ir = copy.deepcopy(ir)
    definitions = ir[0]["root"].get("inputDefinitions", {}).get("parameters", {})
    for name, value in parameters.items():
        definitions[name.lower()]["defaultValue"] = value
    return ir

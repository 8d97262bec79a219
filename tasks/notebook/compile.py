"""Compiling a notebook into a KFP pipeline with Kale, once for each identity."""

import copy
import hashlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import yaml
from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from tasks.errors import CompileFailed, NotebookInvalid
from tasks.files import read_inside, write_atomically
from tasks.model import Environment, Model, Parameter
from tasks.notebook.document import Notebook, code_cells, read_notebook
from tasks.notebook.finding import refuse_errors
from tasks.notebook.static_check import findings
from tasks.parameters import merge_parameters
from tasks.release import Pipeline

_TIMEOUT_SECONDS = 600
_DEFAULT_BASE_IMAGE = "python:3.12"
_LARGEST_LOCK = 5 * 1024**2  # bytes


def compile_notebook(directory: Path, model: Model, pipelines: Path) -> Pipeline:
    """The pipeline of `model`, whose notebook repository is checked out at `directory`.

    It is kept as `pipelines/<identity>.yaml`; when it is there already, Kale is not started.

    Raises:
        NotebookInvalid: see `read_notebook` and `refuse_errors`, or the locked requirements cannot be used.
        ParameterInvalid: see `merge_parameters`.
        CompileFailed: Kale or KFP refused the notebook.
    """
    notebook = read_notebook(directory, model.notebook)
    found = findings(notebook)
    refuse_errors(found, notebook.name)
    parameters = merge_parameters(
        notebook.parameters, model.parameters, f"modelflight.yaml: models.{model.name}"
    )
    packages = _locked_packages(directory, model.environment)
    identity = _identity(notebook, model, parameters, packages)
    target = pipelines / f"{identity}.yaml"
    if not target.exists():
        ir = _run_kale(
            notebook, model, sorted(n for n, v in parameters.items() if isinstance(v, str)), packages
        )
        write_atomically(target, yaml.safe_dump_all(set_defaults(ir, parameters), sort_keys=True))
    return Pipeline(identity, target, notebook.steps, warnings=tuple(map(str, found)))


def _identity(
    notebook: Notebook,
    model: Model,
    parameters: Mapping[str, Parameter],
    packages: list[str] | None,
) -> str:
    inputs = {
        "notebook": notebook.sha256,
        # Both stand in the IR, the path for messages of a failing cell.
        "name": model.name,
        "path": model.notebook,
        "parameters": dict(parameters),
        # Marked cells, quoted parameters and defaults are Modelflight's own part of the IR.
        "modelflight": version("modelflight"),
        "kale": version("kubeflow-kale"),
        "kfp": version("kfp"),
        "base_image": model.environment.base_image,
        "packages": packages,
    }
    return hashlib.sha256(json.dumps(inputs, sort_keys=True).encode()).hexdigest()


def _locked_packages(directory: Path, environment: Environment) -> list[str] | None:
    """The pinned requirements of the model's lock, or None where it has none."""
    if environment.requirements is None:
        return None
    name = environment.requirements
    try:
        text = read_inside(directory, name, _LARGEST_LOCK).decode("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise NotebookInvalid(
            "The locked requirements cannot be read.",
            where=name,
            why=f"{error.strerror}." if isinstance(error, OSError) else "It is not UTF-8.",
            next_step="Commit the file, or correct `environment.requirements`.",
        ) from None
    packages = [_pinned(entry, f"{name}:{line}") for line, entry in _entries(text)]
    have = {canonicalize_name(package.name) for package in packages}
    own = [f"{package}=={version(package)}" for package in ("kfp", "kubeflow-kale") if package not in have]
    return sorted([*map(str, packages), *own])


def _entries(text: str) -> Iterator[tuple[int, str]]:
    """What stands in a lock, without hashes and comments, each with the line in which it begins.

    pip's and uv's lock formats put hashes on continuation lines and comments behind `#`.
    """
    parts: list[str] = []
    # The empty line ends what a `\\` at the end of the file leaves open.
    for number, line in enumerate([*text.splitlines(), ""], start=1):
        comment = line.startswith("#")
        parts.append("" if comment else line.removesuffix("\\"))
        if comment or not line.endswith("\\"):
            if entry := " ".join(parts).split(" #")[0].split("--hash")[0].strip():
                yield number - len(parts) + 1, entry
            parts = []


def _pinned(text: str, where: str) -> Requirement:
    """The requirement `text` of the lock; a marker stays, for pip to judge where the step runs.

    Messages name the line and do not repeat it, since it may hold a credential.
    """
    if text.startswith("-"):
        raise NotebookInvalid(
            "Options are not understood in locked requirements.",
            where=where,
            next_step="Lock into one file that names each package: "
            "`uv pip compile requirements.in -o requirements.lock`.",
        )
    try:
        requirement = Requirement(text)
        pins = [pin for pin in requirement.specifier if pin.operator == "==" and "*" not in pin.version]
    except InvalidRequirement:
        pins = []
    if len(pins) == 1 and len(requirement.specifier) == 1:
        return requirement
    raise NotebookInvalid(
        "The requirement is not pinned.",
        where=where,
        why="A pipeline that is run again has to get the same packages.",
        next_step="Lock it: `uv pip compile requirements.in -o requirements.lock`.",
    )


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
                encoding="utf-8",
                errors="replace",
                timeout=_TIMEOUT_SECONDS,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise CompileFailed(
                "Compiling the notebook took too long.",
                where=notebook.name,
                why=f"{_TIMEOUT_SECONDS} s are over.",
                next_step="Try again when the machine has less to do.",
            ) from None
        error = Path(folder, "error.txt")
        if error.exists():
            raise CompileFailed(
                "Kale cannot compile the notebook.",
                where=notebook.name,
                why=error.read_text(encoding="utf-8").replace(f"{folder}/", ""),
                next_step="Correct the cell that the message speaks of.",
            )
        if process.returncode != 0:
            raise CompileFailed(
                "Kale's process died.",
                where=notebook.name,
                why=process.stderr[-2000:] or f"exit {process.returncode}",
                next_step="Try again; Kale's last words above tell whether memory or disk ran out.",
            )
        return list(yaml.safe_load_all(Path(folder, "pipeline.yaml").read_text(encoding="utf-8")))


def _environment(folder: str, environment: Environment) -> dict[str, str]:
    """What Kale's process gets of ours: no cluster, which it would ask, and no home, which it would write to.

    Nor any setting of Kale's own, such as package indexes, which would end up in the IR; nor of Prefect's and
    Modelflight's, which can hold a key.
    """
    others = ("KALE_", "MODELFLIGHT_", "PREFECT_")
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(others)}
    return inherited | {
        "HOME": folder,
        "TMPDIR": folder,
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
    name = " ".join(notebook.name.split())
    for cell in code_cells(document, notebook.name):
        source = cell.source.strip()
        if source and not source.startswith("%%") and cell.role != "pipeline-metrics":
            document["cells"][cell.number - 1]["source"] = f"{cell.source}\n# {name}, cell {cell.number}"
    return document


def set_defaults(ir: list[Any], parameters: Mapping[str, Parameter]) -> list[Any]:
    """The IR with `parameters` (named as in the notebook) as defaults of the pipeline's parameters."""
    ir = copy.deepcopy(ir)
    definitions = ir[0]["root"].get("inputDefinitions", {}).get("parameters", {})
    for name, value in parameters.items():
        definitions[name.lower()]["defaultValue"] = value
    return ir

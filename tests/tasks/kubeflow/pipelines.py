"""Small pipelines for tests, in the form that Kale gives its components, written without starting Kale."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from textwrap import indent
from typing import Any

import yaml

KINDS = {bool: "BOOLEAN", int: "NUMBER_INTEGER", float: "NUMBER_DOUBLE", str: "STRING"}
START = '\npython3 -m pip install --quiet --index-url https://index.example {} && "$0" "$@"\n'
IMPORTS = "\nimport kfp\nfrom kfp import dsl\nfrom kfp.dsl import *\n\n"
METRICS = """\
    from kale.common.kfputils import load_mlpipeline_metrics
    load_mlpipeline_metrics(kale_metrics_artifact)
"""
LEAVE = """\
    _path = _m.get_path("{0}_artifact")
    shutil.copyfile(_path, {0}_output_artifact.path)
    {0}_output_artifact.metadata["marshal_path"] = _path
"""


@dataclass(frozen=True)
class StepOf:
    """A step: its cells; variables that it leaves; variables that it takes, with the step they come from."""

    name: str
    cells: tuple[str, ...]
    leaves: tuple[str, ...] = ()
    takes: Mapping[str, str] = field(default_factory=dict)
    metrics: tuple[str, ...] = ()
    after: tuple[str, ...] = ()


def a(name: str, *cells: str, **options: Any) -> StepOf:
    return StepOf(name, cells, **options)


def schema(variable: str) -> dict[str, Any]:
    title = "system.Model" if "model" in variable else "system.Dataset"
    return {"artifactType": {"schemaTitle": title, "schemaVersion": "0.0.1"}}


def block(name: str, lines: str, prefix: str = "") -> str:
    escaped = lines.encode("unicode_escape").decode().replace("\\n", "\n").replace("'''", "\\'\\'\\'")
    return f"    {name} = {prefix}'''\n{indent(escaped, '    ')}\n    '''\n"


def source(step: StepOf, parameters: Mapping[str, Any]) -> str:
    loads = "".join(f'{name} = _m.load("{name}_artifact")\n' for name in step.takes)
    saves = "".join(f'_ = _m.save({name}, "{name}_artifact")\n' for name in step.leaves)
    numbers = "".join(f'    "{name.replace("_", "-")}": {name},\n' for name in step.metrics)
    metrics = f"from kale.common import kfputils as _k\n_k.generate_mlpipeline_metrics({{\n{numbers}}})\n"
    marshal = 'from kale import marshal as _m\n_m.set_data_dir("/tmp/marshal")\n'
    arguments = [
        *(f"{name}_input_artifact: Input[Artifact]" for name in step.takes),
        *(
            f"{name}_output_artifact: Output[{schema(name)['artifactType']['schemaTitle'][7:]}]"
            for name in step.leaves
        ),
        *(["kale_metrics_artifact: Output[Metrics]"] if step.metrics else []),
        *(f"{name}: {type(value).__name__} = {value!r}" for name, value in parameters.items()),
    ]
    blocks = {
        f"_kale_block{number}": f"{cell}\n# small.ipynb, cell {number + 1}"
        for number, cell in enumerate(step.cells, 1)
    }
    text = f"{IMPORTS}def {step.name}_step({', '.join(arguments)}):\n"
    text += (
        "    _parameters = f'''\n"
        + "".join(f"        {name} = {{{name}!r}}\n" for name in parameters)
        + "    '''\n"
    )
    text += "    import shutil\n" + indent(marshal, "    ")
    for name in step.takes:
        text += (
            f"    shutil.copy({name}_input_artifact.path, {name}_input_artifact.metadata['marshal_path'])\n"
        )
    text += block("_loading", marshal + loads)
    text += "".join(block(name, cell) for name, cell in blocks.items())
    text += block("_metrics", metrics if step.metrics else "pass") + block("_saving", marshal + saves)
    text += "    from kale.common.jputils import run_code\n"
    text += f"    run_code((_parameters, _loading, {', '.join(blocks)}, _metrics, _saving))\n"
    for name in step.leaves:
        text += LEAVE.format(name)
    if step.metrics:
        text += METRICS
    return text


def spec(
    *steps: StepOf, packages: Iterable[str] = ("kfp>=2.0.0",), parameters: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """The pipeline spec of `steps`."""
    parameters = parameters or {}
    kinds = {
        name: {"parameterType": KINDS[type(value)], "defaultValue": value}
        for name, value in parameters.items()
    }
    components, executors, tasks = {}, {}, {}
    for step in steps:
        key = f"{step.name}-step"
        outputs = {f"{name}_output_artifact": schema(name) for name in step.leaves}
        if step.metrics:
            outputs["kale_metrics_artifact"] = {"artifactType": {"schemaTitle": "system.Metrics"}}
        components[f"comp-{key}"] = {
            "executorLabel": f"exec-{key}",
            "outputDefinitions": {"artifacts": outputs},
        }
        install = START.format(" ".join(repr(package) for package in packages))
        executors[f"exec-{key}"] = {
            "container": {
                "image": "python:3.12",
                "command": [
                    "sh",
                    "-c",
                    install,
                    "sh",
                    "-ec",
                    "program_path=$(mktemp -d)",
                    source(step, parameters),
                ],
                "args": ["--executor_input", "{{$}}", "--function_to_execute", f"{step.name}_step"],
            }
        }
        inputs = {
            f"{name}_input_artifact": {
                "taskOutputArtifact": {
                    "producerTask": f"{producer}-step",
                    "outputArtifactKey": f"{name}_output_artifact",
                }
            }
            for name, producer in step.takes.items()
        }
        tasks[key] = {
            "componentRef": {"name": f"comp-{key}"},
            "dependentTasks": sorted(
                {f"{producer}-step" for producer in (*step.takes.values(), *step.after)}
            ),
            "inputs": {
                "artifacts": inputs,
                "parameters": {name: {"componentInputParameter": name} for name in parameters},
            },
        }
    return {
        "components": components,
        "deploymentSpec": {"executors": executors},
        "root": {"dag": {"tasks": tasks}, "inputDefinitions": {"parameters": kinds}},
    }


def pipeline(path: Path, *steps: StepOf, **options: Any) -> Path:
    """The pipeline of `steps` as a file at `path`."""
    path.write_text(yaml.safe_dump(spec(*steps, **options)))
    return path

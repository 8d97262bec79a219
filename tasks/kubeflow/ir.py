"""KFP's intermediate representation, as far as a Kale pipeline uses it: steps, in order, with their wiring.

Source: the PipelineSpec message, api/v2alpha1/pipeline_spec.proto of kubeflow/pipelines.
"""

import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import Any

import yaml

from tasks.errors import InvalidInput, NotSupported
from tasks.model import Parameter
from tasks.parameters import merge_parameters

_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_WHOLE_NUMBER = "NUMBER_INTEGER"


@dataclass(frozen=True)
class ArtifactSource:
    """An input artifact: the output `key` of `step`."""

    step: str
    key: str


@dataclass(frozen=True)
class Step:
    """One component call. `outputs` maps each output artifact to its schema title, e.g. `system.Model`."""

    name: str
    function: str
    source: str
    packages: tuple[str, ...]
    parameters: Mapping[str, Parameter]
    inputs: Mapping[str, ArtifactSource]
    outputs: Mapping[str, str]


def read_ir(path: Path, overrides: Mapping[str, Parameter] | None = None) -> tuple[Step, ...]:
    """The steps of the pipeline at `path`, each after the steps that it depends on.

    Raises:
        InvalidInput: the file is no KFP pipeline.
        NotSupported: the pipeline uses what this machine cannot run; nothing was started.
        ParameterInvalid: see `merge_parameters`.
    """
    spec = _read(path)
    tasks, components = spec["root"]["dag"]["tasks"], spec["components"]
    executors = spec["deploymentSpec"]["executors"]
    definitions = spec["root"].get("inputDefinitions", {}).get("parameters", {})
    order = TopologicalSorter({name: task.get("dependentTasks", ()) for name, task in sorted(tasks.items())})
    try:
        names = tuple(order.static_order())
    except CycleError as error:
        raise _no_pipeline(path, f"its tasks depend on each other in a circle: {error.args[1]}") from None
    declared = _declared(definitions)
    given = {name.lower(): value for name, value in (overrides or {}).items()}
    parameters = merge_parameters(declared, given, str(path))
    return tuple(_step(name, tasks[name], components, executors, parameters) for name in names)


def _read(path: Path) -> dict[str, Any]:
    try:
        spec = next(iter(yaml.load_all(path.read_text(encoding="utf-8"), _LOADER)))
    except (OSError, UnicodeDecodeError, yaml.YAMLError, StopIteration) as error:
        raise _no_pipeline(path, str(error)) from None
    match spec:
        case {
            "root": {"dag": {"tasks": dict()}},
            "components": dict(),
            "deploymentSpec": {"executors": dict()},
        }:
            return dict(spec)
    raise _no_pipeline(path, "it has no root.dag.tasks, components and deploymentSpec.executors")


def _no_pipeline(path: Path, why: str) -> InvalidInput:
    return InvalidInput(
        "This is no compiled pipeline.",
        where=str(path),
        why=why,
        next_step="Make one with `modelflight compile`.",
    )


def pipeline_parameters(path: Path) -> dict[str, Parameter]:
    """The parameters that the pipeline at `path` declares, with their default values.

    Raises:
        InvalidInput: the file is no KFP pipeline.
    """
    return _declared(_read(path)["root"].get("inputDefinitions", {}).get("parameters", {}))


def _declared(definitions: Mapping[str, Any]) -> dict[str, Parameter]:
    # The IR is protobuf's JSON, which writes every number as a float.
    return {
        name: int(value["defaultValue"]) if value["parameterType"] == _WHOLE_NUMBER else value["defaultValue"]
        for name, value in definitions.items()
    }


def _step(
    name: str,
    task: Mapping[str, Any],
    components: Mapping[str, Any],
    executors: Mapping[str, Any],
    pipeline_parameters: Mapping[str, Parameter],
) -> Step:
    component = components[task["componentRef"]["name"]]
    for key in ("iterator", "parameterIterator", "artifactIterator", "triggerPolicy", "retryPolicy"):
        if key in task:
            raise _unsupported(name, key)
    if "executorLabel" not in component:
        raise _unsupported(name, "a nested pipeline")
    container = executors[component["executorLabel"]].get("container")
    if container is None:
        raise _unsupported(name, "an importer or another executor than a container")
    command, arguments = container.get("command", []), container.get("args", [])
    if "--function_to_execute" not in arguments or not command or command[:2] != ["sh", "-c"]:
        raise _unsupported(name, "a component that is no Python function")
    return Step(
        name=name,
        function=arguments[arguments.index("--function_to_execute") + 1],
        source=command[-1],
        packages=_packages(command[2]),
        parameters={
            key: _parameter(name, value, pipeline_parameters)
            for key, value in task.get("inputs", {}).get("parameters", {}).items()
        },
        inputs={
            key: _artifact(name, value) for key, value in task.get("inputs", {}).get("artifacts", {}).items()
        },
        outputs={
            key: value["artifactType"]["schemaTitle"]
            for key, value in component.get("outputDefinitions", {}).get("artifacts", {}).items()
        },
    )


def _packages(script: str) -> tuple[str, ...]:
    """The requirements that the component's start script installs with pip."""
    for line in script.splitlines():
        if " pip install " in line:
            words = shlex.split(line.split(" pip install ", 1)[1].split("&&")[0])
            with_value = {"--index-url", "--extra-index-url", "--trusted-host"}
            return tuple(
                word
                for before, word in zip(["", *words], words, strict=False)
                if not word.startswith("-") and before not in with_value
            )
    return ()


def _parameter(
    step: str, value: Mapping[str, Any], pipeline_parameters: Mapping[str, Parameter]
) -> Parameter:
    match value:
        case {"componentInputParameter": str(name)}:
            return pipeline_parameters[name]
        case {"runtimeValue": {"constant": bool() | int() | float() | str() as constant}}:
            return constant
    raise _unsupported(step, f"a parameter from {', '.join(value)}")


def _artifact(step: str, value: Mapping[str, Any]) -> ArtifactSource:
    match value:
        case {"taskOutputArtifact": {"producerTask": str(producer), "outputArtifactKey": str(key)}}:
            return ArtifactSource(producer, key)
    raise _unsupported(step, f"an artifact from {', '.join(value)}")


def _unsupported(step: str, what: str) -> NotSupported:
    return NotSupported(
        "The pipeline cannot run on this machine.",
        where=f"step {step}",
        why=f"It uses {what}.",
        next_step="Run it on Kubeflow Pipelines.",
    )

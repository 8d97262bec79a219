"""KFP's intermediate representation, as far as a Kale pipeline uses it: steps, in order, with their wiring.

Source: the PipelineSpec message, api/v2alpha1/pipeline_spec.proto of kubeflow/pipelines.
"""

import re
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
_DEEPEST = 100
_NUMBERS: dict[str, type[int] | type[float]] = {"NUMBER_INTEGER": int, "NUMBER_DOUBLE": float}
# Names of tasks and artifacts become names of folders and files.
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")


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
    try:
        return _steps(spec, overrides or {}, path)
    except KeyError as error:
        raise _no_pipeline(path, f"it lacks {error}") from None
    except (TypeError, AttributeError, LookupError, ValueError, ArithmeticError) as error:
        raise _no_pipeline(path, f"a part of it has another form: {error}") from None


def _steps(spec: Mapping[str, Any], overrides: Mapping[str, Parameter], path: Path) -> tuple[Step, ...]:
    tasks, components = spec["root"]["dag"]["tasks"], spec["components"]
    executors = spec["deploymentSpec"]["executors"]
    parameters = merge_parameters(
        _declared(spec), {name.lower(): value for name, value in overrides.items()}, str(path)
    )
    steps = {name: _step(name, task, components, executors, parameters) for name, task in tasks.items()}
    before = {
        name: {*tasks[name].get("dependentTasks", ()), *(source.step for source in step.inputs.values())}
        for name, step in sorted(steps.items())
    }
    try:
        return tuple(steps[name] for name in TopologicalSorter(before).static_order())
    except CycleError as error:
        circle = ", ".join(error.args[1])
        raise _no_pipeline(path, f"its tasks depend on each other in a circle: {circle}") from None


def read_documents(path: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """The pipeline at `path` and what its file says of the platform, which may be empty.

    Raises:
        InvalidInput: the file is no KFP pipeline.
    """
    documents = _load(path)
    platform = documents[1] if len(documents) > 1 else None
    match documents[0]:
        case {
            "root": {"dag": {"tasks": dict()}},
            "components": dict(),
            "deploymentSpec": {"executors": dict()},
        } as spec:
            return spec, platform if isinstance(platform, dict) else {}
    raise _no_pipeline(path, "it has no root.dag.tasks, components and deploymentSpec.executors")


def _read(path: Path) -> dict[str, Any]:
    return read_documents(path)[0]


def _load(path: Path) -> list[Any]:
    try:
        text = path.read_text(encoding="utf-8")
        _check_depth(text)
        documents = list(yaml.load_all(text, _LOADER))
    # PyYAML lets through what Python raises for a scalar such as `!!int ""` or the date 2026-99-99.
    except (
        OSError,
        yaml.YAMLError,
        ValueError,
        LookupError,
        TypeError,
        AttributeError,
        ArithmeticError,
    ) as error:
        raise _no_pipeline(path, str(error) or type(error).__name__) from None
    if not documents:
        raise _no_pipeline(path, "it is empty")
    return documents


def _check_depth(text: str) -> None:
    """Refuses nesting that would overflow the stack of libyaml's binding, which ends the whole process.

    Raises:
        yaml.YAMLError: the text is no YAML.
        ValueError: it is nested too deep.
    """
    depth = 0
    for event in yaml.parse(text, _LOADER):
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        if depth > _DEEPEST:
            raise ValueError(f"it is nested more than {_DEEPEST} deep")


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
    spec = _read(path)
    try:
        return _declared(spec)
    except (KeyError, TypeError, AttributeError, ValueError, ArithmeticError):
        raise _no_pipeline(path, "its parameters have another form") from None


def _declared(spec: Mapping[str, Any]) -> dict[str, Parameter]:
    definitions = spec["root"].get("inputDefinitions", {}).get("parameters", {})
    return {name: _default(name, definition) for name, definition in definitions.items()}


def _default(name: str, definition: Mapping[str, Any]) -> Parameter:
    match definition:
        # The IR is protobuf's JSON, which writes every number as a float.
        case {
            "parameterType": "NUMBER_INTEGER" | "NUMBER_DOUBLE" as kind,
            "defaultValue": int() | float() as value,
        }:
            return _NUMBERS[kind](value)
        case {"parameterType": "BOOLEAN", "defaultValue": bool() as value}:
            return value
        case {"parameterType": "STRING", "defaultValue": str() as value}:
            return value
    kind = definition["parameterType"]
    raise NotSupported(
        "The pipeline cannot run on this machine.",
        where=f"parameter {name}",
        why=f"It has no default of its type {kind}; wanted a number, true or false, or text.",
        next_step="Run it on Kubeflow Pipelines.",
    )


def _step(
    name: str,
    task: Mapping[str, Any],
    components: Mapping[str, Any],
    executors: Mapping[str, Any],
    pipeline_parameters: Mapping[str, Parameter],
) -> Step:
    for key in ("iterator", "parameterIterator", "artifactIterator", "triggerPolicy", "retryPolicy"):
        if key in task:
            raise _unsupported(name, key)
    component = components[task["componentRef"]["name"]]
    if "executorLabel" not in component:
        raise _unsupported(name, "a nested pipeline")
    container = executors[component["executorLabel"]].get("container")
    if container is None:
        raise _unsupported(name, "an importer or another executor than a container")
    command, arguments = container.get("command", []), container.get("args", [])
    if "--function_to_execute" not in arguments or not command or command[0] != "sh":
        raise _unsupported(name, "a component that is no Python function")
    outputs = component.get("outputDefinitions", {})
    for key in outputs.get("parameters", {}):
        raise _unsupported(name, f"the output parameter {key}")
    for wrong in (key for key in (name, *outputs.get("artifacts", {})) if not _NAME.fullmatch(key)):
        raise _unsupported(name, f"the name {wrong!r}")
    return Step(
        name=name,
        function=arguments[arguments.index("--function_to_execute") + 1],
        source=command[-1],
        packages=_packages("\n".join(command[:-1])),
        parameters={
            key: _parameter(name, value, pipeline_parameters)
            for key, value in task.get("inputs", {}).get("parameters", {}).items()
        },
        inputs={
            key: _artifact(name, value) for key, value in task.get("inputs", {}).get("artifacts", {}).items()
        },
        outputs={
            key: value["artifactType"]["schemaTitle"] for key, value in outputs.get("artifacts", {}).items()
        },
    )


def _packages(script: str) -> tuple[str, ...]:
    """The requirements that the component's start script installs with pip."""
    with_value = {"--index-url", "--extra-index-url", "--trusted-host"}
    packages: list[str] = []
    for line in script.splitlines():
        for command in line.split(" pip install ")[1:]:
            words = shlex.split(command.split(" && ")[0])
            packages += (
                word
                for before, word in zip(["", *words], words, strict=False)
                if not word.startswith("-") and before not in with_value
            )
    return tuple(packages)


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

"""Runs of Kubeflow Pipelines: made, looked up and terminated, each by the id that the caller chose."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from uuid import UUID

from tasks.errors import InvalidInput
from tasks.kubeflow.connection import Connection, Request
from tasks.kubeflow.ir import pipeline_parameters, read_documents
from tasks.kubeflow.run_state import Run, read_run
from tasks.model import Parameter
from tasks.parameters import merge_parameters

_LONGEST_NAME = 255  # characters; a longer one is answered with 500, and leaves a Workflow that runs


def creation(
    ir: Path, run_id: UUID, name: str, description: str, overrides: Mapping[str, Parameter]
) -> Request:
    """The request that makes the run; what the server would answer with 500 is found here.

    Raises:
        InvalidInput: the file is no pipeline, it has no tasks, or the name is empty or too long.
        ParameterInvalid: see `merge_parameters`.
    """
    if not 0 < len(name) <= _LONGEST_NAME:
        raise InvalidInput(
            "The run's name cannot be used.",
            where=name[:40],
            why=f"It has {len(name)} characters; Kubeflow Pipelines takes 1 to {_LONGEST_NAME}.",
            next_step="Give the model a shorter name.",
        )
    spec, platform = read_documents(ir)
    if not spec["root"]["dag"]["tasks"]:
        raise InvalidInput("The pipeline has no steps.", str(ir), next_step="Tag the notebook's cells.")
    given = {key.lower(): value for key, value in overrides.items()}
    parameters = merge_parameters(pipeline_parameters(ir), given, str(ir))
    body: dict[str, Any] = {
        "run_id": str(run_id),
        "display_name": name,
        "description": description,
        "pipeline_spec": {"pipeline_spec": spec, "platform_spec": platform} if platform else spec,
        "runtime_config": {"parameters": parameters},
    }
    try:
        content = json.dumps(body, allow_nan=False).encode()
    except (TypeError, ValueError) as error:
        raise InvalidInput(
            "The pipeline cannot be sent.", str(ir), str(error), "Make one with `modelflight compile`."
        ) from None
    return Request("The run cannot be made on Kubeflow Pipelines.", "POST", "/runs", content)


def look_up(connection: Connection, run_id: UUID) -> Run | None:
    """The run as it is now; None where there is none.

    Raises:
        KubeflowRefused, KubeflowUnreachable: see `Connection.ask`.
    """
    found = connection.find(
        Request("The run cannot be looked up on Kubeflow Pipelines.", "GET", f"/runs/{run_id}")
    )
    return None if found is None else read_run(found)


def create(connection: Connection, request: Request) -> Run:
    """The run that `request` made. An id that was posted before must not come here again.

    Raises:
        KubeflowRefused, KubeflowAnswerLost, KubeflowUnreachable: see `Connection.ask`.
    """
    return read_run(connection.ask(request))


def terminate(connection: Connection, run_id: UUID) -> None:
    """Ends the run, which is not at once; it may then show as FAILED.

    Raises:
        KubeflowRefused: it has ended already, is not there, or may not be ended.
        KubeflowUnreachable: see `Connection.ask`.
    """
    connection.ask(
        Request("The run cannot be ended on Kubeflow Pipelines.", "POST", f"/runs/{run_id}:terminate")
    )

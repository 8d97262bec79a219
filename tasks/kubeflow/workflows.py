"""What Kubernetes knows of a run, and Kubeflow Pipelines does not tell: its Workflows and its pods' logs."""

from typing import Any
from uuid import UUID

import httpx

from tasks.address import redact
from tasks.kubeflow.connection import Connection

_LAST_LINES = 40
_MOST_BYTES = 64 << 10
# What pods are named after in Argo: https://argo-workflows.readthedocs.io/en/latest/fields/
_NODE = "workflows.argoproj.io/node-name"
_WORKFLOW = "workflows.argoproj.io/workflow"


def stop_workflows(connection: Connection, run_id: UUID) -> list[str]:
    """Deletes the Workflows that carry the run's id, with their pods, and returns their names.

    They can be there without a run: the server makes the Workflow first.

    Raises:
        httpx.HTTPError: Kubernetes refuses or does not answer.
    """
    names = _workflows(connection, run_id)
    for name in names:
        _ask(connection, "DELETE", f"{_workflows_path(connection)}/{name}")
    return names


def failure_log(connection: Connection, run_id: UUID, step: str) -> str:
    """The last lines of the log of the pod in which `step` failed; where there are none, why."""
    if connection.kubernetes is None:
        return "The reason is in the log of the step's pod, which this endpoint does not reach."
    try:
        for pod in _failed_pods(connection, run_id, step):
            path = f"/api/v1/namespaces/{connection.endpoint.namespace}/pods/{pod}/log"
            query = {"container": "main", "tailLines": _LAST_LINES, "limitBytes": _MOST_BYTES}
            return redact(_ask(connection, "GET", path, query).text.strip())
    except (httpx.HTTPError, ValueError, LookupError, TypeError) as error:
        return f"The log of the step's pod cannot be read: {redact(str(error))}"
    return "The step's pod is gone, and its log with it."


def _failed_pods(connection: Connection, run_id: UUID, step: str) -> list[str]:
    workflows = ",".join(_workflows(connection, run_id))
    path = f"/api/v1/namespaces/{connection.endpoint.namespace}/pods"
    pods = _ask(connection, "GET", path, {"labelSelector": f"{_WORKFLOW} in ({workflows})"}).json()["items"]
    return [
        pod["metadata"]["name"]
        for pod in pods
        if pod["status"]["phase"] == "Failed"
        and step in pod["metadata"].get("annotations", {}).get(_NODE, "").split(".")
    ]


def _workflows(connection: Connection, run_id: UUID) -> list[str]:
    query = {"labelSelector": f"pipeline/runid={run_id}"}
    found = _ask(connection, "GET", _workflows_path(connection), query).json()
    return [each["metadata"]["name"] for each in found["items"]]


def _workflows_path(connection: Connection) -> str:
    return f"/apis/argoproj.io/v1alpha1/namespaces/{connection.endpoint.namespace}/workflows"


def _ask(
    connection: Connection, method: str, path: str, query: dict[str, Any] | None = None
) -> httpx.Response:
    if connection.kubernetes is None:
        raise httpx.UnsupportedProtocol("no cluster is named")
    return connection.kubernetes.request(method, path, params=query).raise_for_status()

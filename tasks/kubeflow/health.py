"""Whether the API of Kubeflow Pipelines answers."""

from tasks.kubeflow.connection import Request, connect
from tasks.kubeflow.endpoint import Endpoint


def check_health(endpoint: Endpoint) -> str:
    """The version that the API tells, after it listed runs of the namespace for this credential.

    Raises:
        KubeflowUnreachable: it does not answer, or is in trouble.
        KubeflowRefused: it does not take the credential or the namespace, or is no Kubeflow Pipelines.
        InvalidInput: the endpoint cannot be used.
    """
    what = "Kubeflow Pipelines does not answer."
    with connect(endpoint) as connection:
        health = connection.ask(Request(what, "GET", "/healthz"))
        connection.ask(Request(what, "GET", "/runs", query={"page_size": 1, "namespace": endpoint.namespace}))
    return str(health.get("tag_name") or "answers")

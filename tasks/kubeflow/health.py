"""Whether the API of Kubeflow Pipelines answers."""

import httpx

from tasks.address import redact
from tasks.errors import KubeflowRefused, KubeflowUnreachable


def check_health(address: str, namespace: str, token: str = "") -> str:
    """What the API says of itself, after it listed runs of the namespace for this token.

    Raises:
        KubeflowUnreachable: it does not answer, or not as Kubeflow Pipelines does.
        KubeflowRefused: it answers, and does not take the token or the namespace.
    """
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    where = redact(address)
    what = "Kubeflow Pipelines does not answer."
    next_step = "Name the address that has /apis/v2beta1 below it, such as https://host/pipeline."
    try:
        with httpx.Client(base_url=address.rstrip("/"), headers=headers, timeout=15) as client:
            health = client.get("/apis/v2beta1/healthz")
            runs = client.get("/apis/v2beta1/runs", params={"page_size": 1, "namespace": namespace})
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise KubeflowUnreachable(what, where, redact(str(error)), next_step) from None
    if runs.status_code in (401, 403) or runs.is_redirect:  # a redirect leads to a page to log in
        raise KubeflowRefused(
            "Kubeflow Pipelines refuses the credential.",
            where,
            f"It answers {runs.status_code} for runs of the namespace {namespace}.",
            "Give the block a token that may list runs there.",
        )
    if not (health.is_success and runs.is_success and "json" in health.headers.get("content-type", "")):
        raise KubeflowUnreachable(
            what, where, f"It answers {health.status_code}, {runs.status_code}.", next_step
        )
    return str(health.json().get("tag_name") or "answers")

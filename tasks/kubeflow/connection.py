"""A connection to Kubeflow Pipelines: requests go out with the credential, answers come back or raise."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

import httpx

from tasks.address import redact
from tasks.errors import KubeflowAnswerLost, KubeflowRefused, KubeflowUnreachable, ModelflightError
from tasks.kubeflow.endpoint import Endpoint, kubernetes_client, pipelines_client

_API = "/apis/v2beta1"
_ADDRESS = "Name the address that has /apis/v2beta1 below it, such as https://host/pipeline."
_CREDENTIAL = "Give a new token or cookie of somebody who may run pipelines there."
_NEXT_STEPS = {401: _CREDENTIAL, 403: _CREDENTIAL, 404: _ADDRESS, 501: _ADDRESS}


@dataclass(frozen=True)
class Request:
    """A request to the API: `path` below `/apis/v2beta1`, `content` JSON; `what` fails when it does."""

    what: str
    method: str
    path: str
    content: bytes = b""
    query: Mapping[str, str | int] | None = None


@dataclass(frozen=True)
class Connection:
    """Requests to the API of `endpoint`, and to Kubernetes where `kubernetes` is. None is sent twice."""

    endpoint: Endpoint
    pipelines: httpx.Client
    kubernetes: httpx.Client | None

    def ask(self, request: Request) -> dict[str, Any]:
        """The answer to `request`; empty lists are left out of it.

        Raises:
            KubeflowRefused: it says no, or is no answer of this API.
            KubeflowAnswerLost: whether it was carried out is not known.
            KubeflowUnreachable: it was not carried out, and may be later.
        """
        return self._document(request, self._send(request))

    def find(self, request: Request) -> dict[str, Any] | None:
        """The same; None where the API says that there is no such thing."""
        answer = self._send(request)
        return None if answer.status_code == 404 and _is_absence(answer) else self._document(request, answer)

    def _document(self, request: Request, answer: httpx.Response) -> dict[str, Any]:
        where = str(self.endpoint)
        if not answer.is_success:
            raise _refusal(answer, request, where)
        if "html" in answer.headers.get("Content-Type", ""):
            raise _page(answer, request, where)
        try:
            document = json.loads(answer.content)
        except (ValueError, RecursionError):
            document = None
        if isinstance(document, dict):
            return document
        raise KubeflowAnswerLost(request.what, where, "The answer is no whole JSON object.", "Try again.")

    def _send(self, request: Request) -> httpx.Response:
        where = str(self.endpoint)
        try:
            return self.pipelines.request(
                request.method,
                _API + request.path,
                content=request.content,
                params=request.query,
                headers={"Content-Type": "application/json"},
            )
        except (httpx.InvalidURL, httpx.UnsupportedProtocol) as error:
            raise KubeflowRefused(request.what, where, redact(str(error)), _ADDRESS) from None
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout) as error:
            why = redact(str(error)) or type(error).__name__
            raise KubeflowUnreachable(
                request.what, where, why, "Check the address and the network."
            ) from None
        except (httpx.TransportError, httpx.DecodingError) as error:
            why = redact(str(error)) or type(error).__name__
            raise KubeflowAnswerLost(request.what, where, why, "Check the network.") from None


@contextmanager
def connect(endpoint: Endpoint) -> Iterator[Connection]:
    """A connection to `endpoint`; nothing is sent yet.

    Raises:
        InvalidInput, KubeflowRefused: see `pipelines_client`.
    """
    with pipelines_client(endpoint) as pipelines, kubernetes_client(endpoint) or nullcontext() as kubernetes:
        yield Connection(endpoint, pipelines, kubernetes)


def _page(answer: httpx.Response, request: Request, where: str) -> KubeflowRefused:
    why = f"HTTP {answer.status_code} with a page instead of an answer: a login, or another service."
    return KubeflowRefused(request.what, where, why, f"{_CREDENTIAL} {_ADDRESS}")


def _refusal(answer: httpx.Response, request: Request, where: str) -> ModelflightError:
    status = answer.status_code
    if answer.is_redirect:
        return _page(answer, request, where)
    why = f"HTTP {status}: {_complaint(answer)}".rstrip(": ")
    if status == 429:
        return KubeflowUnreachable(request.what, where, why, "Run this again later.")
    if status == 408 or (status >= 500 and status != 501):
        return KubeflowAnswerLost(request.what, where, why, "Look at the log of ml-pipeline.")
    return KubeflowRefused(request.what, where, why, _NEXT_STEPS.get(status, "Correct what it complains of."))


def _error(answer: httpx.Response) -> tuple[int, str, list[Any]]:
    """Code, message and details of an error (google.rpc.Status); the uploads' form has none of them."""
    try:
        match json.loads(answer.content):
            case {"code": int() as code, "message": str() as message, **rest}:
                details = rest.get("details")
                return code, message, details if isinstance(details, list) else []
    except (ValueError, RecursionError):
        pass
    return 0, "", []


def _is_absence(answer: httpx.Response) -> bool:
    """Whether it is the API that knows no such thing; an unknown path is answered without details."""
    code, _, details = _error(answer)
    return code == 5 and bool(details)


def _complaint(answer: httpx.Response) -> str:
    """What the server says, its end: messages begin with a chain of what called what."""
    return redact(_error(answer)[1][-500:])

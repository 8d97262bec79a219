"""Whatever the receiver's OpenAPI document allows and forbids, sent by Schemathesis to a real receiver."""

import hashlib
import hmac
import ipaddress
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
import requests
import schemathesis
from requests.auth import AuthBase
from schemathesis import BaseSchema, Case, Config, Response

from deployments.receiver.app import create_app
from deployments.receiver.settings import Settings
from tests.deployments.receiver.conftest import SECRET, Stage
from tests.deployments.receiver.payloads import ZEROS

DOCUMENT = create_app(Settings("http://127.0.0.1:9/api", "")).openapi()
GENERATION = {"deterministic": True, "max-examples": 100, "database": "none"}
# A document cannot say that one header decides which payload is right, and that others are not looked at.
EITHER_WAY = {
    "positive_data_acceptance": {"expected-statuses": ["2xx", "403", "422"]},
    "negative_data_rejection": {"enabled": False},
}
SENDERS = ipaddress.ip_network("10.0.0.0/8").hosts()


def promised(**config: Any) -> BaseSchema:
    settings = Config.from_dict({"seed": 1, "generation": GENERATION, **config})
    return schemathesis.openapi.from_dict(DOCUMENT, config=settings)


class Signed(AuthBase):
    """Signs what is sent, as GitHub does."""

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        body = request.body or b""
        sent = body.encode() if isinstance(body, str) else body
        digest = hmac.new(SECRET.encode(), sent, hashlib.sha256).hexdigest()
        request.headers["X-Hub-Signature-256"] = f"sha256={digest}"
        return request


def send(stage: Stage, case: Case, auth: AuthBase | None = None) -> Response:
    """Sends the request; all of Schemathesis's checks must find the answer right."""
    # As a proxy on this machine would tell it: one sender may guess a few times only.
    headers = {"X-Forwarded-For": str(next(SENDERS))}
    return case.call_and_validate(base_url=stage.receiver.address, headers=headers, auth=auth)


def releasable(body: Any) -> Any:
    """The payload, where it is one, as a push to the branch that is released."""
    match body:
        case {"repository": {"full_name": str()}, "ref": str(), "after": str()}:
            repository = {"repository": {"full_name": "ci/notebooks"}}
        case {"project": {"path_with_namespace": str()}, "ref": str(), "after": str()}:
            repository = {"project": {"path_with_namespace": "ci/notebooks"}}
        case _:
            return body
    # Most generated commits are zeros, and say that the branch was deleted.
    named = hashlib.sha1(repr(body).encode()).hexdigest()
    after = named if body["after"] == ZEROS else body["after"]
    return body | repository | {"ref": "refs/heads/main", "after": after}


@pytest.fixture(scope="module")
def reached() -> Iterator[Counter[int]]:
    """How often signed requests were answered with each status; there must be enough of each kind."""
    statuses: Counter[int] = Counter()
    yield statuses
    assert min(statuses[status] for status in (200, 202, 422)) > 10, statuses


def test_the_document_is_what_the_receiver_serves(stage: Stage):
    assert requests.get(f"{stage.receiver.address}/openapi.json", timeout=60).json() == DOCUMENT


@promised().parametrize()
def test_strangers_get_what_is_promised(stage: Stage, case: Case):
    send(stage, case)


@promised(checks=EITHER_WAY).include(path="/webhooks/{name}").parametrize()
def test_who_signs_gets_what_is_promised(stage: Stage, reached: Counter[int], case: Case):
    case.path_parameters = {"name": "notebooks"}
    case.body = releasable(case.body)
    reached[send(stage, case, Signed()).status_code] += 1

"""The receiver's HTTP: forges send deliveries to it, and are answered at once."""

import hashlib
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Any

from fastapi import FastAPI, Path, Request, Response
from fastapi.responses import JSONResponse, PlainTextResponse
from prometheus_client import CONTENT_TYPE_LATEST
from pydantic import BaseModel

from deployments.receiver.document import WEBHOOK, complete
from deployments.receiver.forges.delivery import Delivery
from deployments.receiver.forges.read import delivery_id, read_delivery
from deployments.receiver.limits import Bodies, Rates, Recent
from deployments.receiver.log import LOGGER
from deployments.receiver.metrics import Metrics
from deployments.receiver.prefect_api import PrefectApi
from deployments.receiver.problem import Refusal, answer_problems, declared, status_of
from deployments.receiver.receiving import Answer, Receiver
from deployments.receiver.registrations import Registration
from deployments.receiver.settings import Settings
from deployments.receiver.signature import has_signature, is_signed
from deployments.receiver.starts import Starts
from tasks.errors import ModelflightError

_REPEATED_WITHIN = 600.0  # seconds; later repetitions find their run by its idempotency key
_MOST_REMEMBERED = 2000
_GUESS = 20  # tokens that a wrong signature costs


class Health(BaseModel):
    """The process lives, or Prefect answers."""

    status: str = "ok"


class _Metrics(PlainTextResponse):
    media_type = CONTENT_TYPE_LATEST


def create_app(settings: Settings) -> FastAPI:
    """The application; it connects to Prefect when the first delivery comes."""
    metrics, rates, bodies = Metrics(), Rates(), Bodies()
    answered: Recent[Answer] = Recent(_MOST_REMEMBERED, _REPEATED_WITHIN)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with PrefectApi(settings) as api, Starts(api) as starts:
            app.state.receiver = Receiver(api, starts, metrics)
            yield

    app = FastAPI(
        title="Modelflight webhook receiver",
        root_path=settings.root_path,
        lifespan=lifespan,
        docs_url=None,  # their pages load scripts from elsewhere
        redoc_url=None,
        redirect_slashes=False,  # to whatever host the request names, and away from a proxy's TLS
        responses=declared(500),
    )
    answer_problems(app)

    @app.post(
        "/webhooks/{name}",
        summary="Receive a push",
        responses={
            200: {"model": Answer, "description": "Nothing is to be started."},
            202: {"model": Answer, "description": "The runs are in Prefect's database."},
            **declared(400, 403, 408, 413, 415, 422, 429, 502, 503),
        },
        openapi_extra=WEBHOOK,
    )
    async def webhook(
        request: Request,
        name: Annotated[str, Path(max_length=255, description="Name of the notebook repository's block.")],
    ) -> Response:
        """A webhook's delivery by GitHub, GitLab, Gitea, Forgejo or Bitbucket, signed with the secret."""
        began = time.monotonic()
        source = request.client.host[:100] if request.client else ""
        told: dict[str, Any] = {"source": source, "name": name[:100], "forge": "unknown", "event": "unknown"}
        try:
            rates.take(request)
            answer = await _received(request, name, told)
            told["status"] = 202 if answer.runs else 200
            told["runs"] = [str(run.flow_run_id) for run in answer.runs]
            told["reason"] = answer.reason
            return JSONResponse(answer.model_dump(mode="json"), told["status"])
        except ModelflightError as error:
            told["status"] = status_of(error)
            told["outcome"] = str(told["status"])
            told["reason"] = f"{error.what} {told.pop('secretly', '') or error.why}".strip()[:500]
            told["where"] = error.where
            raise
        finally:
            seconds = time.monotonic() - began
            told["seconds"] = round(seconds, 3)
            metrics.delivered(told["forge"], told["event"], told.setdefault("outcome", "500"), seconds)
            if told["outcome"] != "429":  # or the log would take them all
                LOGGER.info("delivery", extra={"told": told})

    async def _received(request: Request, name: str, told: dict[str, Any]) -> Answer:
        receiver: Receiver = request.app.state.receiver
        delivery, registration, identity = await _accepted(request, receiver, name, told)
        told |= {"forge": delivery.forge, "event": delivery.kind}
        if answer := answered.get(identity):
            told["outcome"] = "repeated"
            return answer
        answer = await receiver.receive(delivery, registration)
        told["outcome"] = answer.outcome
        if answer.runs:
            answered.put(identity, answer)
        return answer

    async def _accepted(
        request: Request, receiver: Receiver, name: str, told: dict[str, Any]
    ) -> tuple[Delivery, Registration, bytes]:
        """The delivery, what it is for, and what repetitions of it are known by; its body is not kept."""
        _check_type(request)
        told["delivery"] = delivery_id(request.headers)[:100]
        async with bodies.read(request) as body:
            registration = await receiver.registration(name)
            secrets = registration.secrets if registration else ()
            if not is_signed(request.headers, body, secrets) or registration is None:
                told["secretly"] = (
                    "Nothing is registered by that name."
                    if registration is None
                    else "The block has no webhook_secret."
                    if not secrets
                    else "The signature is wrong."
                    if has_signature(request.headers)
                    else "It is not signed; give the Git server's webhook the block's secret."
                )
                rates.charge(request, _GUESS)
                raise _unknown()
            delivery = read_delivery(request.headers, body)
            # Names of deliveries are not signed, bodies are: a repetition is known by them.
            known_by = f"{name}\n{delivery.forge}\n{delivery.kind}\n".encode() + body
            return delivery, registration, hashlib.sha256(known_by).digest()

    @app.get("/health", summary="Whether the process lives")
    async def health() -> Health:
        return Health()

    @app.get("/ready", summary="Whether Prefect answers", responses=declared(502, 503))
    async def ready(request: Request) -> Health:
        receiver: Receiver = request.app.state.receiver
        await receiver.check()
        return Health()

    @app.get("/metrics", summary="Metrics for Prometheus", response_class=_Metrics)
    async def prometheus() -> Response:
        return _Metrics(metrics.text())

    complete(app)
    return app


def _check_type(request: Request) -> None:
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json" or request.headers.get("content-encoding", "identity") != "identity":
        raise Refusal(
            415,
            "The receiver reads JSON.",
            "Set the webhook's content type to application/json on the forge.",
            close=True,
        )


def _unknown() -> Refusal:
    # One answer, so that names of registrations cannot be found out.
    return Refusal(
        403,
        "The delivery is not accepted.",
        "Check the name at the end of the address, that the block of that name has a webhook_secret, and "
        "that the forge signs with it. The receiver's log says which it is.",
        why="No notebook repository is registered by this name, or none of its secrets signed the delivery. "
        "Signatures by SHA-1 alone do not count.",
    )

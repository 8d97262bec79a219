"""Errors as answers: problem documents that say what to do next.

https://www.rfc-editor.org/rfc/rfc9457
"""

from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel
from starlette.exceptions import HTTPException

from tasks.errors import InvalidInput, ModelflightError, PrefectUnreachable

RETRY_AFTER = 10  # seconds


class Problem(BaseModel):
    """Why there is no better answer, and what can be done."""

    type: str = "about:blank"
    title: str
    status: int
    detail: str = ""
    where: str = ""
    next_step: str = ""


class Refusal(ModelflightError):
    """A request that is answered with `status`; `close` ends the connection, on which more may come."""

    def __init__(
        self,
        status: int,
        what: str,
        next_step: str,
        *,
        why: str = "",
        retry_after: int = 0,
        close: bool = False,
    ) -> None:
        super().__init__(what, "", why, next_step)
        self.status = status
        self.headers: dict[str, str] = {}
        if retry_after:
            self.headers["Retry-After"] = str(retry_after)
        if close:
            self.headers["Connection"] = "close"


class ProblemResponse(JSONResponse):
    """A problem document."""

    media_type = "application/problem+json"


def status_of(error: ModelflightError) -> int:
    """The status that an error is answered with."""
    if isinstance(error, Refusal):
        return error.status
    if isinstance(error, PrefectUnreachable):
        return 503
    return 422 if isinstance(error, InvalidInput) else 502


def declared(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The responses of an operation that are problems, for its OpenAPI document."""
    schema = {"schema": {"$ref": "#/components/schemas/Problem"}}
    return {
        status: {"description": HTTPStatus(status).phrase, "content": {ProblemResponse.media_type: schema}}
        for status in statuses
    }


def answer_problems(app: FastAPI) -> None:
    """Lets the application answer every error with a problem document."""
    app.add_exception_handler(ModelflightError, _explained)
    app.add_exception_handler(HTTPException, _by_status)
    app.add_exception_handler(RequestValidationError, _malformed)
    app.add_exception_handler(Exception, _unexpected)


def _respond(status: int, title: str, headers: dict[str, str] | None = None, **rest: str) -> ProblemResponse:
    return ProblemResponse(Problem(title=title, status=status, **rest).model_dump(), status, headers)


async def _explained(_: Request, error: Exception) -> ProblemResponse:
    assert isinstance(error, ModelflightError)  # noqa: S101 - the handler's type wants any exception
    status = status_of(error)
    headers = error.headers if isinstance(error, Refusal) else {}
    if isinstance(error, PrefectUnreachable):
        headers = {"Retry-After": str(RETRY_AFTER)}
    where = error.where if status < 500 else ""  # where Prefect is, is for the log
    return _respond(status, error.what, headers, detail=error.why, where=where, next_step=error.next_step)


async def _by_status(_: Request, error: Exception) -> ProblemResponse:
    assert isinstance(error, HTTPException)  # noqa: S101
    next_step = "Webhooks are sent to /webhooks/NAME by POST; NAME is the name of the repository's block."
    headers = dict(error.headers or {})
    return _respond(error.status_code, HTTPStatus(error.status_code).phrase, headers, next_step=next_step)


async def _malformed(_: Request, error: Exception) -> ProblemResponse:
    assert isinstance(error, RequestValidationError)  # noqa: S101
    return _respond(422, "The request is malformed.", detail="; ".join(e["msg"] for e in error.errors()))


async def _unexpected(_: Request, __: Exception) -> ProblemResponse:
    return _respond(500, "The receiver itself failed.", next_step="Look at its log.")

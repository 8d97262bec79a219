"""AWS access for a job by the identity that its CI system vouches for, without stored keys."""

import os
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

from tasks.address import redact
from tasks.errors import InvalidInput, ModelflightError

AUDIENCE = "sts.amazonaws.com"
_RENEWAL = 240.0  # seconds; GitHub's tokens are good for five minutes, what AWS gives for one for an hour


@contextmanager
def assumed(role: str, token: Callable[[], str], renewal: float = _RENEWAL) -> Iterator[None]:
    """While it is open, AWS's libraries in this process, and in those that it starts, act as `role`.

    They read a token from a file whenever they need new credentials; it is renewed meanwhile.

    Raises:
        ModelflightError: there is no token.
    """
    with tempfile.TemporaryDirectory(dir=os.environ.get("RUNNER_TEMP")) as folder:
        file = Path(folder, "token")  # nobody else may enter the folder
        file.write_text(token())
        settings = {
            "AWS_ROLE_ARN": role,
            "AWS_ROLE_SESSION_NAME": "modelflight",
            "AWS_WEB_IDENTITY_TOKEN_FILE": str(file),
        }
        before = {name: os.environ.get(name) for name in settings}
        os.environ.update(settings)
        ended = threading.Event()
        renewing = threading.Thread(target=_renew, args=(file, token, ended, renewal), daemon=True)
        renewing.start()
        try:
            yield
        finally:
            ended.set()
            renewing.join()
            for name, value in before.items():
                os.environ.pop(name) if value is None else os.environ.update({name: value})


def _renew(file: Path, token: Callable[[], str], ended: threading.Event, renewal: float) -> None:
    while not ended.wait(renewal):
        try:
            fresh = token()
        except ModelflightError:
            continue  # the next one may come; without any, AWS's library says why it was refused
        incoming = file.with_name("incoming")
        incoming.write_text(fresh)
        incoming.replace(file)


def job_token() -> Callable[[], str]:
    """Where the job's tokens come from: GitHub's service, or the variable of a GitLab job.

    What gives access to them is taken out of the environment, which notebooks inherit. The function that is
    returned raises InvalidInput where the job may not have any.
    """
    address = os.environ.pop("ACTIONS_ID_TOKEN_REQUEST_URL", "")
    credential = os.environ.pop("ACTIONS_ID_TOKEN_REQUEST_TOKEN", "")
    given = os.environ.pop("MODELFLIGHT_ID_TOKEN", "")

    def token() -> str:
        if given:
            return given
        if address and credential:
            return _asked(address, credential)
        raise InvalidInput(
            "The job has no identity to assume a role with.",
            where="role-to-assume",
            next_step="On GitHub give the job `permissions: {id-token: write}`; on GitLab set `id_tokens:` "
            "as the template's README shows.",
        )

    return token


def _asked(address: str, credential: str) -> str:
    try:
        answer = httpx.get(
            httpx.URL(address).copy_merge_params({"audience": AUDIENCE}),
            headers={"Authorization": f"Bearer {credential}"},
            timeout=30,
        )
        return str(answer.raise_for_status().json()["value"])
    except (httpx.HTTPError, ValueError, KeyError) as error:
        raise ModelflightError(
            "The job's identity token could not be had.",
            where=redact(address),
            why=redact(str(error)) or type(error).__name__,
            next_step="Run the job again.",
        ) from None

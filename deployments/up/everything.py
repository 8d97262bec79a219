"""Everything on one machine: which parts there are, and what is told when they serve."""

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import closing, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx

from deployments import console
from deployments.up.api import Api
from deployments.up.before_worker import before_worker
from deployments.up.deploying import Deploying
from deployments.up.environment import receiver_environment, server_environment, worker_environment
from deployments.up.installation import Installation, Listener, locked, login_for
from deployments.up.log import Log
from deployments.up.part import Part
from deployments.up.start_run import connect
from deployments.up.supervisor import Stopped, Supervisor
from flows.settings import Backends, Home, work_pool
from tasks.address import redact
from tasks.errors import InvalidInput, PrefectUnreachable

_AT_A_TIME = max(4, 2 * (os.cpu_count() or 1))  # flow runs; each takes 150 MB and what its steps take


def run_everything(host: str, port: int, receiver_port: int, output: str) -> None:
    """Runs all parts until the user stops them.

    Raises:
        InvalidInput: an option or setting cannot be used; nothing was started.
        PrefectUnreachable: PREFECT_API_URL names an API that does not answer.
        PartFailed: a part died again and again.
    """
    Backends.from_environment()
    home = Home().path
    receiver = Listener(os.environ.get("MODELFLIGHT_RECEIVER_HOST") or host, receiver_port)
    if port == receiver_port:
        raise InvalidInput(
            "Prefect's server and the receiver cannot listen on the same port.",
            where=f"--port {port}, --receiver-port {receiver_port}",
            next_step="Choose two.",
        )
    with locked(home):
        installation = _installation(home, Listener(host, port), receiver)
        with closing(Api(installation.api, installation.login)) as api:
            _run(installation, api, output)


def _installation(home: Path, server: Listener, receiver: Listener) -> Installation:
    """What is to run. A server is started unless PREFECT_API_URL names one that answers."""
    named = os.environ.get("PREFECT_API_URL", "").rstrip("/")
    receiver.check_free("--receiver-port")
    if named:
        login = os.environ.get("PREFECT_API_AUTH_STRING") or None
        with closing(Api(named, login)) as api:
            if api.is_ready():
                api.check_credential()
                return Installation(home, named, None, receiver, work_pool(), login)
        if named.replace("//localhost", "//127.0.0.1") != f"{server.url}/api":
            raise PrefectUnreachable(
                "The Prefect API that the settings name does not answer.",
                where=f"PREFECT_API_URL={redact(named)}",
                next_step="Start it, or unset PREFECT_API_URL: then a server is started here.",
            )
    server.check_free("--port")
    login, file = login_for(home, server, os.environ)
    return Installation(home, f"{server.url}/api", server, receiver, work_pool(), login, file)


def _run(installation: Installation, api: Api, output: str) -> None:
    parts = list(_parts(installation, api))
    after = parts[0] if installation.server else None
    deploy_log = Log(installation.logs / "deploy.log")
    deploying = Deploying(api, after, worker_environment(installation), deploy_log)

    def resume(part: Part) -> None:
        """Lets what the worker ran go on at the next start."""
        if part.name == _WORKER:
            with suppress(httpx.HTTPError):
                _resume(installation, api)

    supervisor = Supervisor(parts, deploying, console.show_progress, resume)
    with suppress(Stopped), supervisor.running():
        supervisor.until(lambda: supervisor.is_ready)
        document = _document(installation, deploying.registered)
        console.emit(document, "\n".join(_lines(installation, deploying.registered)), output)
        sys.stdout.flush()
        supervisor.until(lambda: False)


_WORKER = "worker"


def _parts(installation: Installation, api: Api) -> Iterator[Part]:
    python, logs = sys.executable, installation.logs
    server: Sequence[Part] = ()
    if listener := installation.server:
        server = [
            Part(
                "Prefect server",
                [
                    python,
                    "-m",
                    "prefect",
                    "server",
                    "start",
                    "--host",
                    listener.host,
                    "--port",
                    str(listener.port),
                ],
                server_environment(installation),
                Log(logs / "prefect-server.log"),
                api.is_ready,
                listener.shown,
            )
        ]
        yield from server
    environment = worker_environment(installation)
    yield Part(
        "warm process",
        [python, "-m", "deployments.up.warm", str(installation.warm_socket)],
        environment,
        Log(logs / "warm.log"),
        lambda: _listens(installation.warm_socket),
        "flow runs start without importing Prefect",
    )
    worker = Part(
        _WORKER,
        [
            *(python, "-m", "prefect", "worker", "start", "--pool", installation.pool, "--type", "process"),
            *("--name", installation.worker, "--limit", str(_AT_A_TIME)),
        ],
        environment,
        Log(logs / "worker.log"),
        lambda: api.worker_is_online(
            installation.pool, installation.worker, datetime.now(UTC) - timedelta(seconds=worker.running_for)
        ),
        f"work pool {installation.pool}",
        needs=server,
        prepare=lambda: _resume(installation, api),
    )
    yield worker
    yield Part(
        "webhook receiver",
        [python, "-m", "deployments.receiver"],
        receiver_environment(installation),
        Log(logs / "receiver.log"),
        lambda: _answers(f"{installation.receiver.url}/ready"),
        f"{installation.receiver.shown}/webhooks/NAME",
        needs=server,
    )


def _resume(installation: Installation, api: Api) -> None:
    for name in before_worker(api, installation.pool, installation.worker):
        console.show_progress(f"{name} was interrupted; it goes on where it stopped when a worker runs")


def _listens(path: Path) -> bool:
    """Whether a process accepts connections at the socket."""
    try:
        connect(path).close()
    except OSError:
        return False
    return True


def _answers(address: str) -> bool:
    try:
        return httpx.get(address, timeout=2, trust_env=False).is_success
    except httpx.HTTPError:
        return False


def _document(installation: Installation, registered: Any) -> dict[str, Any]:
    return {
        "pages": installation.pages,
        "api": installation.api,
        "webhooks": f"{installation.receiver.shown}/webhooks",
        "work_pool": installation.pool,
        "registered": sorted(registered),
        "home": str(installation.home),
        "logs": str(installation.logs),
        "login_file": str(installation.login_file) if installation.login_file else None,
    }


def _lines(installation: Installation, registered: Any) -> Iterator[str]:
    pages, webhooks = installation.pages, f"{installation.receiver.shown}/webhooks"
    yield f"Modelflight is up. Ctrl-C stops it; `modelflight up` goes on with what is in {installation.home}."
    yield f"  Pages     {pages}"
    if installation.login_file:
        yield f"            they ask for the login in {installation.login_file}"
    yield f"  API       {installation.api}"
    yield f"            for other commands: export PREFECT_API_URL={installation.api}"
    yield f"  Webhooks  {webhooks}/NAME"
    yield f"  Logs      {installation.logs}"
    if registered:
        yield f"Registered: {', '.join(sorted(registered))}."
        yield f"Push to them, or start a release in {pages}/deployments."
        return
    yield "No notebook repository is registered yet:"
    yield f"  1. In {pages}/blocks/catalog choose Modelflight notebook repository, and fill in its form."
    yield f"     The models in its modelflight.yaml are in {pages}/deployments some seconds later."
    yield f"  2. On the Git server add a webhook for pushes, content type JSON: {webhooks}/NAME,"
    yield "     with the block's name as NAME and the block's webhook secret as its secret."

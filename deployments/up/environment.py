"""The environment of each part: what it needs, and no credential that it does not need."""

import os
import sys
from collections.abc import Mapping
from pathlib import Path

from deployments.up.installation import Installation
from deployments.up.start_run import VARIABLE
from tasks.deployment.desired import HEARTBEAT

# What programs on this machine need whatever they do.
_COMMON = (
    "HOME",
    "LANG",
    "LANGUAGE",
    "LD_LIBRARY_PATH",
    "PATH",
    "SSL_CERT_DIR",
    "SSL_CERT_FILE",
    "TMPDIR",
    "TZ",
)
_COMMON_BEGIN = ("LC_", "PYTHON", "VIRTUAL_ENV")
# Of Prefect's server alone: the database's password, and what requests are checked with.
_SERVERS = ("PREFECT_SERVER_", "PREFECT_API_DATABASE_", "PREFECT_REDIS_", "PREFECT_MESSAGING_")
# Of any server of ours on SQLite.
SERVER_SETTINGS = {
    "PREFECT_SERVER_DATABASE_TIMEOUT": "60",  # seconds a statement; a busy machine needs more than 10
    # Releases wait for one another. Marking each as late, after 15 seconds by default, keeps SQLite for up to
    # a second, in which no push is taken.
    "PREFECT_SERVER_SERVICES_LATE_RUNS_AFTER_SECONDS": "120",
}
_QUIET = {"PREFECT_SERVER_ANALYTICS_ENABLED": "false", "DO_NOT_TRACK": "1"}


def server_environment(installation: Installation) -> dict[str, str]:
    """For Prefect's server; a setting of its own that the user made stays."""
    assert installation.server is not None  # noqa: S101 - it is not started otherwise
    own = {
        **SERVER_SETTINGS,
        # Leases of runs that go on must outlive a restart.
        "PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE": "prefect.server.concurrency.lease_storage.filesystem",
        # The pages' own origin, by whatever name or proxy they were reached.
        "PREFECT_SERVER_UI_API_URL": "/api",
        # What links in notifications begin with.
        "PREFECT_UI_URL": installation.pages,
        # By default the pages are written into the installed package, which servers would share.
        "PREFECT_SERVER_UI_STATIC_DIRECTORY": str(installation.prefect_home / "pages"),
        "PREFECT_SERVER_UI_SHOW_PROMOTIONAL_CONTENT": "false",
        **_QUIET,
    }
    given = {key: value for key, value in os.environ.items() if key.startswith("PREFECT_")}
    fixed = {"PREFECT_HOME": str(installation.prefect_home), "PREFECT_API_URL": installation.api}
    if installation.login:
        fixed["PREFECT_SERVER_API_AUTH_STRING"] = installation.login
    return {**_common(), **own, **given, **fixed, **_client_login(installation)}


def worker_environment(installation: Installation) -> dict[str, str]:
    """For the worker, the flow runs, and `modelflight deploy`: what the user has, less what is the server's.

    All of them have the same: a flow run whose settings differ from the warm process's starts slowly.
    """
    given = {key: value for key, value in os.environ.items() if not key.startswith(_SERVERS)}
    programs = str(Path(sys.executable).parent)  # the work pool's command names python by its name
    return {
        "PREFECT_WORKER_QUERY_SECONDS": "1",
        "PREFECT_FLOWS_HEARTBEAT_FREQUENCY": f"{HEARTBEAT.total_seconds():.0f}",
        **_QUIET,
        **given,
        "PATH": f"{programs}{os.pathsep}{os.environ.get('PATH', os.defpath)}",
        "MODELFLIGHT_HOME": str(installation.home),
        "MODELFLIGHT_WORK_POOL": installation.pool,
        VARIABLE: str(installation.warm_socket),
        **_client(installation),
    }


def receiver_environment(installation: Installation) -> dict[str, str]:
    """For the webhook receiver, which strangers can reach: how it listens, and the way to Prefect's API."""
    own = (
        "MODELFLIGHT_RECEIVER_",
        "FORWARDED_ALLOW_IPS",
        "PREFECT_API_SSL_",
        "PREFECT_API_KEY",
    )
    given = {key: value for key, value in os.environ.items() if key.startswith(own)}
    return {
        **_common(),
        **given,
        "PREFECT_UI_URL": installation.pages,
        "MODELFLIGHT_RECEIVER_HOST": installation.receiver.host,
        "MODELFLIGHT_RECEIVER_PORT": str(installation.receiver.port),
        **_client(installation),
    }


def _client(installation: Installation) -> dict[str, str]:
    where = {"PREFECT_API_URL": installation.api, "PREFECT_HOME": str(installation.prefect_home)}
    return {**where, **_client_login(installation)}


def _client_login(installation: Installation) -> Mapping[str, str]:
    return {"PREFECT_API_AUTH_STRING": installation.login} if installation.login else {}


def _common() -> dict[str, str]:
    return {
        key: value for key, value in os.environ.items() if key in _COMMON or key.startswith(_COMMON_BEGIN)
    }

import contextlib
from pathlib import Path

from tests.system.fixtures.surroundings import run_reporting_flow
from tests.system.testbed.postgresql import PostgreSQL
from tests.system.testbed.prefect_server import PrefectServer


def test_a_flow_leaves_its_run_and_its_artifacts(prefect_server: PrefectServer, reported_run: str) -> None:
    assert prefect_server.flow_run(reported_run)["state_type"] == "COMPLETED"
    artifacts = prefect_server.artifacts(reported_run)
    assert {key: found["type"] for key, found in artifacts.items()} == {
        "metrics": "table",
        "verdict": "markdown",
    }


def test_a_killed_server_keeps_what_ran(prefect_server: PrefectServer, reported_run: str) -> None:
    left = prefect_server.artifacts(reported_run)

    prefect_server.kill()
    prefect_server.start().wait()

    assert prefect_server.flow_run(reported_run)["state_type"] == "COMPLETED"
    assert prefect_server.artifacts(reported_run) == left != {}


def test_the_server_outlives_a_restart_of_its_database(
    prefect_server: PrefectServer, postgresql: PostgreSQL, tmp_path: Path
) -> None:
    postgresql.stop()
    postgresql.start().wait()

    flow_run = run_reporting_flow(prefect_server, tmp_path)

    assert prefect_server.is_running
    assert prefect_server.flow_run(flow_run)["state_type"] == "COMPLETED"


def test_no_process_shows_the_password_of_the_database(
    prefect_server: PrefectServer, postgresql: PostgreSQL
) -> None:
    password = postgresql.url("prefect").partition("@")[0].rpartition(":")[2]
    shown = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):  # it may just have ended
            shown.append(path.read_bytes())

    assert any(b"prefect" in command for command in shown)
    assert not any(password.encode() in command for command in shown)

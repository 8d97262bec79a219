"""The services of one machine, held against what `modelflight up` does."""

import os
import subprocess
import sys
from importlib.metadata import entry_points
from importlib.util import find_spec
from pathlib import Path

import pytest

from deployments.up.environment import receiver_environment, server_environment, worker_environment
from deployments.up.installation import Installation, Listener
from deployments.up.start_run import VARIABLE
from tests.infra.settings_names import is_read
from tests.infra.systemd_units import DROP_IN, FOLDER, Unit, environment_file, units

UNITS = units()
SERVICES = {name: unit for name, unit in UNITS.items() if name.endswith(".service")}
RELEASES = environment_file()
OF_RELEASES = ("modelflight-worker@.service", "modelflight-warm.service", "modelflight-deploy.service")
WORKER, WARM, DEPLOY = (UNITS[name] for name in OF_RELEASES)
SERVER, RECEIVER = UNITS["modelflight-server.service"], UNITS["modelflight-receiver.service"]
PROGRAMS = "/opt/modelflight/bin/"
README = (FOLDER / "README.md").read_text()


@pytest.fixture
def installation(monkeypatch: pytest.MonkeyPatch) -> Installation:
    """What `modelflight up` would run with the same data, in an empty environment."""
    for name in set(os.environ) - {"PATH"}:
        monkeypatch.delenv(name)
    server, receiver = Listener("127.0.0.1", 4200), Listener("127.0.0.1", 4280)
    home = Path(RELEASES["MODELFLIGHT_HOME"])
    return Installation(home, RELEASES["PREFECT_API_URL"], server, receiver, "modelflight")


@pytest.mark.parametrize("name", SERVICES)
def test_what_a_service_runs_is_installed(name: str) -> None:
    scripts = {each.name for each in entry_points(group="console_scripts")}
    for program, *arguments in SERVICES[name].commands:
        assert program.startswith(PROGRAMS)
        if (program := program.removeprefix(PROGRAMS)) == "python":
            assert arguments[0] == "-m"
            assert find_spec(arguments[1])
        else:
            assert program in scripts


def test_the_worker_is_started_with_options_that_prefect_has() -> None:
    (command,) = [each for each in WORKER.commands if "worker" in each]
    options = {word for word in command if word.startswith("--")}
    said = subprocess.run(
        [sys.executable, "-m", "prefect", "worker", "start", "--help"],
        capture_output=True, text=True, check=True, env={**os.environ, "COLUMNS": "200"},
    ).stdout  # fmt: skip
    assert {option for option in options if option not in said} == set()
    assert command[command.index("--pool") + 1] == "${MODELFLIGHT_WORK_POOL}"
    # Both mean the same worker, or it does not find what it left.
    before = next(each for each in WORKER.commands if "deployments.up.before_worker" in each)
    assert before[-1] == command[command.index("--name") + 1]


@pytest.mark.parametrize("name", UNITS)
def test_units_that_a_unit_names_are_there(name: str) -> None:
    keys = ("After", "Wants", "PartOf", "JoinsNamespaceOf", "WantedBy", "Also")
    named = {word for key in keys for word in UNITS[name].words(key) if word.startswith("modelflight")}
    assert {each for each in named if each.replace("@1.", "@.") not in UNITS} == set()


def test_enabling_the_target_enables_all_that_can_be_enabled() -> None:
    also = {each.replace("@1.", "@.") for each in UNITS["modelflight.target"].words("Also")}
    assert also == {name for name, unit in UNITS.items() if "modelflight.target" in unit.words("WantedBy")}
    # What does not stop with the target is what the timer starts, and that ends by itself.
    stopped = {name for name, unit in UNITS.items() if "modelflight.target" in unit.words("PartOf")}
    assert set(UNITS) - stopped == {"modelflight.target", "modelflight-deploy.service"}
    assert DEPLOY.settings["Type"] == ["oneshot"]
    assert "modelflight-deploy.timer" in UNITS


def test_somebody_reads_each_variable_that_is_set() -> None:
    names = {name for unit in SERVICES.values() for name in unit.environment} | set(RELEASES)
    assert {name for name in names if not is_read(name)} == set()


def test_files_of_settings_are_shipped_or_told_of() -> None:
    needed = {value for unit in SERVICES.values() for value in unit.settings.get("EnvironmentFile", ())}
    assert needed == {
        "/etc/modelflight/releases.env", "-/etc/modelflight/server.env", "-/etc/modelflight/receiver.env"
    }  # fmt: skip
    assert all(Path(each).name in README for each in needed)
    assert (FOLDER / "releases.env").exists()


@pytest.mark.parametrize("name", OF_RELEASES)
def test_flow_runs_have_the_same_settings_whoever_starts_them(name: str) -> None:
    unit = SERVICES[name]
    assert unit.settings["EnvironmentFile"] == ["/etc/modelflight/releases.env"]
    assert unit.environment == {}
    assert unit.settings["User"] == ["modelflight"]
    assert RELEASES["HOME"] == RELEASES["MODELFLIGHT_HOME"] == "/var/lib/modelflight"
    assert unit.settings["StateDirectory"] == ["modelflight"]
    assert RELEASES["PATH"].startswith(PROGRAMS.rstrip("/"))  # the work pool names its program python


def test_flow_runs_have_the_settings_of_modelflight_up(installation: Installation) -> None:
    wanted = worker_environment(installation)
    elsewhere = {"PATH", VARIABLE, "PYTEST_CURRENT_TEST"}
    assert {name: RELEASES.get(name) for name in wanted if name not in elsewhere} == {
        name: value for name, value in wanted.items() if name not in elsewhere
    }
    assert set(RELEASES) - set(wanted) == {"HOME"}


def test_the_server_has_the_settings_of_modelflight_up(installation: Installation) -> None:
    wanted = server_environment(installation)
    own = {name for name in wanted if name.startswith(("PREFECT_SERVER_", "PREFECT_UI_URL", "DO_NOT"))}
    paths = {"PREFECT_SERVER_UI_STATIC_DIRECTORY"}
    found = SERVER.environment
    assert own <= set(found)
    assert {name: found[name] for name in own - paths} == {name: wanted[name] for name in own - paths}
    assert found["PREFECT_HOME"] == found["HOME"] == f"%S/{SERVER.settings['StateDirectory'][0]}"
    host, port = found["PREFECT_SERVER_API_HOST"], found["PREFECT_SERVER_API_PORT"]
    assert f"http://{host}:{port}/api" == RELEASES["PREFECT_API_URL"]


def test_the_receiver_has_what_it_needs_and_no_file_of_the_others(installation: Installation) -> None:
    wanted = receiver_environment(installation)
    found = RECEIVER.environment
    assert found == {name: wanted[name] for name in found}
    assert {name for name in wanted if name.startswith("MODELFLIGHT_")} <= set(found)
    assert RECEIVER.settings["EnvironmentFile"] == ["-/etc/modelflight/receiver.env"]
    assert "StateDirectory" not in RECEIVER.settings


def test_the_warm_process_listens_where_flow_runs_ask_for_it() -> None:
    (command,) = WARM.commands
    assert command[-1] == f"${{{VARIABLE}}}"
    assert RELEASES[VARIABLE] == f"/run/{WARM.settings['RuntimeDirectory'][0]}/warm.socket"
    assert WARM.settings["RuntimeDirectoryMode"] == ["0700"]


def test_the_worker_and_the_warm_process_see_the_same_temporary_folders() -> None:
    # The worker makes the folder that a flow run works in, and the warm process enters it.
    assert WORKER.words("JoinsNamespaceOf") == [WARM.name]
    assert WARM.name in WORKER.words("After")
    assert WORKER.settings["PrivateTmp"] == WARM.settings["PrivateTmp"] == ["yes"]


def test_releases_that_are_interrupted_go_on_afterwards() -> None:
    assert WORKER.settings["KillMode"] == ["mixed"]
    assert WARM.name in WORKER.words("PartOf")  # a restart of it stops the worker first, which then resumes
    assert [each[2] for each in WORKER.commands if each[1] == "-m"] == ["deployments.up.before_worker"]


@pytest.mark.parametrize("name", [name for name in SERVICES if name != DEPLOY.name])
def test_services_start_again_whatever_ends_them(name: str) -> None:
    assert SERVICES[name].settings["Restart"] == ["always"]
    assert SERVICES[name].settings["StartLimitIntervalSec"] == ["0"]


@pytest.mark.parametrize("name", OF_RELEASES)
def test_one_services_end_takes_nothing_from_another_of_the_same_user(name: str) -> None:
    assert "RemoveIPC" not in SERVICES[name].settings  # joblib's semaphores belong to the user


def test_a_step_that_takes_all_memory_ends_alone() -> None:
    assert WORKER.settings["OOMPolicy"] == WARM.settings["OOMPolicy"] == ["continue"]


@pytest.mark.parametrize("name", SERVICES)
def test_every_service_is_confined(name: str) -> None:
    assert DROP_IN.name == "modelflight-.service.d"  # what systemd looks in for names that begin so
    unit: Unit = SERVICES[name]
    for key in ("NoNewPrivileges", "ProtectHome", "PrivateTmp", "RestrictSUIDSGID"):
        assert unit.settings[key] == ["yes"]
    assert unit.settings["ProtectSystem"] == ["strict"]
    assert unit.settings["CapabilityBoundingSet"] == [""]
    assert unit.settings["UMask"] == ["0077"]
    assert unit.settings.get("User", ["root"]) != ["root"] or unit.settings["DynamicUser"] == ["yes"]

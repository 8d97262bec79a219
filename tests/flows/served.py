"""Deployments of the release flow with a real process worker, and what a person does in Prefect's pages."""

import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deployments.up.api import Api
from deployments.up.start_run import VARIABLE
from tests.deployments.up.running import descendants, processes
from tests.prefect_api import ask, request
from tests.repositories import TOP, Repositories

_PATIENCE = 240  # seconds; a flow's process starts within ten on an idle machine
_PAUSE = 0.3


@dataclass(frozen=True)
class Served:
    """A Prefect API with a worker that takes runs of the work pool `pool`."""

    api: str
    pool: str

    def deploy(self, repositories: Repositories, home: Path, model: str = "small", **environment: str) -> str:
        """A deployment of `model`, as `modelflight deploy` makes it; returns its id.

        MODELFLIGHT_HOME of its runs is `home`.
        """
        flow = self._post("flows/", {"name": "release-model"})["id"]
        body = {
            "name": f"{repositories.notebooks.parent.name}.{model}",
            "flow_id": flow,
            "entrypoint": "flows.release_model.release_model",
            "work_pool_name": self.pool,
            "parameters": {
                "repository": str(repositories.notebooks),
                "branch": "main",
                "commit": "main",
                "model": model,
            },
            "concurrency_limit": 1,
            "concurrency_options": {"collision_strategy": "ENQUEUE"},
            "job_variables": {"env": {"MODELFLIGHT_HOME": str(home), **environment}},
            "tags": ["modelflight", f"model:{model}"],
        }
        return str(self._post("deployments/", body)["id"])

    def start(self, deployment: str, **parameters: Any) -> str:
        """Starts a run as a person or the receiver does; returns its id."""
        body = {"parameters": parameters, "state": {"type": "SCHEDULED"}}
        return str(self._post(f"deployments/{deployment}/create_flow_run", body)["id"])

    def schedule(self, deployment: str, *, seconds: float, **parameters: Any) -> None:
        """Lets the deployment start by itself, in intervals."""
        rule = {"interval": seconds, "anchor_date": "2020-01-01T00:00:00Z", "timezone": "UTC"}
        schedule = {"schedule": rule, "active": True, "parameters": parameters}
        self._post(f"deployments/{deployment}/schedules", [schedule])

    def scheduled(self, deployment: str, state: str) -> str:
        """The first run that a schedule made and that has come to a state with this name."""
        wanted = {
            "flow_runs": {"deployment_id": {"any_": [deployment]}, "state": {"name": {"any_": [state]}}},
            "sort": "EXPECTED_START_TIME_ASC",
        }
        deadline = time.monotonic() + _PATIENCE
        while time.monotonic() < deadline:
            if found := self._post("flow_runs/filter", wanted):
                return str(found[0]["id"])
            time.sleep(_PAUSE)
        raise AssertionError(f"no scheduled run was {state}")

    def pause(self, deployment: str) -> None:
        """Stops the deployment's schedule."""
        self._post(f"deployments/{deployment}/pause_deployment", {})

    def run(self, run: str) -> Mapping[str, Any]:
        """The run as the API tells it."""
        found: Mapping[str, Any] = ask("GET", f"{self.api}/flow_runs/{run}")
        return found

    def wait(self, run: str, *names: str) -> Mapping[str, Any]:
        """Waits until the run's state has one of these names; raises when it ended with another."""
        deadline = time.monotonic() + _PATIENCE
        while time.monotonic() < deadline:
            state: Mapping[str, Any] = self.run(run)["state"]
            if state["name"] in names:
                return state
            if state["type"] in ("COMPLETED", "FAILED", "CRASHED", "CANCELLED"):
                break
            time.sleep(_PAUSE)
        raise AssertionError(f"wanted {names}, found {state['name']}: {state['message']}\n{self.log(run)}")

    def has_left(self, run: str) -> bool:
        """Whether the worker is done with the run: after a crash it may set its state twice."""
        event = {"name": ["prefect.worker.executed-flow-run"]}
        wanted = {"filter": {"event": event, "related": {"id": [f"prefect.flow-run.{run}"]}}}
        return bool(self._post("events/filter", wanted)["events"])

    def log(self, run: str) -> str:
        """What the run logged."""
        wanted = {"logs": {"flow_run_id": {"any_": [run]}}, "sort": "TIMESTAMP_ASC"}
        return "\n".join(entry["message"] for entry in self._post("logs/filter", wanted))

    def steps(self, run: str) -> dict[str, int]:
        """How often each of the run's steps ran: a step whose result was found did not."""
        found, before = self._logged_steps(run), None
        while found != before:  # records are sent every two seconds
            time.sleep(3)
            found, before = self._logged_steps(run), found
        return found

    def _logged_steps(self, run: str) -> dict[str, int]:
        wanted = {"logs": {"flow_run_id": {"any_": [run]}}, "sort": "TIMESTAMP_ASC"}
        names = {task["id"]: task["name"] for task in self.tasks(run)}
        ran: dict[str, int] = {}
        for entry in self._post("logs/filter", wanted):
            if entry["message"].endswith(": started") and entry["task_run_id"]:
                name = names[entry["task_run_id"]]
                ran[name] = ran.get(name, 0) + 1
        return ran

    def tasks(self, run: str) -> list[Mapping[str, Any]]:
        """The run's task runs."""
        found: list[Mapping[str, Any]] = self._post(
            "task_runs/filter", {"task_runs": {"flow_run_id": {"any_": [run]}}}
        )
        return found

    def question(self, run: str) -> tuple[str, Mapping[str, Any]]:
        """What a suspended run asks: the text of its form and the form's schema."""
        keys = self.run(run)["state"]["state_details"]["run_input_keyset"]
        text, schema = (self._input(run, keys[part]) for part in ("description", "schema"))
        return text, schema

    def _input(self, run: str, key: str) -> Any:
        """Prefect keeps the form after it has let the run be suspended."""
        deadline = time.monotonic() + _PATIENCE
        while time.monotonic() < deadline:
            answer = request("GET", f"{self.api}/flow_runs/{run}/input/{key}")
            if answer.status_code != 404:
                return answer.raise_for_status().json()
            time.sleep(_PAUSE)
        raise AssertionError(f"the run has no {key}")

    def answer(self, run: str, **form: Any) -> str:
        """Sends the form of a suspended run, or resumes it without; returns ACCEPT or REJECT."""
        body = {"run_input": form} if form else {}
        return str(self._post(f"flow_runs/{run}/resume", body)["status"])

    def retry(self, run: str) -> None:
        """What the button Retry does."""
        state = {"type": "SCHEDULED", "name": "AwaitingRetry", "message": "Retry from the pages"}
        answer = self._set(run, state)
        assert answer["status"] == "ACCEPT", answer

    def cancel(self, run: str) -> None:
        """What the button Cancel does."""
        answer = self._set(run, {"type": "CANCELLING", "name": "Cancelling"})
        # Where no process has to be ended, Prefect sets Cancelled in place of what was asked for.
        ended = answer["status"] == "REJECT" and answer["state"]["type"] == "CANCELLED"
        assert ended or answer["status"] == "ACCEPT", answer

    def _set(self, run: str, state: Mapping[str, Any]) -> Mapping[str, Any]:
        body = {"state": state, "force": True}
        answer: Mapping[str, Any] = self._post(f"flow_runs/{run}/set_state", body)
        return answer

    def artifact(self, key: str) -> str:
        """The newest artifact of that key."""
        return str(ask("GET", f"{self.api}/artifacts/{key}/latest")["data"])

    def _post(self, path: str, body: Mapping[str, Any]) -> Any:
        return ask("POST", f"{self.api}/{path}", body)


def _environment(api: str, folder: Path) -> dict[str, str]:
    """What the worker whose files lie below `folder` is started with, and hands on to its runs."""
    return os.environ | {
        "PREFECT_API_URL": api,
        "PREFECT_HOME": str(folder / "prefect"),
        "PREFECT_WORKER_QUERY_SECONDS": "1",
        "PREFECT_WORKER_HEARTBEAT_SECONDS": "2",
        "PREFECT_RUNNER_POLL_FREQUENCY": "1",
        "GIT_CONFIG_GLOBAL": os.devnull,
        VARIABLE: str(folder / "warm" / "socket"),
        # The worker starts `python`.
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
    }


@contextmanager
def serving(api: str, folder: Path) -> Iterator[Served]:
    """A worker with a work pool of its own and a warm process, as `modelflight up` starts them.

    What they write lies below `folder`.
    """
    pool, environment = f"pool-{secrets.token_hex(4)}", _environment(api, folder)
    with closing(Api(api, None)) as prefect:
        prefect.ensure_pool(pool)
    with (
        _part(["deployments.up.warm", environment[VARIABLE]], environment, folder / "warm.log") as warm,
        _part(
            ["prefect", "worker", "start", "--pool", pool, "--type", "process"],
            environment,
            folder / "worker.log",
        ) as worker,
    ):
        _until(lambda: Path(environment[VARIABLE]).is_socket(), warm, folder / "warm.log")
        _until(lambda: _is_ready(api, pool), worker, folder / "worker.log")
        yield Served(api, pool)


@contextmanager
def _part(command: list[str], environment: Mapping[str, str], log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A process, which is ended with all that it started."""
    with log.open("wb") as file:
        process = subprocess.Popen(
            [sys.executable, "-m", *command], cwd=TOP, env=environment, stdout=file, stderr=file
        )
    try:
        yield process
    finally:
        _end(process)


def _end(part: subprocess.Popen[bytes]) -> None:
    """Prefect's worker may wait for a run that nobody will end."""
    started = descendants(part.pid)
    part.terminate()
    try:
        part.wait(10)
    except subprocess.TimeoutExpired:
        part.kill()
        part.wait()
    for process in started & set(processes()):
        with suppress(ProcessLookupError):
            os.kill(process, signal.SIGKILL)


def _is_ready(api: str, pool: str) -> bool:
    answer = request("GET", f"{api}/work_pools/{pool}")
    return bool(answer.is_success and answer.json()["status"] == "READY")


def _until(condition: Callable[[], bool], part: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + _PATIENCE
    while time.monotonic() < deadline and part.poll() is None:
        if condition():
            return
        time.sleep(_PAUSE)
    raise RuntimeError(f"It did not start:\n{log.read_text()[-4000:]}")

"""Kubeflow Pipelines 2.17 for tests: its API with its oddities, the bit of Kubernetes behind it, and trouble.

A run moves one state on each time it is read. As in the real one, the Workflow is made before the run is
written, so that trouble in between leaves a Workflow without a run.
"""

import json
import re
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs

EPOCH = "1970-01-01T00:00:00Z"
NOW = "2037-11-23T20:36:45Z"  # its clock is wrong by years
PROXY = "/api/v1/namespaces/kubeflow/services/http:ml-pipeline:8888/proxy"
LOGIN = b"<!doctype html><html><form action='/dex/auth'><input name=login></form></html>"
LAST = ("SUCCEEDED", "FAILED", "CANCELED")
KNOWN = {"run_id", "display_name", "description", "pipeline_spec", "runtime_config", "experiment_id"}


@dataclass(frozen=True)
class Refusal(Exception):
    """An answer that ends a request; code 13 hides its reason from `details`."""

    status: int
    code: int
    message: str
    detailed: bool = True

    def document(self) -> dict[str, Any]:
        short = "Internal Server Error" if self.code == 13 else self.message
        kind = "type.googleapis.com/google.rpc.Status"
        details = [{"@type": kind, "code": self.code, "message": short}] if self.detailed else None
        whole = {"code": self.code, "message": f"Failed: InternalServerError: {self.message}"}
        return {**whole, "details": details} if details else whole


@dataclass
class Kubeflow:
    """What it holds and how it misbehaves; all of it may be changed while it runs."""

    # The states that a run takes as it is read; it keeps the last one. DELETED: somebody deletes it.
    moves: list[str] = field(default_factory=lambda: ["PENDING", "RUNNING", "SUCCEEDED"])
    failing: str = ""  # the step that fails where the run does
    token: str = ""  # the bearer token that is wanted
    cookie: str = ""  # the cookie that is
    renewed_cookie: str = ""  # what is answered with it, and wanted from then on
    log: str = "Traceback:\nValueError: no wine"
    pods_remain: bool = True

    # For the next requests of these methods: a status, or one of `html`, `truncated`, `absent`, `cut` (before
    # anything is done), `killed` (between Workflow and run), `lost` (the answer is).
    trouble: list[tuple[str, int | str]] = field(default_factory=list)

    runs: dict[str, dict[str, Any]] = field(default_factory=dict)
    workflows: dict[str, str] = field(default_factory=dict)  # names, and their label pipeline/runid
    requests: list[tuple[str, str]] = field(default_factory=list)
    created: list[dict[str, Any]] = field(default_factory=list)  # bodies
    authorizations: list[str] = field(default_factory=list)
    address: str = ""

    def made(self, method: str, part: str = "") -> int:
        """How many requests with this method and this part in their path came."""
        return sum(each == method and part in path for each, path in self.requests)

    def kubeconfig(self) -> str:
        return json.dumps(
            {
                "current-context": "fake",
                "contexts": [{"name": "fake", "context": {"cluster": "fake", "user": "ada"}}],
                "clusters": [{"name": "fake", "cluster": {"server": self.address}}],
                "users": [{"name": "ada", "user": {"token": self.token or "unchecked"}}],
            }
        )


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    kubeflow: Kubeflow

    def handle_any(self) -> None:
        self.path, _, query = self.path.partition("?")
        self.query = {key: values[0] for key, values in parse_qs(query).items()}
        self.body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        kubeflow = self.kubeflow
        kubeflow.requests.append((self.command, self.path))
        kubeflow.authorizations.append(self.headers.get("Authorization", ""))
        self.trouble = next((what for method, what in kubeflow.trouble if method == self.command), None)
        if self.trouble is not None:
            kubeflow.trouble.remove((self.command, self.trouble))
        try:
            self._authorize()
            self._misbehave()
            self._answer(self._route())
        except Refusal as refusal:
            self._answer(refusal.document(), refusal.status)

    do_GET = do_POST = do_DELETE = do_PUT = handle_any  # noqa: N815

    def _authorize(self) -> None:
        kubeflow = self.kubeflow
        if kubeflow.token and self.headers.get("Authorization") != f"Bearer {kubeflow.token}":
            raise Refusal(401, 16, "Request header error: there is no user identity header")
        if kubeflow.cookie and kubeflow.cookie not in self.headers.get("Cookie", "").split("; "):
            self.trouble = "html"

    def _misbehave(self) -> None:
        match self.trouble:
            case int() as status:
                raise Refusal(status, {429: 8, 501: 12}.get(status, 13), "as it was told", detailed=False)
            case "cut":
                self._cut()
            case "absent":  # as before somebody else made it
                raise Refusal(404, 5, "Run not found")
            case "html":  # a proxy's, which asks nobody behind it
                raise Refusal(200, 0, "")

    def _cut(self) -> None:
        self.connection.shutdown(2)
        raise ConnectionAbortedError

    def _route(self) -> Any:
        path = self.path.removeprefix(PROXY)
        one = r"/apis/v2beta1/runs/(?P<run_id>[^/:]+)"
        workflows = "/apis/argoproj.io/v1alpha1/namespaces/kubeflow/workflows"
        routes = {
            ("GET", r"/apis/v2beta1/healthz"): lambda: {"tag_name": "2.17.0"},
            ("GET", r"/apis/v2beta1/runs"): self._list,
            ("POST", r"/apis/v2beta1/runs"): self._create,
            ("GET", one): self._get,
            ("POST", f"{one}:terminate"): self._terminate,
            ("POST", f"{one}:retry"): self._retry,
            ("GET", workflows): self._workflows,
            ("DELETE", rf"{workflows}/(?P<name>.+)"): lambda name: self.kubeflow.workflows.pop(name) and {},
            ("GET", r"/api/v1/namespaces/kubeflow/pods"): self._pods,
            ("GET", r"/api/v1/namespaces/kubeflow/pods/(?P<pod>[^/]+)/log"): self._log,
        }
        known = False
        for (method, pattern), respond in routes.items():
            if match := re.fullmatch(pattern, path):
                known = True
                if method == self.command:
                    return respond(**match.groupdict())
        if known:
            raise Refusal(501, 12, "Method Not Allowed", detailed=False)
        raise Refusal(404, 5, "Not Found", detailed=False)

    # Runs

    def _create(self) -> Any:
        body = self._json()
        self.kubeflow.created.append(body)
        for unknown in sorted(body.keys() - KNOWN):
            raise Refusal(400, 3, f'proto: (line 1:2): unknown field "{unknown}"', detailed=False)
        if not body.get("display_name"):
            raise Refusal(500, 13, "Run name cannot be empty")
        if not body.get("pipeline_spec"):
            raise Refusal(500, 13, "empty pipeline spec manifest")
        spec = _spec(body)
        if "root" not in spec:
            raise Refusal(500, 13, "unknown template format: pipeline spec is invalid")
        self._check_parameters(spec, body.get("runtime_config", {}).get("parameters", {}))
        run_id = body["run_id"]
        self.kubeflow.workflows[f"wine-{len(self.kubeflow.workflows)}"] = run_id
        if self.trouble == "killed":
            self._cut()
        if len(body["display_name"]) > 255:
            raise Refusal(500, 13, "Data too long for column 'DisplayName' at row 1")
        if run_id in self.kubeflow.runs:
            raise Refusal(500, 13, f"Duplicate entry '{run_id}' for key 'PRIMARY'")
        self.kubeflow.runs[run_id] = {
            "experiment_id": "bec9",
            **body,
            "storage_state": "AVAILABLE",
            "service_account": "pipeline-runner",
            "created_at": NOW,
            "scheduled_at": NOW,
            "finished_at": EPOCH,
            "state": "PENDING",
            "state_history": [{"update_time": NOW, "state": "PENDING"}],
        }
        if self.trouble == "lost":
            self._cut()
        return self.kubeflow.runs[run_id]

    def _check_parameters(self, spec: Mapping[str, Any], given: Mapping[str, Any]) -> None:
        declared = spec["root"].get("inputDefinitions", {}).get("parameters", {})
        for name, value in given.items():
            if name not in declared:
                why = f"parameter(s) provided are not required by pipeline: {name}"
                raise Refusal(400, 3, why)
            is_number = isinstance(value, int | float) and not isinstance(value, bool)
            if declared[name]["parameterType"] == "NUMBER_INTEGER" and not is_number:
                raise Refusal(400, 3, f"input parameter {name} requires type double or integer")

    def _list(self) -> Any:
        runs = [*self.kubeflow.runs.values()]
        return {"runs": runs, "total_size": len(runs)} if runs else {}

    def _run(self, run_id: str) -> dict[str, Any]:
        if run_id not in self.kubeflow.runs:
            raise Refusal(404, 5, f"Run {run_id} not found")
        return self.kubeflow.runs[run_id]

    def _get(self, run_id: str) -> Any:
        run = self._run(run_id)
        if self.kubeflow.moves:
            state = self.kubeflow.moves.pop(0)
            if state == "DELETED":
                del self.kubeflow.runs[run_id]
                run = self._run(run_id)
            self._move(run, state)
        return {**run, "run_details": {"task_details": self._tasks(run)}}

    def _move(self, run: dict[str, Any], state: str) -> None:
        if run["state_history"][-1]["state"] != state:
            run["state_history"].append({"update_time": NOW, "state": state})
        run["state"] = state
        run["finished_at"] = NOW if state in LAST else EPOCH

    def _tasks(self, run: Mapping[str, Any]) -> list[dict[str, Any]]:
        """As the persistence agent reports them: entries without a name or a state among them."""
        names, state = list(_spec(run)["root"]["dag"]["tasks"]), run["state"]
        history = [{"update_time": NOW}]
        tasks = [
            {"run_id": run["run_id"], "task_id": "0", "display_name": "root", "state_history": history},
            {"run_id": run["run_id"], "task_id": "1", "display_name": "executor", "state": "SKIPPED"},
            {"run_id": run["run_id"], "task_id": "2", "child_tasks": [{"pod_name": "wine-0-9"}]},
        ]
        for name in names if state != "PENDING" else []:
            task = {"run_id": run["run_id"], "task_id": name, "display_name": name, "create_time": NOW}
            if state == "FAILED" and name == self.kubeflow.failing:
                return [*tasks, {**task, "state": "FAILED", "start_time": NOW, "end_time": NOW}]
            if state != "FAILED" or self.kubeflow.failing:
                done = "SUCCEEDED" if state in LAST else "RUNNING"
                end = "2037-11-23T20:36:51Z" if state in LAST else EPOCH
                tasks.append({**task, "state": done, "start_time": NOW, "end_time": end})
        return tasks

    def _terminate(self, run_id: str) -> Any:
        run = self._run(run_id)
        if run["state"] in (*LAST, "CANCELING"):
            raise Refusal(400, 3, f"Failed to terminate a run {run_id}. Row not found")
        run["state"] = "CANCELING"  # its history follows later
        self.kubeflow.moves[:] = ["CANCELING", "FAILED"]
        return {}

    def _retry(self, run_id: str) -> Any:
        if self._run(run_id)["state"] != "FAILED":
            raise Refusal(409, 10, "Workflow must be Failed/Error to retry")
        self.kubeflow.moves[:0] = ["RUNNING"]
        return {}

    # Kubernetes

    def _workflows(self) -> Any:
        wanted = self.query["labelSelector"].removeprefix("pipeline/runid=")
        names = [name for name, label in self.kubeflow.workflows.items() if label == wanted]
        return {"items": [{"metadata": {"name": name}} for name in names]}

    def _pods(self) -> Any:
        named = re.fullmatch(r"workflows\.argoproj\.io/workflow in \((.+)\)", self.query["labelSelector"])
        if not named or not self.kubeflow.pods_remain:
            return {"items": []}
        failing = self.kubeflow.failing
        nodes = {
            f"{failing}-driver": "Succeeded",
            "load.executor": "Succeeded",
            f"{failing}.executor": "Failed",
        }
        return {"items": [_pod(f"{named[1]}-{each}", node, nodes[node]) for each, node in enumerate(nodes)]}

    def _log(self, pod: str) -> Any:
        if self.query["container"] != "main" or not pod.endswith("-2"):
            raise Refusal(404, 5, "no such container")
        return "\n".join(self.kubeflow.log.splitlines()[-int(self.query["tailLines"]) :])

    # Answers

    def _json(self) -> dict[str, Any]:
        try:
            return dict(json.loads(self.body))
        except ValueError:
            raise Refusal(400, 3, "invalid character '}' looking for beginning of value", False) from None

    def _answer(self, document: Any, status: int = 200) -> None:
        kind, content = "application/json", json.dumps(document).encode()
        if isinstance(document, str):
            kind, content = "text/plain", document.encode()
        if self.trouble == "html":
            kind, content = "text/html; charset=utf-8", LOGIN
        if self.trouble == "truncated":
            content = content[: len(content) // 2]
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        if self.kubeflow.renewed_cookie and self.trouble != "html":
            self.send_header("Set-Cookie", f"{self.kubeflow.renewed_cookie}; Path=/; HttpOnly")
            self.kubeflow.cookie = self.kubeflow.renewed_cookie
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_arguments: object) -> None:
        """Says nothing."""


def _spec(body: Mapping[str, Any]) -> dict[str, Any]:
    """The spec of a pipeline that is inline, with or without what belongs to the platform."""
    return dict(body["pipeline_spec"].get("pipeline_spec", body["pipeline_spec"]))


def _pod(name: str, node: str, phase: str) -> dict[str, Any]:
    annotations = {"workflows.argoproj.io/node-name": f"wine.root.{node}"}
    return {"metadata": {"name": name, "annotations": annotations}, "status": {"phase": phase}}


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_arguments: object) -> None:
        """Says nothing of connections that were cut, by whichever side."""


@contextmanager
def running(kubeflow: Kubeflow) -> Iterator[Kubeflow]:
    """Serves `kubeflow` on a port of 127.0.0.1, which `kubeflow.address` then names."""
    handler = type("Handler", (_Handler,), {"kubeflow": kubeflow})
    with _Server(("127.0.0.1", 0), handler) as server:
        kubeflow.address = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        try:
            yield kubeflow
        finally:
            server.shutdown()
            thread.join()

"""The testbed itself: nothing is left behind, nothing is half built, and what is missing is said."""

import os
import platform
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest

from tests.system.testbed import cache, namespace, preflight, programs
from tests.system.testbed.component import Component, ComponentFailed

ROOT = Path(__file__).parents[2]
PATIENCE = 60  # seconds until a test gives up waiting; nothing is measured by it


def wait_until(condition, what):
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.05)


def launch(tmp_path, *command, **options):
    """A process of its own that runs `command` in namespaces below those of the tests."""
    script = "import sys; from tests.system.testbed import namespace; sys.exit(namespace.run(sys.argv[1:]))"
    environment = os.environ | {"PYTHONPATH": str(ROOT), "TMPDIR": str(tmp_path)}
    return subprocess.Popen([sys.executable, "-c", script, *command], env=environment, **options)


def states(tmp_path):
    return list(tmp_path.glob("modelflight-testbed-*"))


class TestNamespace:
    def test_gives_the_status_of_the_command(self, tmp_path):
        assert launch(tmp_path, "sh", "-c", "exit 7").wait() == 7
        assert states(tmp_path) == []

    def test_a_command_has_its_own_network_processes_home_and_state(self, tmp_path):
        script = f"ip -br link; echo $HOME $TMPDIR ${namespace.STATE}; touch /run/x /var/lib/x"
        with launch(tmp_path, "sh", "-c", script, stdout=subprocess.PIPE, text=True) as process:
            shown = process.communicate()[0].splitlines()
        assert [line.split()[0] for line in shown if "LOOPBACK" in line] == ["lo"]
        home, temporary, state = shown[-1].split()
        assert (home, temporary) == (f"{state}/home", f"{state}/tmp")
        assert not Path("/run/x").exists()
        assert not Path("/var/lib/x").exists()

    @pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
    def test_ended_from_outside_leaves_no_process_file_or_cgroup(self, tmp_path, number):
        process = launch(tmp_path, "sh", "-c", "setsid sleep 98765 & sleep 98765")
        sleepers = ["pgrep", "-f", "^sleep 98765$"]
        wait_until(lambda: len(subprocess.run(sleepers, capture_output=True).stdout.split()) == 2, "it runs")
        (state,) = states(tmp_path)
        hierarchies = [namespace.CGROUPS]
        if not (namespace.CGROUPS / "cgroup.procs").exists():  # version 1: one for each controller
            hierarchies = [
                folder for folder in namespace.CGROUPS.iterdir() if (folder / "cgroup.procs").exists()
            ]
        inner = [hierarchy / state.name / "pods" for hierarchy in hierarchies]
        for folder in inner:
            folder.mkdir(parents=True)
        process.send_signal(number)
        process.wait()
        wait_until(
            lambda: not states(tmp_path) and not namespace.cgroups(state), "state and cgroups are gone"
        )
        assert subprocess.run(sleepers, capture_output=True).stdout == b""

    def test_orphans_are_buried(self, tmp_path):
        script = "(sleep 0.1 &) ; sleep 0.5; grep -h '^State:' /proc/[0-9]*/status"
        with launch(tmp_path, "sh", "-c", script, stdout=subprocess.PIPE, text=True) as process:
            assert "zombie" not in process.communicate()[0]

    def test_a_door_leads_from_outside_to_the_same_port_inside(self, tmp_path):
        script = (
            "import asyncio, sys, threading\n"
            "from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer\n"
            "from tests.system.testbed import door\n"
            "server = ThreadingHTTPServer(('127.0.0.1', 0), SimpleHTTPRequestHandler)\n"
            "threading.Thread(target=server.serve_forever, daemon=True).start()\n"
            "listener = door.listen(server.server_port, int(sys.argv[1]))\n"
            "async def main():\n"
            "    serving = await door.hold_open(listener)\n"
            "    print(server.server_port, flush=True)\n"
            "    await serving.serve_forever()\n"
            "asyncio.run(main())\n"
        )
        outer = (
            "import os, sys; from tests.system.testbed import door, namespace; n = door.outside();"
            "sys.exit(namespace.run([sys.executable, '-c', sys.argv[1], str(n)], inherited=[n]))"
        )
        with subprocess.Popen(
            [sys.executable, "-c", outer, script],
            env=os.environ | {"PYTHONPATH": str(ROOT), "TMPDIR": str(tmp_path)},
            stdout=subprocess.PIPE,
            text=True,
        ) as process:
            port = int(process.stdout.readline())
            assert "Directory listing" in httpx.get(f"http://127.0.0.1:{port}/").text
            process.terminate()
        with socket.socket() as probe:
            assert probe.connect_ex(("127.0.0.1", port))


class Server(Component):
    name = "server"

    def __init__(self, folder, script, ready=lambda: True):
        super().__init__(folder)
        self._script, self._ready = script, ready

    def command(self):
        return ["sh", "-c", self._script]

    def is_ready(self):
        return self._ready()


class TestComponent:
    def test_one_that_dies_shows_its_last_words(self, tmp_path):
        server = Server(tmp_path, "echo the port is taken >&2; exit 4", ready=lambda: False).start()
        with pytest.raises(ComponentFailed, match=r"(?s)server ended with exit status 4.*the port is taken"):
            server.wait()

    def test_one_that_never_answers_is_told_apart_from_a_dead_one(self, tmp_path, monkeypatch):
        server = Server(tmp_path, "echo still loading; exec sleep 60", ready=lambda: False).start()
        server.wait_for(lambda: server.log.stat().st_size > 0, "loading")
        monkeypatch.setattr(Server, "ready_within", 0.2)
        with pytest.raises(ComponentFailed, match=r"(?s)server is not ready after.*still loading"):
            server.wait()
        server.stop()

    def test_one_that_ignores_the_polite_way_is_ended(self, tmp_path):
        server = Server(tmp_path, "trap '' TERM; echo up; while :; do sleep 0.1; done")
        server.start().wait_for(lambda: server.log.stat().st_size > 0, "up")
        server.stop(within=0.2)
        assert not server.is_running

    def test_starting_again_keeps_the_log(self, tmp_path):
        server = Server(tmp_path, "echo started; exec sleep 60")
        for starts in (1, 2):
            server.start().wait_for(lambda: server.log.read_text() == "started\n" * starts, "up")  # noqa: B023
            server.kill()


class TestCache:
    @pytest.fixture(autouse=True)
    def _folder(self, tmp_path, monkeypatch):
        monkeypatch.setenv("MODELFLIGHT_TESTBED_CACHE", str(tmp_path))

    def test_a_build_that_was_killed_leaves_no_entry_and_the_next_one_succeeds(self, tmp_path):
        script = (
            "import os, signal; from tests.system.testbed import cache\n"
            "def make(folder):\n"
            "    (folder / 'half').write_text('half'); os.kill(os.getpid(), signal.SIGKILL)\n"
            "cache.obtain('etcd', 'v1', make)"
        )
        killed = subprocess.run([sys.executable, "-c", script], env=os.environ | {"PYTHONPATH": str(ROOT)})
        assert killed.returncode == -signal.SIGKILL
        assert not cache.entry("etcd", "v1").exists()
        made = cache.obtain("etcd", "v1", lambda folder: (folder / "whole").touch())
        assert [file.name for file in made.iterdir()] == ["whole"]

    def test_two_that_want_the_same_build_it_once(self, tmp_path):
        script = (
            "import pathlib, time; from tests.system.testbed import cache\n"
            "def make(folder):\n"
            "    with open(pathlib.Path.cwd() / 'builds', 'a') as builds: builds.write('x')\n"
            "    time.sleep(0.5)\n"
            "cache.obtain('etcd', 'v1', make)"
        )
        both = [
            subprocess.Popen(
                [sys.executable, "-c", script], cwd=tmp_path, env=os.environ | {"PYTHONPATH": str(ROOT)}
            )
            for _ in range(2)
        ]
        assert [process.wait() for process in both] == [0, 0]
        assert (tmp_path / "builds").read_text() == "x"

    def test_old_versions_go(self):
        for version in range(4):
            made = cache.obtain("etcd", f"v{version}", lambda folder: (folder / "etcd").touch())
            os.utime(made, (version, version))
        assert sorted(found.name for found in made.parent.iterdir()) == [".lock", "v2", "v3"]

    def test_a_program_that_does_not_compile_is_named_with_the_compilers_words(self, tmp_path, monkeypatch):
        module = tmp_path / "programs" / "broken"
        module.mkdir(parents=True)
        (module / "go.mod").write_text(
            "module testbed\ngo 1.24\nrequire example.com/broken v1.0.0\ntool example.com/broken\n"
        )
        (module / "go.sum").touch()
        monkeypatch.setattr(programs, "PROGRAMS", module.parent)
        monkeypatch.setenv("GOPROXY", "off")
        with pytest.raises(
            programs.BuildFailed, match=r"broken v1.0.0 cannot be built:\n.*example.com/broken"
        ):
            programs.build([programs.Program("broken", "example.com/broken")], print)
        assert not any(entry.name.startswith("v1") for entry in (tmp_path / "broken").iterdir())


class TestPreflight:
    def test_a_machine_that_ran_these_tests_has_everything(self, monkeypatch):
        assert [*preflight.problems(), *preflight.kernel_problems()] == []

    def test_everything_that_is_missing_is_said_at_once(self, monkeypatch, tmp_path):
        monkeypatch.setattr(os, "geteuid", lambda: 1000)
        monkeypatch.setattr(platform, "release", lambda: "4.9.0-12-amd64")
        monkeypatch.setenv("PATH", str(tmp_path))
        monkeypatch.setattr(shutil, "disk_usage", lambda folder: shutil._ntuple_diskusage(1, 1, 1 << 20))
        shown = "\n".join(preflight.problems())
        for wanted in (
            'sudo env PATH="$PATH" make test-system',
            "4.9.0-12-amd64 is too old",
            "go.dev/dl",
            "0.0 GiB free",
        ):
            assert wanted in shown

    def test_a_folder_that_cannot_carry_an_overlay_is_named(self, monkeypatch):
        monkeypatch.setenv("TMPDIR", "/var/lib")  # an overlay itself, in these namespaces
        assert any("overlayfs cannot be mounted in /var/lib" in told for told in preflight.kernel_problems())

    def test_a_folder_that_is_not_there_is_named(self, monkeypatch, tmp_path):
        monkeypatch.setenv("TMPDIR", str(tmp_path / "no such folder"))
        [told] = preflight.kernel_problems()
        assert "no such folder cannot be written to: No such file or directory" in told

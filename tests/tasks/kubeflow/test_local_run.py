"""Pipelines that really run on this machine, and what they must not touch, leave behind or wait for."""

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from uuid import UUID, uuid4

import pytest

from tasks.errors import NotSupported, StepFailed
from tasks.kubeflow import local_run
from tasks.kubeflow.local_run import FinishedRun, run_pipeline
from tests.tasks.kubeflow.pipelines import a, pipeline

TOP = Path(__file__).parents[3]
ID = UUID("12345678-1234-5678-1234-567812345678")


def test_a_run_keeps_to_its_folder_and_leaves_nothing_running(tmp_path, monkeypatch):
    user = tmp_path / "user"
    (user / "home").mkdir(parents=True)
    monkeypatch.setenv("HOME", str(user / "home"))
    monkeypatch.setenv("IPYTHONDIR", str(user / "ipython"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(user / "cache"))
    monkeypatch.setenv("MPLBACKEND", "TkAgg")
    monkeypatch.setenv("PREFECT_API_KEY", "pnu_secret")
    monkeypatch.setenv("MODELFLIGHT_HOME", str(user))
    monkeypatch.setenv("KEPT", "kept")
    here, token = Path.cwd(), f"left-behind-{uuid4().hex}"
    stale = tmp_path / "runs" / str(ID)
    (stale / "steps/load-step/read-only").mkdir(parents=True)
    (stale / "steps/load-step/read-only").chmod(0o500)
    (stale / "run.json").write_text('{"identity": "another", "files": [], "metrics": {}}')
    shared = [Path("/tmp/marshal"), Path("/tmp/mlpipeline-metrics.json")]
    before = [path.stat().st_mtime_ns if path.exists() else None for path in shared]
    load = (
        "import os, sys, subprocess\n"
        "weather = {'HOME': os.environ['HOME'], 'cwd': os.getcwd(), 'ppid': os.getppid()}\n"
        "os.chdir('/'); os.environ['LEAKED'] = 'yes'; sys.path.append('/leaked')\n"
        "for _ in range(50):\n    print('x' * (1 << 20))",
        "%matplotlib inline\nlines = !echo from the shell\n%env MAGIC=worked\n"
        "assert lines == ['from the shell'] and os.environ['MAGIC'] == 'worked'\n"
        "from IPython.display import display, HTML\ndisplay(HTML('<b>'), {1: 2})",
        "import matplotlib.pyplot as plt\nplt.plot([1]); plt.show()\n"
        "plt.savefig(weather['HOME'] + '/figure.png')",
        # In the background: a child, one with a session of its own, a fork that keeps what it inherited.
        f"subprocess.Popen(['sh', '-c', 'exec sleep 600 #{token}'])\n"
        f"subprocess.Popen(['sh', '-c', 'sleep 600; : {token}'], start_new_session=True)\n"
        "if os.fork() == 0:\n    os.setsid()\n"
        f"    if os.fork() == 0:\n        os.execvp('sh', ['sh', '-c', 'sleep 600; : {token}'])\n"
        "    import time; time.sleep(600)",
    )
    train = (
        "import os, subprocess, sys\n"
        "assert os.environ['KEPT'] == 'kept'\n"
        "assert not [name for name in os.environ if name.startswith(('PREFECT_', 'MODELFLIGHT_'))]\n"
        "assert 'LEAKED' not in os.environ and '/leaked' not in sys.path\n"
        "assert os.getcwd() == os.environ['HOME'] != weather['HOME'] == weather['cwd']\n"
        # Processes come and go meanwhile, which cat does not mind.
        "others = 'for p in /proc/[0-9]*; do [ $p = /proc/$0 ] || cat $p/cmdline 2>/dev/null; done'\n"
        "running = subprocess.run(['sh', '-c', others, str(os.getpid())], capture_output=True).stdout\n"
        f"assert {token!r}.encode() not in running and b'python' in running\n"
        "model = {'weather': weather}\nscore = 0.5\nmodel",
    )
    ir = pipeline(
        tmp_path / "ir.yaml",
        a("load", *load, leaves=("weather",)),
        a("train", *train, takes={"weather": "load"}, leaves=("model",), metrics=("score",)),
    )
    lines: list[str] = []

    trained = run_pipeline(ir, ID, tmp_path / "runs", identity="this", progress=lines.append)

    assert trained.metrics == {"score": 0.5}
    assert trained.files == ("model.dillpkl",)
    assert (trained.directory / "model.dillpkl").stat().st_size > 0
    assert [re.sub(r"[\d.]+ s", "N s", line) for line in lines] == [
        "load-step ...",
        "load-step done in N s",
        "train-step ...",
        "train-step done in N s",
    ]
    assert stale.stat().st_mode & 0o777 == 0o700
    assert not (stale / "steps/load-step/read-only").exists()
    assert (stale / "steps/load-step/home/figure.png").exists()
    assert (stale / "steps/load-step/log.txt").stat().st_size > 50 << 20
    assert "{1: 2}" in (stale / "steps/load-step/log.txt").read_text()[-5000:]
    assert before == [path.stat().st_mtime_ns if path.exists() else None for path in shared]
    assert Path.cwd() == here
    assert [path for path in user.rglob("*") if "ipython" in str(path)] == []
    assert processes(token) == []

    monkeypatch.setattr(sys, "executable", "/nonexistent")  # nothing can start any more
    assert run_pipeline(ir, ID, tmp_path / "runs", identity="this", progress=lines.append) == trained
    assert lines[-1] == "already done, kept from the earlier run"


def test_a_failing_cell_is_named_with_its_exception_and_the_notebooks_traceback(tmp_path):
    ir = pipeline(tmp_path / "ir.yaml", a("train", "def halve(x):\n    return 1 / x", "y = 3\nhalve(y - y)"))
    with pytest.raises(StepFailed) as caught:
        run_pipeline(ir, ID, tmp_path / "runs", identity="i")
    error = caught.value
    assert error.what == "The notebook's step 'train' failed: ZeroDivisionError: division by zero"
    assert error.where == "small.ipynb, cell 3"
    assert "----> 2 halve(y - y)" in error.why
    assert "----> 2     return 1 / x" in error.why
    assert "Cell In[3], line 2" in error.why
    assert "Cell In[2], line 2, in halve(x)" in error.why
    assert "step_process" not in error.why
    assert "interactiveshell" not in error.why
    assert "\x1b" not in error.why
    assert f"{tmp_path}/runs/{ID}/steps/train-step/log.txt" in error.next_step


# Runs every step of a plan and tells how each failed, where a run would stop at the first.
EVERY_STEP = """
import json, sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from tasks.kubeflow import step_process
run = Path(sys.argv[1])
step_process.control(step_process._PR_SET_CHILD_SUBREAPER, 1)
import kale.marshal, kfp.dsl.executor
for step in json.loads((run / "plan.json").read_text()):
    print(json.dumps([step["name"], step_process.run_step(step, run)]), flush=True)
"""

FAILURES = {
    "exit_zero": ("import sys\nsys.exit(0)", "SystemExit: 0", True),
    "exit_three": ("import sys\nsys.exit(3)", "SystemExit: 3", True),
    "quits": ("exit()", "SystemExit: ", True),
    "asks": ("name = input('name? ')", "EOFError: EOF when reading a line", True),
    "no_python": ("x = (", "SyntaxError: ", True),
    "interrupts": ("raise KeyboardInterrupt", "KeyboardInterrupt: ", True),
    "unshowable": (
        "class Odd(Exception):\n    def __str__(self): return 1 / 0\nraise Odd",
        "Odd: its message cannot be shown",
        True,
    ),
    "talkative": ("raise ValueError('long' * 1_000_000)", "ValueError: longlong", True),
    "leaves_early": ("import os\nos._exit(0)", "The step ended early, with exit code 0.", False),
    "leaves_with_ours": ("import os\nos._exit(3)", "The step ended early, with exit code 3.", False),
    "killed": ("import os\nos.kill(os.getpid(), 9)", "The step was killed by SIGKILL.", False),
    "segfaults": ("import ctypes\nctypes.string_at(0)", "The step was killed by SIGSEGV.", False),
    "real_time": ("import os\nos.kill(os.getpid(), 40)", "The step was killed by signal 40.", False),
    "terminated": ("print('last words')\nimport os\nos.kill(os.getpid(), 15)", "killed by SIGTERM", False),
    "closes_all": ("import os\nos.closerange(0, 3)\n1 / 0", "ZeroDivisionError: division by zero", True),
}


def test_however_a_step_fails_it_says_how_and_a_step_that_ends_early_has_failed(tmp_path):
    steps = [a(name, cell) for name, (cell, _, _) in FAILURES.items()]
    steps.append(a("unpicklable", "weights = (n for n in range(3))", leaves=("weights",)))
    steps.append(a("odd_metric", "score = [1]", metrics=("score",)))
    ir = pipeline(tmp_path / "ir.yaml", *steps)
    local_run._prepare(tmp_path, local_run.read_ir(ir))
    done = subprocess.run(
        [sys.executable, "-c", EVERY_STEP, str(tmp_path), str(TOP)],
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    failures = {name.removesuffix("-step"): told for name, told in map(json.loads, done.stdout.splitlines())}
    assert None not in failures.values()

    found = {
        name: [error in failures[name]["error"], "# small.ipynb, cell 2" in failures[name]["block"]]
        for name, (_, error, _) in FAILURES.items()
    }
    assert found == {name: [True, in_cell] for name, (_, _, in_cell) in FAILURES.items()}
    assert max(len(told["error"]) for told in failures.values()) <= 1000
    assert max(len(told["traceback"]) for told in failures.values()) < 30_000
    assert "last words" in failures["terminated"]["traceback"]
    assert "The variable 'weights' cannot be handed from step to step" in failures["unpicklable"]["error"]
    assert "generator" in failures["unpicklable"]["error"]
    assert "The metric 'score' is of type list" in failures["odd_metric"]["error"]
    assert "float(...)" in failures["odd_metric"]["error"]


def test_runs_at_once_do_not_meet_and_the_same_run_is_made_once(tmp_path):
    cells = "import os, time, uuid\ntime.sleep(1)\nmodel = uuid.uuid4().hex\nopen('here', 'x').close()"
    ir = pipeline(tmp_path / "ir.yaml", a("train", cells, leaves=("model",)))
    ids = [ID, ID, uuid4()]
    lines: list[list[str]] = [[], [], []]

    def run(number: int) -> FinishedRun:
        return run_pipeline(ir, ids[number], tmp_path / "runs", identity="i", progress=lines[number].append)

    with ThreadPoolExecutor(3) as pool:
        results = list(pool.map(run, range(3)))
    models = [(result.directory / "model.dillpkl").read_bytes() for result in results]
    assert results[0] == results[1]
    assert models[0] == models[1] != models[2]
    waited = ["waiting for another release with the same run", "already done, kept from the earlier run"]
    assert waited in lines[:2]
    assert lines[2][0] == "train-step ..."
    assert (tmp_path / "runs").stat().st_mode & 0o777 == 0o700


@pytest.fixture
def sleeper(tmp_path) -> tuple[Path, str]:
    """A pipeline whose step waits with processes beside it until the file `go` is there, and its token."""
    token = f"beside-{uuid4().hex}"
    cell = (
        "import os, subprocess, time\nmodel = 1\n"
        f"if not os.path.exists({str(tmp_path / 'go')!r}):\n"
        f"    subprocess.Popen(['sh', '-c', 'sleep 600; : {token}'], start_new_session=True)\n"
        f"    subprocess.Popen(['sh', '-c', 'sleep 600; : {token}'])\n"
        f"    open({str(tmp_path / 'started')!r}, 'w').write(str(os.getpid()))\n"
        "    time.sleep(600)"
    )
    return pipeline(tmp_path / "ir.yaml", a("train", cell, leaves=("model",))), token


# Shells start what is in their background deaf to SIGINT, and it stays so.
PARENT = """
import signal, sys, uuid
from pathlib import Path
signal.signal(signal.SIGINT, signal.default_int_handler)
sys.path.insert(0, sys.argv[3])
from tasks.kubeflow.local_run import run_pipeline
run_pipeline(Path(sys.argv[1]), uuid.UUID(sys.argv[4]), Path(sys.argv[2]), identity="i")
"""


def start_parent(ir: Path, runs: Path) -> subprocess.Popen[bytes]:
    arguments = [sys.executable, "-c", PARENT, str(ir), str(runs), str(TOP), str(ID)]
    return subprocess.Popen(arguments, stderr=subprocess.DEVNULL)


def test_nothing_outlives_a_killed_release_and_its_repeat_succeeds(sleeper, tmp_path):
    ir, token = sleeper
    parent = start_parent(ir, tmp_path / "runs")
    wait_for((tmp_path / "started").exists)
    assert len(processes(token)) >= 2
    parent.kill()
    parent.wait()
    (tmp_path / "go").touch()

    trained = run_pipeline(ir, ID, tmp_path / "runs", identity="i")  # at once: it waits for the lock

    assert trained.files == ("model.dillpkl",)
    assert processes(token) == []
    assert processes(str(tmp_path / "runs")) == []


def test_ctrl_c_ends_the_steps_and_what_they_started(sleeper, tmp_path):
    ir, token = sleeper
    parent = start_parent(ir, tmp_path / "runs")
    wait_for((tmp_path / "started").exists)
    parent.send_signal(signal.SIGINT)
    assert parent.wait(120) != 0
    assert processes(token) == []
    assert processes(str(tmp_path / "runs")) == []


def test_the_death_of_the_runner_is_told_by_its_signal(sleeper, tmp_path):
    ir, token = sleeper

    def kill_runner() -> None:
        wait_for((tmp_path / "started").exists)
        for pid in processes("step_process.py", str(tmp_path / "runs")):
            if pid != int((tmp_path / "started").read_text()):
                os.kill(pid, signal.SIGKILL)

    thread = threading.Thread(target=kill_runner)
    thread.start()
    with pytest.raises(StepFailed, match="died") as caught:
        run_pipeline(ir, ID, tmp_path / "runs", identity="i")
    thread.join()
    assert "killed by SIGKILL" in caught.value.why
    assert caught.value.next_step
    wait_for(lambda: len(processes(token)) <= 1)
    for pid in processes(token):  # what left the process group is out of reach then
        assert os.getsid(pid) == pid
        os.killpg(pid, signal.SIGKILL)


@pytest.mark.parametrize(
    ("package", "said"),
    [
        ("no-such-package-anywhere==1.0", "which is not installed here"),
        ("pyyaml==1.0", "is installed here"),
        ("pyyaml>=99", "is installed here"),
        ("file:///wheel.whl", "does not name an installed package"),
    ],
)
def test_a_missing_or_other_package_is_refused_before_anything_starts(package, said, tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "executable", "/nonexistent")
    ir = pipeline(tmp_path / "ir.yaml", a("train", "1"), packages=("kfp>=2.0.0", package))
    with pytest.raises(NotSupported, match=said) as caught:
        run_pipeline(ir, ID, tmp_path / "runs", identity="i")
    assert caught.value.where == "/nonexistent"
    assert caught.value.next_step
    assert not (tmp_path / "runs").exists()


def test_a_package_for_another_system_is_not_asked_for(tmp_path):
    ir = pipeline(tmp_path / "ir.yaml", a("train", "1"), packages=('pywin32==306; sys_platform == "win32"',))
    local_run._check_packages(local_run.read_ir(ir))
    assert local_run.read_ir(ir)[0].packages == ('pywin32==306; sys_platform == "win32"',)


def processes(*texts: str) -> list[int]:
    """Processes whose command line holds all of `texts`, without zombies and this one."""
    found = []
    for folder in each_process():
        try:
            command = (folder / "cmdline").read_bytes()
        except OSError:
            continue
        if all(text.encode() in command for text in texts) and int(folder.name) != os.getpid():
            found.append(int(folder.name))
    return found


def each_process() -> Iterator[Path]:
    return Path("/proc").glob("[0-9]*")


def wait_for(condition: Callable[[], bool], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.05)

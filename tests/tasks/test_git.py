import os
import pickle
import subprocess
import sys
import threading
import traceback
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from tasks.errors import AddressInvalid, NotSupported, RepositoryRefused, RepositoryUnreachable
from tasks.git import git_at, partial, quiet_environment, reaching, spoken, unreachable

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def _nobody_configured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")
    for name in ("GIT_SSH", "GIT_SSH_COMMAND", "GIT_CONFIG_COUNT"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def locked_server() -> Iterator[str]:
    """The address of a server that wants a password for everything."""

    class Locked(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(401)
            self.send_header("WWW-Authenticate", 'Basic realm="fleet"')
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *arguments: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Locked) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def program(path: Path, script: str) -> str:
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return str(path)


def shown(error: BaseException) -> str:
    return "".join(traceback.format_exception(error)) + repr(error)


def test_nobody_is_asked_for_a_password(
    locked_server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = tmp_path / "asked"
    ask = program(tmp_path / "ask", f"touch {asked}; echo secret")
    config = tmp_path / "gitconfig"
    config.write_text(f"[core]\n askPass = {ask}\n")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(config))
    monkeypatch.setenv("GIT_ASKPASS", ask)
    monkeypatch.setenv("SSH_ASKPASS", ask)
    address = f"http://{locked_server}/fleet.git"
    with pytest.raises(RepositoryRefused, match="terminal prompts disabled"), reaching(address, "No."):
        git_at(tmp_path).ls_remote(address)
    assert not asked.exists()


def test_a_credential_helper_is_used_and_its_answer_not_shown(
    locked_server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    helper = program(tmp_path / "helper", f"touch {tmp_path}/helped; echo username=ada; echo password=s3cret")
    config = tmp_path / "gitconfig"
    config.write_text(f"[credential]\n helper = {helper}\n")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(config))
    address = f"http://{locked_server}/fleet.git"
    with (
        pytest.raises(RepositoryRefused, match="Authentication failed") as caught,
        reaching(address, "No."),
    ):
        git_at(tmp_path).ls_remote(address)
    assert (tmp_path / "helped").exists()
    assert "s3cret" not in shown(caught.value)


def test_an_address_with_a_credential_is_shown_without_it(tmp_path: Path, locked_server: str) -> None:
    address = f"http://ada:s3cret@{locked_server}/fleet.git?token=s3cret"
    with pytest.raises(RepositoryRefused) as caught, reaching(address, "The clone failed."):
        git_at(tmp_path).clone("--", address, str(tmp_path / "clone"))
    error = caught.value
    assert error.what == "The clone failed."
    assert error.where == f"http://***@{locked_server}/fleet.git?***"
    assert locked_server in error.why
    assert "s3cret" not in shown(error)
    assert str(pickle.loads(pickle.dumps(error))) == str(error)


def test_a_token_that_git_puts_into_the_address_is_not_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tmp_path / "gitconfig"
    config.write_text('[url "http://s3cret@127.0.0.1:1/"]\n insteadOf = https://git.example.com/\n')
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(config))
    with pytest.raises(RepositoryUnreachable) as caught, reaching("https://git.example.com/x.git", "No."):
        git_at(tmp_path).ls_remote("https://git.example.com/x.git")
    assert "127.0.0.1" in caught.value.why
    assert "s3cret" not in shown(caught.value)


def test_ssh_does_not_prompt_and_the_users_command_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = tmp_path / "log"
    ssh = program(tmp_path / "ssh", f'echo "$0 $@" >> {log}; exit 255')
    config = tmp_path / "gitconfig"
    config.write_text(f"[core]\n sshCommand = {ssh} -i configured\n")

    def said_to_ssh() -> str:
        log.unlink(missing_ok=True)
        with pytest.raises(RepositoryUnreachable), reaching("ssh://host/x.git", "No."):
            git_at(tmp_path).ls_remote("ssh://host/x.git")
        return log.read_text().splitlines()[-1]

    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    assert "-o BatchMode=yes" in said_to_ssh()
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(config))
    assert "-i configured -o BatchMode=yes" in said_to_ssh()
    monkeypatch.setenv("GIT_SSH_COMMAND", f"{ssh} -i environment")
    assert "-i environment -o BatchMode=yes" in said_to_ssh()


def test_a_program_named_for_ssh_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ssh = program(tmp_path / "own-ssh", f"touch {tmp_path}/called; exit 255")
    monkeypatch.setenv("GIT_SSH", ssh)
    with pytest.raises(RepositoryUnreachable), reaching("ssh://host/x.git", "No."):
        git_at(tmp_path).ls_remote("ssh://host/x.git")
    assert (tmp_path / "called").exists()


def test_an_address_runs_no_program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = tmp_path / "gitconfig"
    config.write_text('[protocol "ext"]\n allow = always\n')
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(config))
    address = f"ext::touch {tmp_path}/ran"
    with pytest.raises(AddressInvalid, match="remote helper"), reaching(address, "No."):
        git_at(tmp_path).ls_remote(address)
    # What Git itself comes across, in a redirect or a submodule, does not pass GitPython's check.
    with pytest.raises(RepositoryRefused, match="not allowed"), reaching(address, "No."):
        git_at(tmp_path).execute(["git", "ls-remote", address])
    assert not (tmp_path / "ran").exists()


def test_settings_in_the_environment_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"COUNT": "1", "KEY_0": "user.name", "VALUE_0": "Ada"}.items():
        monkeypatch.setenv(f"GIT_CONFIG_{name}", value)
    git = git_at(tmp_path)
    assert git.config("user.name") == "Ada"
    assert git.config("protocol.ext.allow") == "never"


@pytest.mark.parametrize("count", ["", "0"])
def test_an_empty_count_of_settings_is_none(count: str) -> None:
    assert quiet_environment({"GIT_CONFIG_COUNT": count}) == quiet_environment({})


def test_other_errors_pass_through() -> None:
    with pytest.raises(KeyError), reaching("x", "No."):
        raise KeyError("x")


@pytest.mark.parametrize("use", ["git_at(Path('.'))", "reaching('x', 'No.').__enter__()"])
def test_a_machine_without_git_is_told_so(use: str, tmp_path: Path) -> None:
    script = (
        "from pathlib import Path\n"
        "from tasks.errors import NotSupported\n"
        "from tasks.git import git_at, reaching\n"
        f"try:\n    {use}\nexcept NotSupported as error:\n    print(error.what)\n"
    )
    environment = {"PATH": str(tmp_path), "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True)
    assert done.stdout == "The program `git` was not found.\n", done.stderr


def test_git_that_goes_away_is_told_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    git = git_at(tmp_path)
    monkeypatch.setattr(type(git), "GIT_PYTHON_GIT_EXECUTABLE", "no-such-git")
    with pytest.raises(NotSupported), reaching("x", "No."):
        git.version()


def test_messages_are_trimmed_for_people() -> None:
    stderr = (
        "Cloning into bare repository '/tmp/x'...\n"
        "remote: Not today.  \x1b[K\nremote: \nremote:   indented\x1b[31m\n"
        "fatal: unable to access 'https://a:b@x/': no\r\n"
    )
    assert spoken(stderr) == "Not today.\n  indented\nfatal: unable to access 'https://***@x/': no"


@pytest.mark.parametrize(
    "sequence",
    [
        "\x1b[1;31m",
        "\x1b[?25l",
        "\x1b[2 q",
        "\x1b]0;title\x07",
        "\x1b]8;;https://evil.example.com\x1b\\",
        "\x1bPq#0\x1b\\",
        "\x1bc",
        "\x1b(B",
        "\x9b31m",
        "\x9d0;title\x9c",
        "\x80",
        "\x9fx\x9c",
        "\x07",
        "\x1b",
    ],
)
def test_nothing_that_a_terminal_acts_on_is_left(sequence: str) -> None:
    assert spoken(f"remote: a{sequence}\u00e9b") == "a\u00e9b"


@pytest.mark.parametrize(
    ("stderr", "lasting"),
    [
        ("fatal: repository '/x' does not exist", True),
        ("fatal: '/x' does not appear to be a git repository\nfatal: Could not read from remote.", True),
        ("fatal: repository 'https://h/x/' not found", True),
        ("ERROR: Repository not found.\nfatal: Could not read from remote repository.", True),
        ("fatal: Authentication failed for 'https://h/x/'", True),
        ("fatal: could not read Username for 'https://h': terminal prompts disabled", True),
        ("git@h: Permission denied (publickey).\nfatal: Could not read from remote repository.", True),
        ("Host key verification failed.", True),
        ("fatal: unable to access 'https://h/x/': The requested URL returned error: 403", True),
        ("fatal: unable to access 'https://h/x/': The requested URL returned error: 502", False),
        ("fatal: unable to access 'https://h/x/': Could not resolve host: h", False),
        ("ssh: connect to host h port 22: Connection timed out", False),
        (
            "fatal: Could not read from remote repository.\n\nPlease make sure you have the correct access "
            "rights\nand the repository exists.",
            False,
        ),
        ("fatal: the remote end hung up unexpectedly", False),
    ],
)
def test_only_what_can_change_by_itself_is_tried_again(stderr: str, lasting: bool) -> None:
    error = unreachable("https://a:b@h/x", "No.", stderr)
    assert isinstance(error, RepositoryRefused if lasting else RepositoryUnreachable)
    assert error.retryable is not lasting
    assert error.where == "https://***@h/x"


def test_no_variable_that_binds_git_to_a_repository_is_handed_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    named = subprocess.run(
        ["git", "rev-parse", "--local-env-vars"], capture_output=True, text=True, check=True
    )
    names = [name for name in named.stdout.split() if not name.startswith("GIT_CONFIG_")]
    for name in names:
        monkeypatch.setenv(name, str(tmp_path / "nowhere"))
    handed_on = git_at(tmp_path).execute(["env"])
    assert "GIT_DIR" in names
    assert [name for name in names if f"{name}=" in str(handed_on)] == []


@pytest.mark.parametrize(
    ("address", "filters"),
    [
        ("https://git.example.com/a.git", True),
        ("ssh://git@git.example.com/a.git", True),
        ("git@git.example.com:a.git", True),
        ("/srv/a.git", False),
        ("../a:b.git", False),
        ("file:///srv/a.git", False),
    ],
)
def test_only_clones_over_the_network_leave_contents_behind(address: str, filters: bool) -> None:
    assert bool(partial(address)) is filters

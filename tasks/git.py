"""Running Git through GitPython: it never waits for a person, and its messages carry no credentials."""

import base64
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from tasks.address import redact
from tasks.errors import AddressInvalid, NotSupported, RepositoryRefused, RepositoryUnreachable
from tasks.keyring import held

if TYPE_CHECKING:
    from git import Git

# What terminals act on (ECMA-48, section 5): CSI sequences, strings like OSC, other escapes, single controls.
_CONTROL = re.compile(
    r"(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]"
    r"|(?:\x1b[\]PX^_]|[\x90\x98\x9d-\x9f])[^\x07\x1b\x9c]*(?:\x07|\x1b\\|\x9c)?"
    r"|\x1b[ -/]*[0-~]"
    r"|[\x00-\x08\x0b-\x1f\x7f-\x9f]"
)

# ext:: addresses run any program; garbage collection in the background would outlive temporary directories.
_CONFIG = {"protocol.ext.allow": "never", "gc.auto": "0"}

# A Git hook that starts us names its own repository in these, and our commands would work on that one.
# GitPython hands on our whole environment and can only add to it, so they go out of our own; an empty GIT_DIR
# is not the same as none. (See `git rev-parse --local-env-vars`; settings in GIT_CONFIG_* are kept.)
_OF_ANOTHER_REPOSITORY = (
    "GIT_DIR",
    "GIT_WORK_TREE",
    "GIT_IMPLICIT_WORK_TREE",
    "GIT_COMMON_DIR",
    "GIT_INDEX_FILE",
    "GIT_OBJECT_DIRECTORY",
    "GIT_ALTERNATE_OBJECT_DIRECTORIES",
    "GIT_CONFIG",
    "GIT_NAMESPACE",
    "GIT_PREFIX",
    "GIT_INTERNAL_SUPER_PREFIX",
    "GIT_SHALLOW_FILE",
    "GIT_GRAFT_FILE",
    "GIT_REPLACE_REF_BASE",
    "GIT_NO_REPLACE_OBJECTS",
)

# What Git says, untranslated, when trying again cannot help.
_LASTING = re.compile(
    r"repository '.*' does not exist|does not appear to be a git repository|not a git repository"
    r"|dubious ownership|repository .*not found|could not be found|authentication failed|permission denied"
    r"|access denied|could not read (?:username|password)|host key verification failed|not allowed"
    r"|returned error: 40[134]",
    re.IGNORECASE,
)


def git_at(directory: Path) -> "Git":
    """GitPython's command runner for `directory`, set up so that Git fails where it would ask.

    Credential helpers, ssh keys and the user's own ssh command keep working.

    Raises:
        NotSupported: there is no `git` on the PATH.
    """
    for name in _OF_ANOTHER_REPOSITORY:
        os.environ.pop(name, None)
    try:
        from git import Git
    except ImportError:  # GitPython looks for the program when it is imported
        raise _no_git() from None
    git = Git(directory)
    git.update_environment(**quiet_environment(os.environ))
    default = "" if "GIT_SSH" in os.environ else "ssh"
    ssh = os.environ.get("GIT_SSH_COMMAND") or git.config("--default", default, "--get", "core.sshCommand")
    if ssh:
        git.update_environment(GIT_SSH_COMMAND=f"{ssh} -o BatchMode=yes")
    return git


def quiet_environment(inherited: Mapping[str, str]) -> dict[str, str]:
    """What to set on top of `inherited` so that Git does not prompt, and speaks untranslated English.

    The logins of the keyring are among it.
    """
    settings = {
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_ASKPASS": "",  # empty also switches off core.askPass and SSH_ASKPASS, which unset would not
        "LC_ALL": "C",
        "LANGUAGE": "C",
    }
    first = int(inherited.get("GIT_CONFIG_COUNT") or 0)
    config = {**_CONFIG, **_authorization()}
    for number, (key, value) in enumerate(config.items(), start=first):
        settings |= {f"GIT_CONFIG_KEY_{number}": key, f"GIT_CONFIG_VALUE_{number}": value}
    return settings | {"GIT_CONFIG_COUNT": str(first + len(config))}


def _authorization() -> dict[str, str]:
    """Git settings with the keyring's logins; in the environment of Git alone, not among its arguments."""
    return {
        f"http.{address}.extraHeader": "Authorization: Basic "
        + base64.b64encode(f"{login.user}:{login.password}".encode()).decode()
        for address, login in held().git.items()
    }


def partial(address: str) -> tuple[str, ...]:
    """Arguments that let a clone of `address` leave file contents on the server until they are needed.

    None for repositories of this machine: they cost little, and a working copy that is itself shallow, as CI
    systems make them, would send Git's fetching of missing objects into an endless recursion of processes.
    """
    scheme, separator, _ = address.partition("://")
    host, colon, _ = address.partition(":")
    remote = scheme != "file" if separator else bool(colon) and "/" not in host  # host:path is ssh
    return ("--filter=blob:none",) if remote else ()


@contextmanager
def reaching(address: str, what: str) -> Iterator[None]:
    """Turns what GitPython raises inside into the error tree; `what` is the sentence that failed.

    Raises:
        RepositoryUnreachable: a git command failed; `why` is what Git said, without credentials.
        RepositoryRefused: it failed, and would fail again: no such repository, or not for this credential.
        AddressInvalid: GitPython takes the address for one that runs a program.
        NotSupported: there is no `git` on the PATH.
    """
    try:
        from git.exc import GitCommandError, GitCommandNotFound, UnsafeProtocolError
    except ImportError:
        raise _no_git() from None
    try:
        yield
    except GitCommandNotFound:
        raise _no_git() from None
    except UnsafeProtocolError:
        raise AddressInvalid(
            "The repository address cannot be used.",
            where=redact(address),
            why="It names a Git remote helper, which can run any program.",
            next_step="Use a path, or an https://, ssh:// or file:// address.",
        ) from None
    except GitCommandError as error:
        # `from None`: the original names the whole command line.
        raise unreachable(address, what, said(error)) from None


def unreachable(address: str, what: str, why: str) -> RepositoryRefused | RepositoryUnreachable:
    """The error for Git's message `why`: RepositoryUnreachable when trying again may help.

    `address` and `why` may still carry credentials.
    """
    if _LASTING.search(why):
        return RepositoryRefused(
            what,
            where=redact(address),
            why=spoken(why),
            next_step="Correct the address, or give Git a credential that may use it; try `git ls-remote` "
            "with this address.",
        )
    return RepositoryUnreachable(
        what,
        where=redact(address),
        why=spoken(why),
        next_step="Check the network and the address (`git ls-remote` with this address), then try again.",
    )


def said(error: Exception) -> str:
    """What Git wrote to standard error, out of the frame that GitPython puts around it; not redacted."""
    return str(getattr(error, "stderr", "")).removeprefix("\n  stderr: '").removesuffix("'")


def spoken(stderr: str) -> str:
    """Git's messages for people: `remote:` prefixes and terminal codes trimmed, credentials redacted."""
    lines = (_CONTROL.sub("", line).rstrip() for line in stderr.splitlines())
    trimmed = (line.removeprefix("remote:").removeprefix(" ") for line in lines)
    return redact("\n".join(line for line in trimmed if line and not line.startswith("Cloning into ")))


def _no_git() -> NotSupported:
    return NotSupported(
        "The program `git` was not found.",
        where="PATH",
        next_step="Install Git 2.34 or newer, or set GIT_PYTHON_GIT_EXECUTABLE to it.",
    )

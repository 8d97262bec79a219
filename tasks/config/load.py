"""Reading `modelflight.yaml`: either a `Project`, or every problem in the file at once."""

import errno
from pathlib import Path

import yaml
from pydantic import ValidationError

from tasks.config.composer import syntax_problem
from tasks.config.diagnosis import diagnose, repetitions
from tasks.config.document import read_document
from tasks.config.problem import Problem
from tasks.errors import ConfigInvalid
from tasks.files import read_inside
from tasks.model import Project

FILE_NAME = "modelflight.yaml"

_LARGEST = 1024 * 1024  # bytes
_MOST_SHOWN = 100


def load_project(path: Path) -> Project:
    """The project at `path`: a `modelflight.yaml`, or the folder that holds it.

    Raises:
        ConfigInvalid: missing, unreadable, no regular file of its folder, over 1 MiB, not UTF-8, or has
            problems (see `parse_project`).
    """
    file = path / FILE_NAME if path.is_dir() else path
    content = _content(file)
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise _invalid(file.name, [Problem(line, "not UTF-8; save the file in this encoding")]) from None
    return parse_project(text, file.name)


def parse_project(text: str, name: str) -> Project:
    """The project that `text` describes; `name` is what messages call the file.

    Raises:
        ConfigInvalid: `why` has one `name:line: key.path: message` a line, for every problem in `text`; none
            repeats a value of the file.
    """
    if len(text) > _LARGEST:
        raise _too_large(name)
    try:
        document = read_document(text)
    except yaml.YAMLError as error:
        raise _invalid(name, [syntax_problem(error, text)]) from None
    problems = [*document.problems, *repetitions(document)]
    try:
        project = Project.model_validate(document.value)
    except ValidationError as error:
        problems += diagnose(error, document)
    if problems:
        raise _invalid(name, problems)
    return project


def _content(file: Path) -> bytes:
    try:
        return read_inside(file.parent, file.name, _LARGEST)
    except FileNotFoundError:
        raise ConfigInvalid(
            f"There is no {FILE_NAME}.",
            where=str(file),
            next_step="Run `modelflight init` to write one, or name the folder that holds it.",
        ) from None
    except OSError as error:
        if error.errno == errno.EFBIG:
            raise _too_large(str(file)) from None
        raise ConfigInvalid(
            f"{file.name} cannot be read.",
            where=str(file),
            why=f"{error.strerror}.",
            next_step="Commit it as a plain file that you may read.",
        ) from None


def _too_large(where: str) -> ConfigInvalid:
    return ConfigInvalid(
        f"{FILE_NAME} is larger than 1 MiB.",
        where=where,
        next_step="Name the right file, or split the project into several notebook repositories.",
    )


def _invalid(name: str, problems: list[Problem]) -> ConfigInvalid:
    problems = sorted(problems, key=lambda problem: problem.line)
    lines = [problem.render(name) for problem in problems[:_MOST_SHOWN]]
    if len(problems) > _MOST_SHOWN:
        lines.append(f"and {len(problems) - _MOST_SHOWN} more")
    count = "1 problem" if len(problems) == 1 else f"{len(problems)} problems"
    return ConfigInvalid(
        f"{name} has {count}.",
        where=name,
        why="\n".join(lines),
        next_step="Correct these lines and try again.",
    )

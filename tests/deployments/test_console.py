"""What reaches a terminal, and what a program reads."""

import json
import math
from pathlib import Path

import pytest

from deployments import console
from tasks.errors import ModelflightError


@pytest.mark.parametrize(
    "hostile",
    ["\x1b]0;pwned\x07", "\x1b]8;;http://evil.example\x1b\\", "\x1b[2J", "\x9b2J", "\x07", "\r", "\x1b(0"],
)
def test_nothing_from_outside_moves_the_terminal(hostile: str, capsys: pytest.CaptureFixture[str]) -> None:
    console.emit_error(ModelflightError(f"what{hostile}", why=f"first{hostile}\nsecond{hostile}"), "text")
    console.emit({}, f"result{hostile}", "text")
    shown = capsys.readouterr()
    for stream in (shown.out, shown.err):
        assert not [character for character in stream if ord(character) < 32 and character != "\n"]
        assert "\x9b" not in stream
    assert "pwned" not in shown.err
    assert "second" in shown.err


def test_lines_tabs_and_letters_of_all_languages_stay() -> None:
    assert console.printable("a\tb\nc \u00e9 \u4e2d \U0001f600") == "a\tb\nc \u00e9 \u4e2d \U0001f600"


def test_json_has_no_nan(capsys: pytest.CaptureFixture[str]) -> None:
    console.emit(console.plain({"loss": math.nan, "path": Path("a"), "more": [math.inf, 1.5]}), "", "json")
    assert json.loads(capsys.readouterr().out) == {"loss": None, "path": "a", "more": [None, 1.5]}

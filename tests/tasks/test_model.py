import subprocess
from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from tasks.model import BranchName, Criterion, Environment, ImageName, Rollout, Schedule

MONTH = 30 * 24 * 3600
IMAGE = TypeAdapter(ImageName)
BRANCH = TypeAdapter(BranchName)


@given(st.integers(1, MONTH))
def test_a_duration_survives_writing_and_reading(seconds: int) -> None:
    rollout = Rollout.model_validate({"canary": "wine", "timeout": f"{seconds}s"})
    assert rollout.timeout == timedelta(seconds=seconds)
    assert Rollout.model_validate(rollout.model_dump()) == rollout


@given(st.integers(0, 700), st.integers(0, 59), st.integers(1, 59))
def test_the_parts_of_a_duration_add_up(hours: int, minutes: int, seconds: int) -> None:
    rollout = Rollout.model_validate({"canary": "wine", "timeout": f"{hours}h{minutes}m{seconds}s"})
    assert rollout.timeout.total_seconds() == hours * 3600 + minutes * 60 + seconds


@pytest.mark.parametrize(
    "text",
    ["", "0s", "30", "m", "30 m", "1m1h", "1.5h", "-1s", "721h", "9999999h", "٣m", "1s\n", "9" * 9000 + "h"],
)
def test_what_is_no_useful_duration_is_refused(text: str) -> None:
    with pytest.raises(ValidationError, match="wanted a duration"):
        Rollout.model_validate({"canary": "wine", "timeout": text})


@pytest.mark.parametrize("path", ["/x", "../x", "a/../b", "a/..", "..", "", " ", "a\\b", "a\0b"])
def test_a_path_stays_inside_the_repository(path: str) -> None:
    with pytest.raises(ValidationError, match="stays inside"):
        Environment(requirements=path)


@pytest.mark.parametrize("path", [".", "a", "a/b.lock", "..a", "a..b/c", "./a", "with space"])
def test_a_path_inside_the_repository_is_kept_as_written(path: str) -> None:
    assert Environment(requirements=path).requirements == path


@pytest.mark.parametrize(
    ("better", "given", "limit"),
    [("higher", {"minimum": 1}, 1.0), ("lower", {"maximum": 2}, 2.0), ("lower", {}, None)],
)
def test_the_limit_of_a_gate_is_the_one_in_its_direction(
    better: str, given: dict[str, float], limit: float | None
) -> None:
    assert Criterion.model_validate({"metric": "loss", "better": better, **given}).limit == limit


@pytest.mark.parametrize("settings", [{"better": "lower", "minimum": 1.0}, {"maximum": 1.0}])
def test_a_limit_against_the_gates_direction_is_refused(settings: dict[str, object]) -> None:
    with pytest.raises(ValidationError, match="does not go with"):
        Criterion.model_validate({"metric": "loss", **settings})


def test_a_limit_that_is_spelled_out_as_nothing_goes_with_any_direction() -> None:
    assert Criterion(metric="loss", better="lower", minimum=None, maximum=1.0).limit == 1.0


@pytest.mark.parametrize("cron", ["", "* * * *", "61 * * * *", "every day"])
def test_a_schedule_has_five_cron_fields(cron: str) -> None:
    with pytest.raises(ValidationError, match="no cron expression"):
        Schedule(cron=cron)


@pytest.mark.parametrize("timezone", ["", "Europe", "Berlin", "../UTC", "/etc/localtime"])
def test_a_time_zone_has_a_known_name(timezone: str) -> None:
    with pytest.raises(ValidationError, match="no such time zone"):
        Schedule(cron="0 3 * * 1", timezone=timezone)


@pytest.mark.parametrize(
    "image",
    ["localhost:5000/wine", "r.example.com/a/b-c__d.e_f", "REGISTRY.x--y.example/a---b/0", "127.0.0.1:80/x"],
)
def test_an_image_repository_is_kept_as_written(image):
    assert IMAGE.validate_python(image) == image


@pytest.mark.parametrize(
    "image",
    [
        "../sources",
        "./sources",
        ".../x",
        "-/x",
        "-a/x",
        "a-/x",
        ".a/x",
        "a./x",
        "a..b/x",
        "r/models/..",
        "r/../models",
        "r/./models",
        "r/a..b",
        "r/a._b",
        "r/a___b",
        "r/.a",
        "r//a",
        "r/a/",
        "/a",
        "r",
        "r:/a",
        "r/a:latest",
        "r/A",
        "r/a\n",
    ],
)
def test_what_is_no_image_repository_is_refused(image):
    with pytest.raises(ValidationError):
        IMAGE.validate_python(image)


def is_branch_to_git(name: str) -> bool:
    command = ["git", "check-ref-format", "--branch", name]
    # In a working copy `@{-1}` is the branch that it was on before.
    return subprocess.run(command, cwd="/", capture_output=True, check=False).returncode == 0


@pytest.mark.parametrize(
    "name", ["main", "release/1.0", "a@b", "@a", "a{b}", "x.locks", "über", "HEADS", "a/HEAD"]
)
def test_a_branch_name_is_kept_as_written(name):
    assert BRANCH.validate_python(name) == name
    assert is_branch_to_git(name)


@pytest.mark.parametrize(
    "name",
    [
        "a..b",
        "..",
        ".a",
        "a/.b",
        "a.",
        "a@{b",
        "@{-1}",
        "HEAD",
        "a.lock",
        "a.lock/b",
        "/a",
        "a/",
        "a//b",
        "-a",
        "a b",
        "a\n",
        "a\x7f",
        "a\x1fb",
        "a~1",
        "a^",
        "a:b",
        "a?",
        "a*",
        "[a",
        "a\\b",
        "",
    ],
)
def test_what_git_does_not_take_for_a_branch_is_refused(name):
    with pytest.raises(ValidationError):
        BRANCH.validate_python(name)
    assert not is_branch_to_git(name)


@pytest.mark.parametrize("name", ["a`b", "@"])
def test_a_branch_name_can_be_shown_between_backticks_and_is_no_other_word_for_head(name):
    with pytest.raises(ValidationError, match="a branch name as Git takes it"):
        BRANCH.validate_python(name)


@given(st.text("ab./@{}-~`lock", min_size=1, max_size=8))
@settings(max_examples=60, deadline=None)
def test_git_takes_every_branch_name_that_is_accepted(name):
    try:
        BRANCH.validate_python(name)
    except ValidationError:
        return
    assert is_branch_to_git(name)

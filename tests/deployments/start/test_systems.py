"""What CI systems are told of a release's end."""

import contextlib
from pathlib import Path

import pytest

from deployments.start.ending import Ending
from deployments.start.summary import summary
from deployments.start.systems import GitHub, GitLab, System, annotations, this_system
from tasks.errors import ConfigInvalid, ModelflightError, NotebookInvalid
from tasks.release import Verdict
from tests.deployments.start.deployment import GATE, IMAGE

REFUSED = Ending(
    "refused",
    Verdict.REFUSED,
    "wine-0123456789ab-1",
    reasons="accuracy 0.8 | below\n0.9",
    gate=(
        *GATE,
        {"metric": "recall", "challenger": "0.8", "outcome": "refused: <b>`low`</b> | [x](y)"},
    ),
    page="https://prefect.example.com/runs/flow-run/1",
)
PROMOTED = Ending("promoted", Verdict.PROMOTED, "wine-0123456789ab-1", IMAGE, 40 * "f", gate=tuple(GATE))


def failed(error: ModelflightError) -> Ending:
    return Ending("failed", release_id="wine-0123456789ab-1", error=error)


def test_the_summary_of_a_promoted_release() -> None:
    assert summary(PROMOTED).splitlines() == [
        r"## wine\-0123456789ab\-1: promoted",
        "",
        "|  |  |",
        "| --- | --- |",
        f"| image | `{IMAGE}` |",
        f"| fleet commit | `{40 * 'f'}` |",
        "",
        "### Gate",
        "",
        "| metric | challenger | outcome |",
        "| --- | --- | --- |",
        "| accuracy | 0.97 | go |",
        "| loss | 0.11 | go |",
    ]


def test_text_from_outside_stays_text_in_the_summary() -> None:
    told = summary(REFUSED)
    assert r"accuracy 0.8 \| below 0.9" in told
    assert r"| recall | 0.8 | refused: \<b\>\`low\`\</b\> \| \[x\]\(y\) |" in told
    assert "<https://prefect.example.com/runs/flow-run/1>" in told


def test_the_summary_of_a_failure_says_what_to_do() -> None:
    error = ModelflightError("It *failed*.", "wine.ipynb, cell 3", "a\n```\nb", "Correct it.")
    assert summary(failed(error)).split("\n\n", 1)[1] == (
        "**It \\*failed\\*.**\n\n`wine.ipynb, cell 3`\n\n````text\na\n```\nb\n````\n\nCorrect it.\n"
    )


def test_each_problem_is_annotated_at_its_line() -> None:
    why = "modelflight.yaml:3: models[0].image: this key is missing\nmodelflight.yaml:6:4: wanted: a number"
    ending = failed(ConfigInvalid("modelflight.yaml has 2 problems.", "modelflight.yaml", why))
    assert annotations(ending, "notebooks/../wine") == [
        ({"file": "wine/modelflight.yaml", "line": "3"}, "models[0].image: this key is missing"),
        ({"file": "wine/modelflight.yaml", "line": "6"}, "wanted: a number"),
    ]


@pytest.mark.parametrize(
    ("where", "place"),
    [
        ("sub folder/wine.ipynb, cell 3", {"file": "sub folder/wine.ipynb"}),
        ("wine.ipynb:7", {"file": "wine.ipynb", "line": "7"}),
        ("https://git.example.com/wine.ipynb", {}),
        ("/home/ada/wine.ipynb, cell 3", {}),
        ("step train", {}),
    ],
)
def test_a_notebook_is_annotated_where_it_is_named(where: str, place: dict[str, str]) -> None:
    assert annotations(failed(NotebookInvalid("No.", where)), ".") == [(place, "No.")]


def test_a_good_end_is_not_annotated_and_a_refusal_is() -> None:
    assert annotations(PROMOTED, ".") == []
    assert annotations(REFUSED, ".") == [({}, "accuracy 0.8 | below\n0.9")]


@pytest.fixture
def github(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of the files that GitHub's runner reads."""
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    for name in ("OUTPUT", "STEP_SUMMARY", "ENV"):
        monkeypatch.setenv(f"GITHUB_{name}", str(tmp_path / name))
    return tmp_path


def test_github_gets_outputs_that_nobody_can_add_to(github: Path, capsys: pytest.CaptureFixture[str]) -> None:
    evil = "1\nEOF\nverdict=promoted\nverdict<<EOF\npromoted"
    this_system().publish(Ending("failed", release_id=evil), ".")

    lines = (github / "OUTPUT").read_text().splitlines()
    found, name, end = {}, "", ""
    for line in lines:  # as the runner reads it
        if end and line == end:
            end = ""
        elif end:
            found[name] = "\n".join(filter(None, [found.get(name), line]))
        else:
            name, end = line.split("<<")
    assert found["release-id"] == evil
    assert "verdict" not in found or found["verdict"] == ""
    assert (github / "STEP_SUMMARY").read_text().startswith("## ")


def test_github_is_told_of_errors_in_one_line_each(github: Path, capsys: pytest.CaptureFixture[str]) -> None:
    GitHub().publish(failed(NotebookInvalid("100% wrong:\r\n::error::x", "a,b: c.ipynb, cell 1")), ".")
    GitHub().publish(failed(NotebookInvalid("Wrong.", "wine.ipynb:7")), ".")
    assert capsys.readouterr().out.splitlines() == [
        "::error title=wine-0123456789ab-1%3A failed::100%25 wrong:%0D%0A::error::x",
        "::error title=wine-0123456789ab-1%3A failed,file=wine.ipynb,line=7::Wrong.",
    ]


def test_github_obeys_nothing_that_a_release_logs(github: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with contextlib.suppress(KeyboardInterrupt), GitHub().quoting():
        print("::error::I am a notebook")
        raise KeyboardInterrupt
    stop, _, resume = capsys.readouterr().out.splitlines()
    assert stop.startswith("::stop-commands::")
    assert len(stop.rpartition("::")[2]) == 32
    assert resume == f"::{stop.rpartition('::')[2]}::"


def test_github_hides_each_line_of_a_secret(github: Path, capsys: pytest.CaptureFixture[str]) -> None:
    GitHub().hide(["one\n\ntwo%"])
    assert capsys.readouterr().out.splitlines() == ["::add-mask::one", "::add-mask::two%25"]


def test_gitlab_gets_a_dotenv_report_and_a_summary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GITHUB_ACTIONS", raising=False)
    monkeypatch.setenv("GITLAB_CI", "true")
    monkeypatch.chdir(tmp_path)
    system = this_system()
    assert isinstance(system, GitLab)
    system.publish(
        Ending("promoted", Verdict.PROMOTED, "a\nPATH=/evil", IMAGE, 40 * "f", page="https://x"), "."
    )
    assert (tmp_path / "modelflight.env").read_text().splitlines() == [
        "MODELFLIGHT_VERDICT=promoted",
        f"MODELFLIGHT_DIGEST=sha256:{64 * 'a'}",
        f"MODELFLIGHT_COMMIT={40 * 'f'}",
        "MODELFLIGHT_RUN_URL=https://x",
        "MODELFLIGHT_RELEASE_ID=a PATH=/evil",
    ]
    assert (tmp_path / "modelflight.md").read_text().startswith("## ")


def test_a_job_of_no_system_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("GITHUB_ACTIONS", "GITLAB_CI"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    system = this_system()
    assert type(system) is System
    system.publish(PROMOTED, ".")
    assert list(tmp_path.iterdir()) == []

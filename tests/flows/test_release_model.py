"""The whole chain in this process, against a real Prefect server, real Git repositories and real Kale."""

import json
import logging
import re
import shutil
from pathlib import Path

import pytest

from tests.prefect_api import artifact
from tests.repositories import SMALL_SETTINGS, code, git, notebook, small_notebook


@pytest.fixture
def release(prefect_api, warm_home, repositories):
    from flows.release_model import release_model

    def run(**arguments):
        return release_model(repository=str(repositories.notebooks), **arguments)

    return run


def test_releases_the_example_and_compares_the_next_one_with_it(release, repositories, prefect_api):
    from tasks.release import Verdict

    repositories.push_example()
    first = release()
    assert first.verdict is Verdict.UNTRACKED
    assert first.decision.comparisons[0].champion is None
    settings = (Path("infra/example/modelflight.yaml")).read_text()
    repositories.push({"modelflight.yaml": settings.replace("trees: 10, depth: 2", "trees: 100, depth: 3")})
    second = release()

    assert second.decision.comparisons[0].champion == first.decision.comparisons[0].challenger
    assert second.decision.champion_image == first.image.reference
    assert second.image.digest != first.image.digest
    assert repositories.releases() == [second.release_id, first.release_id]
    assert [span.step for span in second.timeline] == [
        "fetch notebooks",
        "check release",
        "check backends",
        "compile notebook",
        "run pipeline",
        "check gate",
        "pack image",
        "bump fleet",
        "settle release",
    ]
    gate = json.loads(artifact(prefect_api, second.release_id, "wine-gate"))
    assert [(row["metric"], row["limit"], row["outcome"]) for row in gate] == [("accuracy", "0.9", "go")]
    assert second.image.reference in artifact(prefect_api, second.release_id, "wine-image")
    assert f"+            reference: {second.image.reference}" in artifact(
        prefect_api, second.release_id, "wine-fleet"
    )
    assert "run pipeline" in artifact(prefect_api, second.release_id, "wine-timeline")


def test_a_worse_model_is_refused_and_nothing_is_published(release, repositories, home):
    from tasks.release import Verdict

    repositories.push_small()
    good = release()
    repositories.push_small(score="score = 0.7")
    worse = release()

    assert worse.verdict is Verdict.REFUSED
    assert worse.decision.reasons == (
        "score 0.7 is worse than the champion's 0.9 by more than the tolerance 0.01",
    )
    assert worse.image is None
    assert repositories.releases() == [good.release_id]


def test_both_models_are_evaluated_on_the_same_examples_by_a_function_of_the_notebook(
    release, repositories, home, prefect_api
):
    settings = SMALL_SETTINGS.replace("tolerance: 0.01", "tolerance: 0.02, evaluate: {function: correct}")

    def push(weight: int) -> None:
        cells = notebook(
            code("weight = 1", "pipeline-parameters"),
            code("import dill", "imports"),
            code(
                "def correct(folder):\n"
                "    with open(folder / 'model.dillpkl', 'rb') as file:\n"
                "        model = dill.load(file)\n"
                "    return [example < model['weight'] for example in range(20)]",
                "functions",
            ),
            code("model = {'weight': weight}\nmodel", "step:train"),
            code("score = 1 - model['weight'] / 40", "step:evaluate", "prev:train"),
            code("print(score)", "pipeline-metrics"),
        )
        weighed = settings.replace("weight: 9", f"weight: {weight}")
        repositories.push({"small.ipynb": cells, "modelflight.yaml": weighed})

    push(16)
    first = release()
    assert first.decision.comparisons[0].interval is None
    push(14)
    worse = release()
    assert worse.decision.reasons[0].startswith("score is not shown to be at most 0.02 worse")
    push(18)
    better = release()
    assert better.decision.passed
    (compared,) = better.decision.comparisons
    assert compared.challenger < compared.champion - compared.tolerance
    assert (compared.interval.mean, compared.interval.examples) == (0.1, 20)
    (row,) = json.loads(artifact(prefect_api, better.release_id, "small-gate"))
    assert row["difference"].startswith("+0.1 on 20 examples, with 95 % confidence +0")
    shutil.rmtree(home / "images")
    push(20)
    unknown = release()
    assert "not known here" in unknown.decision.reasons[0]


def test_text_parameters_arrive_in_the_notebook_as_they_are(release, repositories):
    text = "it's \"quoted\"\n'''; import os; os.abort() # {weight} \\ \u00e9 \U0001f600 {{$}}"
    settings = f"""\
version: 1
models:
  - name: small
    notebook: small.ipynb
    parameters: {{note: {json.dumps(text, ensure_ascii=False)}, weight: -3, Rate: 2}}
    gate: {{metric: score}}
    image: registry.example.com/models/wine
    fleet: {{repository: ../fleet.git, path: apps/wine}}
"""
    document = notebook(
        code("note = 'x'\nweight = 1\nRate = 0.5", "pipeline-parameters"),
        code("model = {'note': note, 'weight': weight, 'rate': Rate}\nmodel", "step:train"),
        code(
            f"score = float(model == {{'note': {text!r}, 'weight': -3, 'rate': 2.0}})",
            "step:evaluate",
            "prev:train",
        ),
        code("print(score)", "pipeline-metrics"),
    )
    repositories.push({"small.ipynb": document, "modelflight.yaml": settings})
    assert release().metrics == {"score": 1.0}


def test_the_second_attempt_of_a_commit_is_a_release_of_its_own(release, repositories):
    repositories.push_small()
    first, again, second = release(), release(), release(attempt=2)
    assert again.release_id == first.release_id
    assert again.fleet_commit.commit == first.fleet_commit.commit
    assert second.image.digest == first.image.digest  # the same model
    assert repositories.releases() == [second.release_id, first.release_id]


def test_without_the_champions_image_the_gate_stays_shut_until_told_otherwise(release, repositories, home):
    from tasks.release import Verdict

    repositories.push_small()
    good = release()
    shutil.rmtree(home / "images")
    shutil.rmtree(home / "runs")
    repositories.push_small(score="score = 0.6")
    refused = release()
    assert refused.verdict is Verdict.REFUSED
    assert "champion's score is not known here" in refused.decision.reasons[0]
    assert repositories.releases() == [good.release_id]
    told = release(accept_unknown_champion=True)
    assert told.verdict is Verdict.UNTRACKED
    assert repositories.releases() == [told.release_id, good.release_id]


def test_a_release_that_a_later_one_replaced_is_superseded_and_changes_nothing(release, repositories):
    from tasks.release import Verdict

    old = repositories.push_small()
    first = release()
    repositories.push_small(score="score = 0.95")
    second = release()
    again = release(commit=old)
    assert again.verdict is Verdict.SUPERSEDED
    assert again.fleet_commit.commit == first.fleet_commit.commit
    assert repositories.releases() == [second.release_id, first.release_id]


def test_what_the_gate_did_not_compare_with_is_not_replaced(release, repositories, monkeypatch):
    import tasks.pack_image as verb
    from tasks.errors import ChampionChanged

    repositories.push_small()
    first = release()
    repositories.push_small(score="score = 0.92")
    pack = verb.pack
    other = f"registry.example.com/models/wine:other@sha256:{'ab' * 32}"

    def pack_while_somebody_else_deploys(*args, **kwargs):
        path = "apps/wine/deployment.yaml"
        text = git(repositories.fleet, "show", f"main:{path}")
        repositories.push_fleet({path: text.replace(first.image.reference, other)})
        return pack(*args, **kwargs)

    monkeypatch.setattr(verb, "pack", pack_while_somebody_else_deploys)
    with pytest.raises(ChampionChanged) as caught:
        release()
    assert other in caught.value.why
    assert other in git(repositories.fleet, "show", "main:apps/wine/deployment.yaml")
    assert repositories.releases() == [first.release_id]


def test_text_from_outside_stays_text_on_prefects_pages(release, repositories, prefect_api):
    subject = "x | y | [Approve](http://evil.example) <img src=http://evil.example/a.png> `"
    repositories.push({"small.ipynb": small_notebook(), "modelflight.yaml": SMALL_SETTINGS}, subject)
    timeline = artifact(prefect_api, release().release_id, "small-timeline")
    row = next(line for line in timeline.splitlines() if "fetch notebooks" in line)
    assert len(re.findall(r"(?<!\\)\|", row)) == 5
    assert not re.search(r"(?<!\\)[\[<`]", row)


def test_a_release_goes_on_when_prefect_takes_no_artifact_and_keeps_the_runs_tags(
    release, repositories, prefect_api, monkeypatch
):
    import httpx
    from prefect import tags

    import tasks.bump_fleet as verb
    from tasks.release import Verdict

    def refuse(**_arguments):
        raise httpx.ConnectError("the server went away")

    monkeypatch.setattr(verb, "create_markdown_artifact", refuse)
    repositories.push_small()
    with tags("nightly"):
        done = release()
    assert done.verdict is Verdict.UNTRACKED
    assert repositories.releases() == [done.release_id]
    runs = httpx.post(
        f"{prefect_api}/flow_runs/filter", json={"flow_runs": {"name": {"any_": [done.release_id]}}}
    ).json()
    assert set(runs[0]["tags"]) >= {"nightly", "model:small", f"commit:{done.source.commit[:12]}"}


class Lines(logging.Handler):
    """Keeps what the steps of a release log."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(record.getMessage())


def test_a_printed_text_metric_is_shown_and_what_the_pipeline_leaves_out_is_logged(release, repositories):
    document = notebook(
        code("model = {'weight': 9}\nmodel", "step:train", "limit:cpu:1"),
        code("score = 0.9\nkind = 'forest'", "step:evaluate", "prev:train"),
        code("print(score)\nprint(kind)", "pipeline-metrics"),
    )
    settings = SMALL_SETTINGS.replace("    parameters: {weight: 9}\n", "")
    repositories.push({"small.ipynb": document, "modelflight.yaml": settings})
    logger, kept = logging.getLogger("prefect.task_runs"), Lines()
    logger.addHandler(kept)
    try:
        assert release().metrics == {"score": 0.9, "kind": "forest"}
    finally:
        logger.removeHandler(kept)
    dropped = "compile notebook: small.ipynb, cell 1: Kale drops 'limit:cpu:1'"
    assert [line for line in kept.lines if line.startswith(dropped)]


@pytest.mark.parametrize(
    ("break_it", "error", "what", "where", "why"),
    [
        ("no such commit", "CommitNotFound", "no commit, branch or tag 'nowhere'", "notebooks.git", ""),
        ("unknown key", "ConfigInvalid", "", "modelflight.yaml", "gaet"),
        ("no notebook", "NotebookInvalid", "does not exist", "small.ipynb", ""),
        ("other metric", "NotebookInvalid", "'loss'", "modelflight.yaml", "score"),
        ("no image in the fleet", "FleetTargetInvalid", "", "apps/wine", ""),
        ("kale refuses", "CompileFailed", "Kale cannot compile", "small.ipynb", ""),
        (
            "notebook raises",
            "StepFailed",
            "'train' failed: ZeroDivisionError",
            "small.ipynb, cell 2",
            "1 / 0",
        ),
        ("metric is no number", "MetricInvalid", "finite number", "modelflight.yaml", "nan"),
        ("images cannot be written", "PackFailed", "", "images", ""),
        ("fleet refuses", "FleetRefused", "", "fleet.git", "not on Mondays"),
        ("settling fails", "ImageCorrupt", "", "index.json", ""),
    ],
)
def test_a_failing_step_says_what_where_why_and_nothing_after_it_happens(
    break_it, error, what, where, why, release, repositories, home
):
    commit = "HEAD"
    match break_it:
        case "unknown key":
            repositories.push_small(SMALL_SETTINGS.replace("gate:", "gaet:"))
        case "no notebook":
            repositories.push({"modelflight.yaml": SMALL_SETTINGS})
        case "other metric":
            repositories.push_small(SMALL_SETTINGS.replace("metric: score", "metric: loss"))
        case "no image in the fleet":
            repositories.push_small(SMALL_SETTINGS.replace("models/wine", "models/beer"))
        case "kale refuses":
            repositories.push_small(train="model = (")
        case "notebook raises":
            repositories.push_small(train="model = 1 / 0")
        case "metric is no number":
            repositories.push_small(score="score = float('nan')")
        case _:
            repositories.push_small()
    match break_it:
        case "no such commit":
            commit = "nowhere"
        case "images cannot be written":
            (home / "images").write_text("a file where the folder should be")
        case "fleet refuses":
            repositories.hook(repositories.fleet, "pre-receive", "echo 'not on Mondays' >&2; exit 1")
        case "settling fails":
            layout = home / "images/registry.example.com+models+wine"
            repositories.hook(repositories.fleet, "post-receive", f"echo garbage > '{layout}/index.json'")

    from tasks.errors import ModelflightError

    with pytest.raises(ModelflightError) as caught:
        release(commit=commit)

    assert type(caught.value).__name__ == error
    assert what in caught.value.what
    assert where in caught.value.where
    assert why in caught.value.why
    assert caught.value.next_step
    reached = {
        "fetched": (home / "sources").exists() and any((home / "sources").glob("*.json")),
        "trained": any((home / "runs").glob("*/run.json")),
        "packed": any((home / "images").glob("**/index.json")),
        "bumped": bool(repositories.releases()),
    }
    expected = {
        "no such commit": 0,
        "unknown key": 1,
        "no notebook": 1,
        "other metric": 1,
        "no image in the fleet": 1,
        "kale refuses": 1,
        "notebook raises": 1,
        "metric is no number": 2,
        "images cannot be written": 1,
        "fleet refuses": 3,
        "settling fails": 4,
    }[break_it]
    assert list(reached.values()) == [True] * expected + [False] * (4 - expected)

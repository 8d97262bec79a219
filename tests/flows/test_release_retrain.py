"""Schedules train the same commit again, where that can give another model."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.fakes.data_server import DataServer, running
from tests.flows.served import Served
from tests.prefect_api import artifact
from tests.repositories import SMALL_SETTINGS, Repositories


@pytest.fixture
def data() -> Iterator[DataServer]:
    with running() as server:
        yield server


@pytest.fixture
def settings(data: DataServer) -> str:
    """modelflight.yaml of a model that is trained on the server's data."""
    return SMALL_SETTINGS + f"    data: ['{data.address}/wine.csv']\n"


@pytest.fixture
def retrain(prefect_api: str, warm_home: Path, repositories: Repositories) -> Callable[..., Any]:
    """A run as a schedule starts it; returns its final state."""
    from flows.release_model import release_model

    def run(**arguments: Any) -> Any:
        given = {"commit": "main", "branch": "main", "model": "small", "retrain": True, **arguments}
        return release_model(repository=str(repositories.notebooks), **given, return_state=True)

    return run


def test_nothing_is_trained_again_until_the_data_changes(
    retrain: Callable[..., Any], repositories: Repositories, data: DataServer, settings: str, home: Path
) -> None:
    commit = repositories.push_small(settings)[:12]
    assert retrain(retrain=False).name == "Untracked"
    skipped = [retrain() for _ in range(2)]
    assert [state.name for state in skipped] == ["Skipped"] * 2
    assert f"nothing changed since small-{commit}-1, which ended as untracked" in skipped[0].message
    assert skipped[0].result() is None
    assert len(list((home / "runs").glob("*/run.json"))) == 1
    data.etag = '"2"'
    again = retrain()
    assert again.name == "Untracked"
    assert again.result().release_id == f"small-{commit}-2"
    assert retrain().name == "Skipped"
    assert repositories.releases() == [f"small-{commit}-2", f"small-{commit}-1"]


def test_always_trains_again_as_the_next_attempt(
    retrain: Callable[..., Any], repositories: Repositories
) -> None:
    commit = repositories.push_small(SMALL_SETTINGS + "    schedule: {cron: '0 3 * * 1', always: true}\n")
    assert [retrain().result().release_id for _ in range(2)] == [
        f"small-{commit[:12]}-1",
        f"small-{commit[:12]}-2",
    ]


def test_what_the_gate_refused_counts_as_trained(
    retrain: Callable[..., Any], repositories: Repositories, data: DataServer, settings: str
) -> None:
    repositories.push_small(settings, score="score = 0.1")
    assert retrain().name == "Refused"
    state = retrain()
    assert state.name == "Skipped"
    assert "ended as refused" in state.message


@pytest.mark.parametrize("change", ["the notebook", "the settings", "the lock", "a watched file"])
def test_a_change_of_the_model_is_trained(
    retrain: Callable[..., Any], repositories: Repositories, change: str
) -> None:
    from importlib.metadata import version

    lock = f"numpy=={version('numpy')}\n"
    settings = SMALL_SETTINGS + "    environment: {requirements: r.txt}\n    paths: [lib]\n"
    repositories.push({"r.txt": lock, "lib/a.py": "a = 1"})
    repositories.push_small(settings)
    assert retrain().name == "Untracked"
    repositories.push({"README.md": "About"})
    assert retrain().name == "Skipped"
    match change:
        case "the notebook":
            repositories.push_small(settings, score="score = 0.95")
        case "the settings":
            repositories.push_small(settings.replace("tolerance: 0.01", "tolerance: 0.02"))
        case "the lock":
            repositories.push({"r.txt": f"# again\n{lock}"})
        case "a watched file":
            repositories.push({"lib/a.py": "a = 2"})
    assert retrain().name == "Untracked"


def test_data_without_a_version_is_trained_each_time(
    retrain: Callable[..., Any], repositories: Repositories, data: DataServer, settings: str
) -> None:
    data.etag = ""
    repositories.push_small(settings)
    assert [retrain().name for _ in range(2)] == ["Untracked"] * 2


def test_the_versions_of_the_data_are_in_the_release_record_and_on_prefects_pages(
    retrain: Callable[..., Any], repositories: Repositories, data: DataServer, settings: str, prefect_api: str
) -> None:
    import json

    from tasks.lineage.record import MEDIA_TYPE
    from tasks.oci.images import open_images
    from tasks.oci.referrer import referrers

    repositories.push_small(settings)
    done = retrain().result()
    with open_images(done.image.stored_in) as images:
        (record,) = referrers(images, done.image.digest, MEDIA_TYPE)
    assert json.loads(record)["data"] == {f"{data.address}/wine.csv": 'etag "1"'}
    rows = artifact(prefect_api, done.release_id, "small-inputs")
    assert {"input": f"data {data.address}/wine.csv", "version": 'etag "1"'} in json.loads(rows)


@pytest.mark.worker
def test_after_downtime_only_the_latest_missed_time_is_made_up_for(
    served: Served, warm_home: Path, repositories: Repositories
) -> None:
    repositories.push_small(SMALL_SETTINGS + "    schedule: {cron: '* * * * *', always: true}\n")
    deployment = served.deploy(repositories, warm_home)
    served.schedule(deployment, seconds=3, retrain=True)  # due more often than a run takes
    run = served.scheduled(deployment, "Skipped")
    served.pause(deployment)
    assert "waits already" in served.run(run)["state"]["message"]
    assert "run pipeline" not in served.steps(run)

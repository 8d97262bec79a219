"""Releases whose artifacts go to S3 and whose images go to a registry."""

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.fakes.object_store import ObjectStore
from tests.fakes.registry import Refusal, Registry
from tests.repositories import FLEET, SMALL_SETTINGS, TOP, Repositories

EXAMPLE_REGISTRY = "registry.example.com"


@pytest.fixture
def settings(
    registry: Registry, bucket: str, repositories: Repositories, monkeypatch: pytest.MonkeyPatch
) -> str:
    """modelflight.yaml for the registry, to which the environment and the fleet point as well."""
    monkeypatch.setenv("MODELFLIGHT_ARTIFACTS", f"s3://{bucket}/runs/")
    monkeypatch.setenv("MODELFLIGHT_IMAGES", "registry")
    path = "apps/wine/deployment.yaml"
    text = (FLEET / path).read_text().replace(EXAMPLE_REGISTRY, registry.address)
    repositories.push_fleet({path: text})
    return SMALL_SETTINGS.replace(EXAMPLE_REGISTRY, registry.address)


@pytest.fixture
def release(prefect_api: str, warm_home: Path, repositories: Repositories) -> Callable:
    from flows.release_model import release_model

    def run(**arguments):
        return release_model(repository=str(repositories.notebooks), **arguments)

    return run


def test_artifacts_and_images_go_where_the_settings_say_and_the_gate_finds_the_champion_there(
    release, repositories: Repositories, settings: str, registry: Registry, object_store: ObjectStore,
    bucket: str, home: Path,
) -> None:  # fmt: skip
    from tasks.lineage.record import MEDIA_TYPE
    from tasks.oci.images import open_images
    from tasks.oci.referrer import referrers
    from tasks.release import Verdict

    repositories.push_small(settings)
    first = release()
    wine = registry.repositories["models/wine"]
    assert first.verdict is Verdict.UNTRACKED
    assert first.image.stored_in == f"{registry.address}/models/wine"
    assert wine.tags == {first.image.tag: first.image.digest}
    assert not (home / "images").exists()
    stored = object_store.objects(bucket)
    assert len(stored) == 2
    assert all(key.startswith(f"runs/small/{first.release_id.run_id}/") for key in stored)
    with open_images(first.image.stored_in) as images:
        assert len(referrers(images, first.image.digest, MEDIA_TYPE)) == 1

    shutil.rmtree(home / "runs")  # as on another machine
    repositories.push_small(settings, score="score = 0.7")
    second = release()
    assert second.verdict is Verdict.REFUSED
    assert second.decision.comparisons[0].champion == 0.9
    assert set(wine.tags) == {first.image.tag}


def test_another_machine_goes_on_with_what_was_kept_and_trains_nothing(
    release, repositories: Repositories, settings: str, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import tasks.run_pipeline as verb

    repositories.push_small(settings)
    first = release()
    shutil.rmtree(home / "runs")
    monkeypatch.setattr(verb, "run_here", lambda *_args, **_kwargs: pytest.fail("it trained"))
    again = release()
    assert (again.image.digest, again.metrics) == (first.image.digest, first.metrics)
    assert repositories.releases() == [first.release_id]


def test_the_image_is_the_same_wherever_artifacts_and_images_are_stored(
    release, repositories: Repositories, settings: str, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    repositories.push_small(settings)
    first = release()
    monkeypatch.delenv("MODELFLIGHT_ARTIFACTS")
    monkeypatch.setenv("MODELFLIGHT_IMAGES", "layout")
    again = release()
    assert again.image.stored_in.startswith("oci:")
    assert again.image.digest == first.image.digest


KILLS = ["tasks.run_pipeline.keep", "tasks.pack_image.pack", "tasks.settle_release.attach"]


def test_killed_after_every_effect_on_a_backend_and_repeated_there_is_one_of_each(
    release, repositories: Repositories, settings: str, registry: Registry, object_store: ObjectStore,
    bucket: str,
) -> None:  # fmt: skip
    registry.referrers_api = False
    repositories.push_small(settings)
    command = [sys.executable, "-m", "tests.flows.killed_release", str(repositories.notebooks), *KILLS]
    killed = subprocess.run(command, cwd=TOP, capture_output=True, text=True, check=False)
    assert killed.returncode == 0, killed.stderr
    wine = registry.repositories["models/wine"]
    before = (dict(wine.blobs), dict(wine.manifests), dict(wine.tags), object_store.objects(bucket))
    done = release()
    assert (wine.blobs, wine.manifests, wine.tags, object_store.objects(bucket)) == before
    assert set(wine.tags) == {done.image.tag, done.image.digest.replace(":", "-")}
    assert repositories.releases() == [done.release_id]


@pytest.mark.parametrize(
    ("broken", "error", "where"),
    [
        ("no such bucket", "ArtifactFailed", "s3://nobody-has-made-this"),
        ("no credentials", "ArtifactFailed", "s3://models-"),
        ("no such store", "AddressInvalid", "gs://models"),
        ("no such kind of images", "InvalidInput", "MODELFLIGHT_IMAGES=docker"),
        ("may not push", "RegistryRefused", "/models/wine"),
    ],
)
def test_what_cannot_be_stored_is_told_before_anything_is_trained(
    release, repositories: Repositories, settings: str, registry: Registry, home: Path,
    monkeypatch: pytest.MonkeyPatch, broken: str, error: str, where: str,
) -> None:  # fmt: skip
    from tasks.errors import ModelflightError

    match broken:
        case "no such bucket":
            monkeypatch.setenv("MODELFLIGHT_ARTIFACTS", "s3://nobody-has-made-this")
        case "no credentials":
            monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
        case "no such store":
            monkeypatch.setenv("MODELFLIGHT_ARTIFACTS", "gs://models")
        case "no such kind of images":
            monkeypatch.setenv("MODELFLIGHT_IMAGES", "docker")
        case "may not push":
            registry.refusals.append(("POST", Refusal(403, "DENIED")))
    repositories.push_small(settings)
    with pytest.raises(ModelflightError) as caught:
        release()
    assert type(caught.value).__name__ == error
    assert where in caught.value.where
    assert caught.value.next_step
    assert not (home / "runs").exists()
    assert repositories.releases() == []


def test_a_backend_that_is_away_for_a_moment_costs_a_retry(
    release, repositories: Repositories, settings: str, registry: Registry
) -> None:
    registry.refusals.append(("POST", Refusal(503, "UNAVAILABLE")))
    repositories.push_small(settings)
    done = release()
    outcomes = [span.outcome for span in done.timeline if span.step == "check backends"]
    assert len(outcomes) == 2
    assert outcomes[0].startswith("failed, which may pass: Images cannot be pushed")

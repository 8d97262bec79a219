import subprocess
import traceback
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import yaml

import tasks.gitops.repository
from tasks.errors import (
    ChampionChanged,
    FleetRefused,
    FleetTargetInvalid,
    InvalidInput,
    RepositoryUnreachable,
)
from tasks.gitops.bump import bump, serving_image
from tasks.gitops.repository import FleetRepository
from tasks.gitops.target import FleetTarget
from tasks.release import FleetCommit, ReleaseId

if TYPE_CHECKING:
    from tests.tasks.gitops.conftest import BareFleet

EXAMPLE = Path(__file__).parents[3] / "infra" / "fleet" / "apps" / "wine"
FILE = "apps/wine/deployment.yaml"
IMAGE = "registry.example.com/models/wine"
V1, V2 = (f"{IMAGE}:v{number}@sha256:{number:064x}" for number in (1, 2))
FIRST, SECOND = (ReleaseId(f"wine-0123456789ab-{attempt}") for attempt in (1, 2))


def release(target: FleetTarget, image: str = V1, release_id: ReleaseId = FIRST) -> FleetCommit:
    return bump(
        target, image=image, release_id=release_id, subject="Release wine", trailers={"Model": "wine"}
    )


def test_one_commit_changes_two_scalars(fleet: "BareFleet") -> None:
    before = fleet.log()
    done = release(fleet.target())
    assert fleet.log() == [*before, done.commit]
    assert fleet.read(FILE) == fleet.manifest(V1, FIRST)
    assert fleet.word("diff-tree", "-r", "--name-only", "--no-commit-id", done.commit) == FILE
    assert (done.created, done.branch, done.path) == (True, "main", FILE)
    changed = [line for line in done.diff.splitlines() if line[:1] in "+-" and line[:3] not in ("+++", "---")]
    assert len(changed) == 4
    assert changed[-1].strip("+ ") == f"reference: {V1}"


def test_the_commit_says_what_released_it(fleet: "BareFleet") -> None:
    done = release(fleet.target())
    assert fleet.message(done.commit).strip() == f"Release wine\n\nRelease-Id: {FIRST}\nModel: wine"
    assert fleet.word("log", "-1", "--format=%(trailers:key=Release-Id,valueonly)", done.commit) == FIRST


def test_the_example_fleet_takes_releases(empty_fleet: "BareFleet") -> None:
    files = {f"apps/wine/{file.name}": file.read_bytes() for file in EXAMPLE.iterdir()}
    empty_fleet.commit(files)
    target = empty_fleet.target()
    assert serving_image(target, FIRST) == IMAGE
    release(target)
    wanted = files[FILE].replace(f"reference: {IMAGE}".encode(), f"reference: {V1}".encode())
    assert empty_fleet.read(FILE) == wanted.replace(b"rollout-id: none", f"rollout-id: {FIRST}".encode())


def test_the_example_fleet_is_consistent() -> None:
    listed = yaml.safe_load((EXAMPLE / "kustomization.yaml").read_bytes())["resources"]
    deployment, service = (yaml.safe_load((EXAMPLE / name).read_bytes()) for name in listed)
    assert {file.name for file in EXAMPLE.iterdir()} == {"kustomization.yaml", *listed}
    labels = deployment["spec"]["template"]["metadata"]["labels"]
    assert service["spec"]["selector"].items() <= labels.items()
    assert deployment["spec"]["selector"]["matchLabels"].items() <= labels.items()
    assert deployment["metadata"]["namespace"] == service["metadata"]["namespace"] == "models"


def test_a_repeat_makes_no_second_commit(fleet: "BareFleet") -> None:
    first = release(fleet.target())
    again = release(fleet.target())
    assert len(fleet.log()) == 2
    assert (again.created, again.commit, again.diff, again.path) == (
        False,
        first.commit,
        first.diff,
        first.path,
    )


def test_a_repeat_does_not_undo_a_later_release(fleet: "BareFleet") -> None:
    first = release(fleet.target())
    second = release(fleet.target(), V2, SECOND)
    assert release(fleet.target()).commit == first.commit
    assert fleet.log()[-1] == second.commit
    assert fleet.read(FILE) == fleet.manifest(V2, SECOND)


def test_the_same_image_under_a_new_release_id_is_a_new_commit(fleet: "BareFleet") -> None:
    release(fleet.target())
    assert release(fleet.target(), V1, SECOND).created
    assert fleet.read(FILE) == fleet.manifest(V1, SECOND)


def test_another_image_under_the_same_release_id_is_refused(fleet: "BareFleet") -> None:
    first = release(fleet.target())
    with pytest.raises(FleetRefused) as caught:
        release(fleet.target(), V2, FIRST)
    assert V1.rpartition("@")[2] in caught.value.why
    assert V2.rpartition("@")[2] in caught.value.why
    assert "--attempt 2" in caught.value.next_step
    assert fleet.log()[-1] == first.commit


def test_a_release_that_was_replaced_is_found_and_said_not_to_be_current(fleet: "BareFleet") -> None:
    first = release(fleet.target())
    assert (first.created, first.current) == (True, True)
    assert release(fleet.target(), V2, SECOND).current
    again = release(fleet.target())
    assert (again.commit, again.created, again.current) == (first.commit, False, False)
    assert fleet.read(FILE) == fleet.manifest(V2, SECOND)


def test_what_the_caller_did_not_expect_is_not_replaced(fleet: "BareFleet") -> None:
    def bump_expecting(expected: str | None, image: str, release_id: ReleaseId) -> FleetCommit:
        return bump(
            fleet.target(), image=image, release_id=release_id, subject="S", trailers={}, expected=expected
        )

    assert bump_expecting(IMAGE, V1, FIRST).created
    before = fleet.log()
    with pytest.raises(ChampionChanged) as caught:
        bump_expecting(IMAGE, V2, SECOND)
    assert V1 in caught.value.why
    assert fleet.log() == before
    assert not bump_expecting(IMAGE, V1, FIRST).created  # its own commit is no surprise
    assert bump_expecting(V1, V2, SECOND).created


def test_the_digest_decides_whether_it_is_another_image(fleet: "BareFleet") -> None:
    first = release(fleet.target())
    again = release(fleet.target(), V1.replace(":v1@", ":renamed@"))
    assert (again.commit, again.current) == (first.commit, True)


def test_without_a_release_id_only_the_head_counts(fleet: "BareFleet") -> None:
    def bump_by_hand(image: str) -> FleetCommit:
        return bump(fleet.target(), image=image, release_id=None, subject="By hand", trailers={})

    rollout_id = b"modelflight.dev/rollout-id: none"
    assert bump_by_hand(V1).created
    assert not bump_by_hand(V1).created
    assert bump_by_hand(V2).created
    back = bump_by_hand(V1)
    assert back.created
    assert V1.encode() in fleet.read(FILE)
    assert rollout_id in fleet.read(FILE)
    assert "Release-Id" not in fleet.word("log", "-1", "--format=%B", back.commit)


def test_an_image_that_a_person_set_needs_no_commit(empty_fleet: "BareFleet") -> None:
    empty_fleet.commit({FILE: empty_fleet.manifest(rollout_id=None)})
    by_hand = empty_fleet.commit({FILE: empty_fleet.manifest(V1, None)})
    empty_fleet.commit({"other.yaml": b"x: y\n"})
    done = release(empty_fleet.target())
    assert (done.created, done.commit) == (False, by_hand)
    assert f"+            reference: {V1}" in done.diff
    assert len(empty_fleet.log()) == 3


def test_a_mention_of_the_release_in_a_message_is_no_trailer(fleet: "BareFleet") -> None:
    fleet.commit({FILE: fleet.manifest(V1, "none")}, f"Look\n\nRelease-Id: {FIRST}\n\nthat is what it says.")
    assert release(fleet.target()).created


def test_serving_image_is_what_stands_at_the_head(fleet: "BareFleet") -> None:
    assert serving_image(fleet.target(), None) == IMAGE
    release(fleet.target())
    assert serving_image(fleet.target(), SECOND) == V1
    assert serving_image(fleet.target(), None) == V1


def test_a_repeated_release_is_compared_with_the_same_champion(fleet: "BareFleet") -> None:
    release(fleet.target())
    champion = serving_image(fleet.target(), SECOND)
    release(fleet.target(), V2, SECOND)
    fleet.commit({"apps/wine/service.yaml": b"kind: Changed\n"})
    assert serving_image(fleet.target(), SECOND) == champion == V1


def test_a_release_elsewhere_in_the_repository_does_not_count(fleet: "BareFleet") -> None:
    fleet.commit({"staging/wine/deployment.yaml": fleet.manifest()})
    release(fleet.target("staging/wine"))
    assert serving_image(fleet.target(), FIRST) == IMAGE
    assert release(fleet.target()).created


@pytest.mark.parametrize("path", ["apps/wine/", "./apps//wine", FILE, "apps/wine"])
def test_a_path_is_a_folder_or_a_file(fleet: "BareFleet", path: str) -> None:
    assert release(fleet.target(path)).path == FILE


def test_the_whole_repository_and_odd_names_are_paths_too(empty_fleet: "BareFleet") -> None:
    file = "a,b [*]/:x é\t.yml"
    empty_fleet.commit({file: empty_fleet.manifest(), "z/broken.yaml": b"{{ x"})
    assert serving_image(empty_fleet.target("."), None) == IMAGE
    assert release(empty_fleet.target("a,b [*]")).path == file
    assert empty_fleet.read(file) == empty_fleet.manifest(V1, FIRST)


def test_branches_with_slashes_and_names_that_tags_have(fleet: "BareFleet") -> None:
    fleet.commit({FILE: fleet.manifest()}, branch="env/prod")
    fleet.git("tag", "env/prod", "main")
    release(fleet.target(branch="env/prod"))
    assert fleet.read(FILE, "refs/heads/env/prod") == fleet.manifest(V1, FIRST)
    assert len(fleet.log("main")) == len(fleet.log("refs/tags/env/prod")) == 1


def test_the_files_mode_stays(empty_fleet: "BareFleet") -> None:
    empty_fleet.commit({FILE: empty_fleet.manifest()}, mode="100755")
    release(empty_fleet.target())
    assert empty_fleet.word("ls-tree", "main", "--", FILE).startswith("100755 ")


def test_the_users_git_settings_change_nothing(
    empty_fleet: "BareFleet", tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tmp_path / "gitconfig"
    config.write_text(
        "[core]\n autocrlf = input\n[diff]\n noprefix = true\n[color]\n ui = always\n grep = always\n"
        "[log]\n showSignature = true\n follow = true\n[grep]\n patternType = fixed\n"
        "[push]\n recurseSubmodules = on-demand\n"
    )
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(config))
    windows = empty_fleet.manifest().replace(b"\n", b"\r\n")
    empty_fleet.commit({FILE: windows})
    done = release(empty_fleet.target())
    assert release(empty_fleet.target(FILE)).diff == done.diff
    assert serving_image(empty_fleet.target(), FIRST) == IMAGE
    assert empty_fleet.read(FILE) == empty_fleet.manifest(V1, FIRST).replace(b"\n", b"\r\n")
    assert done.diff.startswith(f"diff --git a/{FILE} b/{FILE}\n")


def test_a_hook_of_another_repository_can_bump_and_its_repository_is_left_alone(
    fleet: "BareFleet", tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    victim = tmp_path / "victim"
    subprocess.run(["git", "clone", "--quiet", fleet.address, str(victim)], check=True)

    def everything() -> dict[Path, bytes]:
        return {path: path.read_bytes() for path in victim.rglob("*") if path.is_file()}

    before = everything()
    for name, path in {
        "DIR": ".git",
        "WORK_TREE": ".",
        "INDEX_FILE": ".git/index",
        "PREFIX": "apps/",
    }.items():
        monkeypatch.setenv(f"GIT_{name}", str(victim / path))
    monkeypatch.setenv("GIT_OBJECT_DIRECTORY", str(victim / ".git" / "objects"))
    monkeypatch.setenv("GIT_CONFIG", str(victim / ".git" / "config"))
    done = release(fleet.target())
    monkeypatch.undo()
    assert done.created
    assert fleet.log()[1:] == [done.commit]
    assert everything() == before


def test_those_who_allow_no_bare_repository_unnamed_can_bump(
    fleet: "BareFleet", tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tmp_path / "gitconfig"
    config.write_text("[safe]\n bareRepository = explicit\n")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(config))
    assert release(fleet.target()).created


def test_sha256_repositories_work(tmp_path: Path, fleet: "BareFleet") -> None:
    directory = tmp_path / "sha256.git"
    command = ["git", "init", "-q", "--bare", "-b", "main", "--object-format=sha256", str(directory)]
    subprocess.run(command, check=True)
    modern = type(fleet)(directory)
    modern.commit({FILE: fleet.manifest()})
    done = release(modern.target())
    assert modern.log()[1:] == [done.commit]
    assert len(done.commit) == 64


def test_a_partial_clone_fetches_the_folders_files_at_once(
    fleet: "BareFleet", tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fleet.git("config", "uploadpack.allowFilter", "true")
    fleet.commit({f"apps/wine/{number}.yaml": f"x: {number}\n".encode() for number in range(20)})
    trace = tmp_path / "trace"
    monkeypatch.setenv("GIT_TRACE", str(trace))
    monkeypatch.setattr(tasks.gitops.repository, "partial", lambda _address: ("--filter=blob:none",))
    target = FleetTarget(f"file://{fleet.directory}", "main", "apps/wine", IMAGE)
    assert release(target).created
    fetches = [
        line for line in trace.read_text().splitlines() if "run_command:" in line and " fetch " in line
    ]
    assert len(fetches) == 1


def identity(fleet: "BareFleet", commit: str) -> str:
    return fleet.word("log", "-1", "--format=%an <%ae> %cn <%ce>", commit)


def test_signs_for_itself_where_nobody_is_configured(fleet: "BareFleet") -> None:
    ours = "Modelflight <modelflight@localhost>"
    assert identity(fleet, release(fleet.target()).commit) == f"{ours} {ours}"


def test_uses_the_configured_identity(
    fleet: "BareFleet", tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tmp_path / "gitconfig"
    config.write_text("[user]\n name = Robot\n email = robot@example.com\n")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(config))
    monkeypatch.setenv("GIT_AUTHOR_NAME", "Author")
    monkeypatch.setenv("GIT_AUTHOR_EMAIL", "author@example.com")
    done = release(fleet.target())
    assert identity(fleet, done.commit) == "Author <author@example.com> Robot <robot@example.com>"


def refused(target: FleetTarget) -> FleetTargetInvalid:
    """What both verbs say, which is the same."""
    with pytest.raises(FleetTargetInvalid) as read:
        serving_image(target, FIRST)
    with pytest.raises(FleetTargetInvalid) as written:
        release(target)
    assert str(read.value) == str(written.value)
    return written.value


def test_a_missing_branch_is_named(fleet: "BareFleet") -> None:
    fleet.git("tag", "v1", "main")
    assert "no such branch" in refused(fleet.target(branch="production")).what
    assert "no such branch" in refused(fleet.target(branch="v1")).what


def test_an_empty_repository_has_no_branch(empty_fleet: "BareFleet") -> None:
    assert "no such branch" in refused(empty_fleet.target()).what


@pytest.mark.parametrize("path", ["apps/win", "apps/*", "deployment.yaml"])
def test_a_missing_path_is_named(fleet: "BareFleet", path: str) -> None:
    error = refused(fleet.target(path))
    assert "no such path" in error.what
    assert f"path {path}" in error.where


def test_a_missing_image_is_answered_with_what_stands_there(fleet: "BareFleet") -> None:
    fleet.commit({"apps/wine/broken.yaml": b"{{ broken"})
    with pytest.raises(FleetTargetInvalid) as caught:
        serving_image(fleet.target(image="registry.example.com/models/beer"), None)
    assert caught.value.why.splitlines()[1:] == [f"{FILE}:11 {IMAGE}"]


def test_a_folder_without_images_says_so(fleet: "BareFleet") -> None:
    fleet.commit({"empty/a.yaml": b"x: y\n", "empty/b.txt": fleet.manifest()})
    assert refused(fleet.target("empty")).why == "No YAML file there has an image."


def test_two_places_are_both_named(fleet: "BareFleet") -> None:
    fleet.commit({"apps/wine/job.yml": f"x: 1\nimage: {V1}\n".encode()})
    error = refused(fleet.target())
    assert "2 places" in error.what
    assert error.why.splitlines() == [f"{FILE}:11 {IMAGE}", f"apps/wine/job.yml:2 {V1}"]


def test_a_place_that_cannot_be_changed_is_named(fleet: "BareFleet") -> None:
    fleet.commit({FILE: f"a: 1\nimage: &wine {IMAGE}\n".encode()})
    error = refused(fleet.target())
    assert (error.where, error.why) == (f"{FILE}:2", "It carries an anchor or a tag.")


def test_broken_yaml_without_the_image_does_not_matter(fleet: "BareFleet") -> None:
    fleet.commit(
        {"apps/wine/template.yaml": b"{{- if x }}\nimage: {{ .Values.image }}\n", "apps/wine/b.yaml": b"\xff"}
    )
    assert release(fleet.target()).created


def test_broken_yaml_with_the_image_is_named(fleet: "BareFleet") -> None:
    fleet.commit({"apps/wine/template.yaml": f"a: 1\n{{{{- if x }}}}\nimage: {IMAGE}\n".encode()})
    assert refused(fleet.target()).where == "apps/wine/template.yaml:3"


@pytest.mark.parametrize(
    "image", [IMAGE, f"{IMAGE}:v1", f"{IMAGE}@sha256:{1:064x}", f"{IMAGE}-red:v1@sha256:{1:064x}", f"{V1}\n"]
)
def test_an_image_without_tag_and_digest_is_refused(fleet: "BareFleet", image: str) -> None:
    with pytest.raises(InvalidInput):
        release(fleet.target(), image)
    assert len(fleet.log()) == 1


@pytest.mark.parametrize("hook", ["pre-receive", "update"])
def test_a_hook_that_declines_is_quoted(fleet: "BareFleet", hook: str) -> None:
    fleet.hook(hook, "echo 'Ask Ada: https://ada:s3cret@wiki.example.com/?token=abc' >&2; exit 1")
    with pytest.raises(FleetRefused) as caught:
        release(fleet.target())
    reason, message, *_ = caught.value.why.splitlines()
    assert reason.endswith("hook declined")
    assert message == "Ask Ada: https://***@wiki.example.com/?***"
    assert not caught.value.retryable
    assert len(fleet.log()) == 1


def test_a_server_that_hangs_up_after_it_took_the_push(fleet: "BareFleet") -> None:
    fleet.hook("post-receive", "kill -9 $PPID")
    with pytest.raises(RepositoryUnreachable):
        release(fleet.target())
    again = release(fleet.target())
    assert not again.created
    assert fleet.log()[1:] == [again.commit]


def shown(error: BaseException) -> str:
    return "".join(traceback.format_exception(error)) + repr(error)


@pytest.mark.parametrize(
    "address", ["http://user:pa55@127.0.0.1:1/x.git", "http://127.0.0.1:1/x.git?token=pa55"]
)
def test_an_unreachable_repository_is_retryable_and_keeps_its_secret(address: str) -> None:
    with pytest.raises(RepositoryUnreachable) as caught:
        release(FleetTarget(address, "main", "apps/wine", IMAGE))
    assert caught.value.retryable
    assert "127.0.0.1" in caught.value.why
    assert "pa55" not in shown(caught.value)


def test_a_network_that_goes_away_before_the_push(
    fleet: "BareFleet", monkeypatch: pytest.MonkeyPatch
) -> None:
    push = FleetRepository.push

    def gone(repository: FleetRepository, commit: str) -> bool:
        repository.git.config("remote.origin.url", "http://user:pa55@127.0.0.1:1/x.git")
        return push(repository, commit)

    monkeypatch.setattr(FleetRepository, "push", gone)
    with pytest.raises(RepositoryUnreachable, match="could not be pushed") as caught:
        release(fleet.target())
    assert "pa55" not in shown(caught.value)


def test_nothing_is_left_behind(fleet: "BareFleet", tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(temporary))
    release(fleet.target())
    refused(fleet.target(path="missing"))
    assert list(temporary.iterdir()) == []

"""Checking out notebook repositories: real Git, every way to name a commit, and repositories that fail."""

import os
import shutil
from concurrent.futures import ProcessPoolExecutor
from datetime import UTC
from multiprocessing import get_context
from pathlib import Path

import pytest

from tasks.errors import (
    AddressInvalid,
    CommitNotFound,
    InvalidInput,
    ModelflightError,
    RepositoryRefused,
    RepositoryUnreachable,
)
from tasks.notebook.checkout import check_out
from tests.repositories import Repositories, git


@pytest.fixture
def sources(tmp_path) -> Path:
    return tmp_path / "sources"


def left_over(sources: Path) -> list[str]:
    return [path.name for path in sources.iterdir() if path.name.startswith(".")]


def test_a_commit_has_many_names(repositories, sources):
    first = repositories.push({"a.txt": "one"}, "First")
    git(repositories.notebooks, "tag", "light", first)
    git(repositories.notebooks, "tag", "-a", "heavy", "-m", "A tag", first)
    git(repositories.notebooks, "branch", "feature/odd", first)
    second = repositories.push({"a.txt": "two"}, "Second: \u00e9 \U0001f600")
    address = str(repositories.notebooks)
    for revision in ("light", "heavy", "feature/odd", first, first[:8], "main~1"):
        found = check_out(address, revision, sources)
        assert found.commit == first
        assert (found.directory / "a.txt").read_text() == "one"
    for revision in ("HEAD", "main", second):
        found = check_out(address, revision, sources)
        assert (found.commit, found.subject) == (second, "Second: \u00e9 \U0001f600")
        assert found.committed_at.tzinfo is UTC
    assert not (found.directory / ".git").exists()
    assert left_over(sources) == []


def test_a_file_address_works_as_a_path_does(repositories, sources):
    commit = repositories.push({"a.txt": "one"})
    git(repositories.notebooks, "config", "uploadpack.allowFilter", "true")
    found = check_out(f"file://{repositories.notebooks}", "HEAD", sources)
    assert found.commit == commit
    assert (found.directory / "a.txt").read_text() == "one"


@pytest.mark.parametrize(
    "revision",
    [
        "nowhere",
        "f" * 40,
        "f" * 64,
        "",
        " ",
        "-x",
        "--all",
        "..",
        "main\n",
        "a\0b",
        "main:a.txt",
        "@{1}",
        "*",
    ],
)
def test_what_does_not_exist_is_named_with_what_does(revision, repositories, sources):
    repositories.push({"a.txt": "one"})
    with pytest.raises(CommitNotFound) as caught:
        check_out(str(repositories.notebooks), revision, sources)
    assert repr(revision) in caught.value.what
    assert caught.value.where == str(repositories.notebooks)
    assert "Branches: main" in caught.value.why
    assert caught.value.next_step
    assert left_over(sources) == []


def test_a_commit_that_no_branch_leads_to_is_not_found(repositories, sources):
    lost = repositories.push({"a.txt": "lost"})
    git(repositories.notebooks, "branch", "other", lost)
    git(repositories.notebooks, "update-ref", "-d", "refs/heads/main")
    kept = repositories.push({"a.txt": "kept"})
    git(repositories.notebooks, "update-ref", "-d", "refs/heads/other")
    git(repositories.notebooks, "config", "uploadpack.allowAnySHA1InWant", "true")
    git(repositories.notebooks, "config", "uploadpack.allowFilter", "true")
    for address in (str(repositories.notebooks), f"file://{repositories.notebooks}"):
        with pytest.raises(CommitNotFound):
            check_out(address, lost, sources)
    assert check_out(str(repositories.notebooks), "main", sources).commit == kept


def test_an_empty_repository_has_no_commit(repositories, sources):
    with pytest.raises(CommitNotFound) as caught:
        check_out(str(repositories.notebooks), "HEAD", sources)
    assert caught.value.why == "The repository has no commits yet."


@pytest.mark.parametrize(
    ("address", "error", "retryable"),
    [
        ("{0}/nowhere.git", RepositoryRefused, False),
        ("file://{0}/nowhere.git", RepositoryRefused, False),
        ("{0}", RepositoryRefused, False),
        ("http://127.0.0.1:9/x.git", RepositoryUnreachable, True),
    ],
)
def test_a_repository_that_does_not_answer_may_come_back_and_one_that_is_not_there_will_not(
    address, error, retryable, sources, tmp_path
):
    address = address.format(tmp_path)
    with pytest.raises(error) as caught:
        check_out(address, "HEAD", sources)
    assert caught.value.retryable is retryable
    assert address in caught.value.where
    assert caught.value.why
    assert left_over(sources) == []


@pytest.mark.parametrize(
    "address",
    [
        "https://ada:hunter2@git.example.com/x.git",
        "https://hunter2@git.example.com/x.git",
        "ada:hunter2@host/x.git",
    ],
)
def test_an_address_with_a_credential_is_refused_and_never_shown(address, sources, capfd):
    with pytest.raises(AddressInvalid) as caught:
        check_out(address, "HEAD", sources)
    assert "hunter2" not in str(caught.value) + repr(caught.value) + "".join(capfd.readouterr())
    assert not sources.exists()


@pytest.mark.parametrize("scheme", ["", "file://"])
def test_a_shallow_working_copy_works_as_ci_systems_make_it(scheme, repositories, sources, tmp_path):
    repositories.push({"a.txt": "one"})
    commit = repositories.push({"a.txt": "two"})
    git(tmp_path, "clone", "--quiet", "--depth=1", f"file://{repositories.notebooks}", "shallow")
    found = check_out(f"{scheme}{tmp_path}/shallow", "HEAD", sources)
    assert found.commit == commit
    assert (found.directory / "a.txt").read_text() == "two"


def test_a_hooks_own_repository_is_left_alone(repositories, sources, tmp_path, monkeypatch):
    commit = repositories.push({"a.txt": "one"})
    git(tmp_path, "clone", "--quiet", str(repositories.fleet), "victim")
    victim = tmp_path / "victim"
    before = (git(victim, "status", "--branch", "--porcelain"), git(victim, "log", "--all", "--format=%H"))
    monkeypatch.setenv("GIT_DIR", str(victim / ".git"))
    monkeypatch.setenv("GIT_WORK_TREE", str(victim))
    monkeypatch.setenv("GIT_INDEX_FILE", str(victim / ".git" / "index"))
    found = check_out(str(repositories.notebooks), "HEAD", sources)
    assert found.commit == commit
    assert (found.directory / "a.txt").read_text() == "one"
    monkeypatch.undo()
    assert before == (
        git(victim, "status", "--branch", "--porcelain"),
        git(victim, "log", "--all", "--format=%H"),
    )


def test_a_working_copy_that_is_on_no_branch_is_released_as_it_stands(repositories, sources, tmp_path):
    repositories.push({"a.txt": "one"})
    git(tmp_path, "clone", "--quiet", str(repositories.notebooks), "copy")
    git(tmp_path / "copy", "checkout", "--quiet", "--detach")
    git(tmp_path / "copy", "commit", "--quiet", "--allow-empty", "--message", "On no branch")
    commit = git(tmp_path / "copy", "rev-parse", "HEAD")
    for revision in ("HEAD", commit):
        assert check_out(str(tmp_path / "copy"), revision, sources).commit == commit


def test_a_commit_whose_files_git_left_out_is_not_known_afterwards(
    repositories, sources, tmp_path, monkeypatch
):
    commit = repositories.push({"a.txt": "one", "dir/b.txt": "two"})
    (tmp_path / "template" / "info").mkdir(parents=True)
    (tmp_path / "template" / "info" / "sparse-checkout").write_text("/a.txt\n")
    config = tmp_path / "gitconfig"
    config.write_text(f"[init]\n templateDir = {tmp_path}/template\n[core]\n sparseCheckout = true\n")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(config))
    with pytest.raises(ModelflightError, match=r"dir/b\.txt"):
        check_out(str(repositories.notebooks), commit, sources)
    assert list(sources.iterdir()) == []
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
    found = check_out(str(repositories.notebooks), commit, sources)
    assert (found.directory / "dir" / "b.txt").read_text() == "two"


def test_a_folder_without_the_commits_files_is_replaced(repositories, sources):
    commit = repositories.push({"a.txt": "one", "dir/b.txt": "two"})
    (sources / commit).mkdir(parents=True)
    (sources / commit / "a.txt").write_text("one")
    found = check_out(str(repositories.notebooks), commit, sources)
    assert (found.directory / "dir" / "b.txt").read_text() == "two"
    assert left_over(sources) == []


def test_a_date_beyond_all_calendars_is_refused(repositories, sources, tmp_path):
    tree = git(repositories.fleet, "rev-parse", "main^{tree}")
    text = (
        f"tree {tree}\nauthor A <a@b> 999999999999999 +0000\ncommitter A <a@b> 999999999999999 +0000\n\nx\n"
    )
    (tmp_path / "commit").write_text(text)
    commit = git(
        repositories.fleet, "hash-object", "-t", "commit", "-w", "--literally", str(tmp_path / "commit")
    )
    git(repositories.fleet, "update-ref", "refs/heads/odd", commit)
    with pytest.raises(InvalidInput, match="date"):
        check_out(str(repositories.fleet), "odd", sources)
    assert list(sources.iterdir()) == []


def test_a_known_commit_needs_no_repository(repositories, sources):
    commit = repositories.push({"a.txt": "one"}, "Subject")
    address = str(repositories.notebooks)
    first = check_out(address, "HEAD", sources)
    shutil.rmtree(repositories.notebooks)
    assert check_out(address, commit, sources) == first
    for revision in ("HEAD", "main", commit[:12]):
        with pytest.raises(RepositoryRefused):
            check_out(address, revision, sources)


def test_a_commit_is_known_for_the_repository_that_it_came_from_only(repositories, sources, tmp_path):
    commit = repositories.push({"a.txt": "one"})
    check_out(str(repositories.notebooks), commit, sources)
    with pytest.raises(RepositoryRefused):
        check_out(str(tmp_path / "other.git"), commit, sources)
    shutil.copytree(repositories.notebooks, tmp_path / "other.git")
    found = check_out(str(tmp_path / "other.git"), commit, sources)
    assert found.address == str(tmp_path / "other.git")


def test_a_removed_folder_is_fetched_again(repositories, sources):
    commit = repositories.push({"a.txt": "one"})
    shutil.rmtree(check_out(str(repositories.notebooks), commit, sources).directory)
    assert (check_out(str(repositories.notebooks), commit, sources).directory / "a.txt").read_text() == "one"


def test_files_are_those_of_the_commit_whatever_they_are_called(repositories, sources, tmp_path, monkeypatch):
    config = tmp_path / "gitconfig"
    config.write_text("[core]\n\tautocrlf = true\n[log]\n\tshowSignature = true\n")
    names = [" space ", "-dash", "new\nline", "\u00e9\U0001f600", 'quote"', "dir/.hidden", "a\tb"]
    repositories.push(dict.fromkeys(names, "line\n"))
    work = tmp_path / "work"
    git(tmp_path, "clone", "--quiet", str(repositories.notebooks), str(work))
    (work / "inside").symlink_to("-dash")
    (work / "dangling").symlink_to("../../nowhere")
    git(work, "add", "--all")
    git(work, "commit", "--quiet", "--message", "Links")
    git(work, "push", "--quiet", "origin", "HEAD:refs/heads/main")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(config))
    found = check_out(str(repositories.notebooks), "HEAD", sources)
    assert found.subject == "Links"
    for name in names:
        assert (found.directory / name).read_bytes() == b"line\n"
    assert os.readlink(found.directory / "inside") == "-dash"  # noqa: PTH115
    assert os.readlink(found.directory / "dangling") == "../../nowhere"  # noqa: PTH115


def test_a_subject_that_is_no_text_can_still_be_shown(repositories, sources, tmp_path):
    repositories.push({"a.txt": "one"})
    tree = git(repositories.notebooks, "rev-parse", "main^{tree}")
    message = tmp_path / "message"
    message.write_bytes(b"caf\xe9\n")
    commit = git(repositories.notebooks, "commit-tree", tree, "-F", str(message))
    git(repositories.notebooks, "update-ref", "refs/heads/main", commit)
    found = check_out(str(repositories.notebooks), "HEAD", sources)
    assert found.subject.encode().startswith(b"caf")
    assert check_out(str(repositories.notebooks), commit, sources) == found


def test_two_processes_at_once_get_the_same_folder(repositories: Repositories, sources):
    repositories.push({f"{number}.txt": "x" * 1000 for number in range(200)})
    address = str(repositories.notebooks)
    with ProcessPoolExecutor(4, mp_context=get_context("spawn")) as pool:
        found = list(pool.map(check_out, [address] * 4, ["HEAD", "main"] * 2, [sources] * 4))
    assert len(set(map(repr, found))) == 1
    assert len(list(found[0].directory.iterdir())) == 200
    assert left_over(sources) == []

"""The history of a branch: real Git, whole and partial clones, force pushes, names of all kinds."""

import tempfile

import pytest

import tasks.notebook.history
from tasks.errors import AddressInvalid, CommitNotFound, RepositoryRefused, RepositoryUnreachable
from tasks.keyring import Keyring, Login, holding
from tasks.notebook.history import head_of, history
from tests.repositories import Repositories, git


@pytest.fixture(params=["whole", "partial"])
def address(request, repositories: Repositories, monkeypatch) -> str:
    """The notebook repository's address: as a path, and as if it were on another machine."""
    if request.param == "whole":
        return str(repositories.notebooks)
    git(repositories.notebooks, "config", "uploadpack.allowFilter", "true")
    monkeypatch.setattr(tasks.notebook.history, "partial", lambda _address: ("--filter=blob:none",))
    return f"file://{repositories.notebooks}"


def test_knows_the_branches_head_and_its_commits(address, repositories):
    first = repositories.push({"a.txt": "one"})
    git(repositories.notebooks, "branch", "other", first)
    second = repositories.push({"a.txt": "two"})
    assert head_of(address, "main") == second
    assert head_of(address, "other") == first
    with history(address, "main") as found:
        assert found.head == second
        assert found.contains(first)
        assert found.contains(second)
        assert not found.contains("f" * 40)
    with history(address, "other") as found:
        assert found.head == first
        assert not found.contains(second)


def test_a_force_push_drops_commits(address, repositories):
    kept = repositories.push({"a.txt": "one"})
    dropped = repositories.push({"a.txt": "two"})
    git(repositories.notebooks, "config", "uploadpack.allowAnySHA1InWant", "true")
    git(repositories.notebooks, "update-ref", "refs/heads/main", kept)
    with history(address, "main") as found:
        assert not found.contains(dropped)
        assert found.contains(kept)


def test_tells_every_file_that_differs(address, repositories):
    names = ["changed.txt", "gone.txt", "old name.txt", "folder/deep/a.txt", "same.txt"]
    first = repositories.push({name: name * 50 for name in names})
    work = repositories.notebooks.parent / "by-hand"
    git(work.parent, "clone", "--quiet", str(repositories.notebooks), str(work))
    (work / "changed.txt").write_text("other")
    (work / "gone.txt").unlink()
    (work / "old name.txt").rename(work / "new\nn\u00e4me \U0001f600.txt")
    (work / "folder/deep/a.txt").write_text("other")
    git(work, "add", "--all")
    git(work, "commit", "--quiet", "--message", "Many")
    git(work, "push", "--quiet")
    git(repositories.notebooks, "config", "diff.renames", "copies")
    with history(address, "main") as found:
        assert found.changed_files(first, found.head) == {
            *("changed.txt", "gone.txt", "old name.txt", "new\nn\u00e4me \U0001f600.txt", "folder/deep/a.txt")
        }
        assert found.changed_files(found.head, found.head) == frozenset()


def test_reads_a_file_as_of_a_commit(address, repositories):
    first = repositories.push({"a b.txt": "one \u00e9\n\nx\n", "folder/b.txt": ""})
    (repositories.notebooks.parent / "bytes").write_bytes(b"\xff\xfe")
    work = repositories.notebooks.parent / "by-hand"
    git(work.parent, "clone", "--quiet", str(repositories.notebooks), str(work))
    (work / "a b.txt").write_text("two")
    (work / "link").symlink_to("folder/b.txt")
    (work / "outside").symlink_to("/etc/passwd")
    (work / "round").symlink_to("round")
    (work / "bytes").write_bytes(b"\xff\xfe")
    (work / "marked").write_bytes(b"\xef\xbb\xbfversion")
    git(work, "add", "--all")
    git(work, "commit", "--quiet", "--message", "Links")
    git(work, "push", "--quiet")
    with history(address, "main") as found:
        assert found.read(first, "a b.txt") == "one \u00e9\n\nx\n"
        assert found.read(found.head, "a b.txt") == "two"
        assert found.read(found.head, "folder/b.txt") == ""
        assert found.read(found.head, "link") == ""
        assert found.read(found.head, "marked") == "version"
        for name in ("nowhere.txt", "folder", "outside", "round", "bytes", "a b.txt blob 5", "a b.txt/x"):
            assert found.read(found.head, name) is None, name


def test_tells_a_commits_whole_message(address, repositories):
    commit = repositories.push({"a.txt": "one"}, "Subject\n\nBody \u00e9\n[skip release]")
    with history(address, "main") as found:
        assert found.message(commit) == "Subject\n\nBody \u00e9\n[skip release]"


def test_fetches_one_file_and_not_the_others(repositories, monkeypatch):
    git(repositories.notebooks, "config", "uploadpack.allowFilter", "true")
    monkeypatch.setattr(tasks.notebook.history, "partial", lambda _address: ("--filter=blob:none",))
    first = repositories.push({f"{number}.txt": str(number) * 999 for number in range(20)})
    repositories.push({f"{number}.txt": str(number) * 888 for number in range(20)})
    with history(f"file://{repositories.notebooks}", "main") as found:
        assert len(found.changed_files(first, found.head)) == 20
        assert found.read(found.head, "7.txt") == "7" * 888
        listed = git(found.folder / "history.git", "cat-file", "--batch-all-objects", "--batch-check")
        assert sum(" blob " in line for line in listed.splitlines()) == 1


@pytest.mark.parametrize("ask", [head_of, lambda address, branch: history(address, branch).__enter__()])
def test_a_branch_that_is_not_there_is_named_with_those_that_are(ask, address, repositories):
    with pytest.raises(CommitNotFound) as caught:
        ask(address, "main")
    assert caught.value.why == "The repository has no branches yet."
    commit = repositories.push({"a.txt": "one"})
    git(repositories.notebooks, "branch", "feature/x/refs/heads/release", commit)
    git(repositories.notebooks, "tag", "release", commit)
    with pytest.raises(CommitNotFound) as caught:
        ask(address, "release")
    assert "'release'" in caught.value.what
    assert caught.value.where == address
    assert caught.value.why == "Branches: feature/x/refs/heads/release, main."


@pytest.mark.parametrize("ask", [head_of, lambda address, branch: history(address, branch).__enter__()])
@pytest.mark.parametrize(
    ("address", "error"),
    [
        ("{0}/nowhere.git", RepositoryRefused),
        ("http://127.0.0.1:9/x.git", RepositoryUnreachable),
        ("https://ada:hunter2@git.example.com/x.git", AddressInvalid),
    ],
)
def test_a_repository_that_cannot_be_read_is_told_as_a_checkout_tells_it(ask, address, error, tmp_path):
    with pytest.raises(error) as caught:
        ask(address.format(tmp_path), "main")
    assert "hunter2" not in str(caught.value)


def test_a_repository_that_goes_away_in_between_is_told(repositories, monkeypatch):
    git(repositories.notebooks, "config", "uploadpack.allowFilter", "true")
    monkeypatch.setattr(tasks.notebook.history, "partial", lambda _address: ("--filter=blob:none",))
    commit = repositories.push({"a.txt": "one"})
    address = f"file://{repositories.notebooks}"

    def read_too_late() -> None:
        with history(address, "main") as found:
            repositories.notebooks.rename(repositories.notebooks.with_name("gone.git"))
            found.read(commit, "a.txt")

    with pytest.raises((RepositoryUnreachable, RepositoryRefused)) as caught:
        read_too_late()
    assert caught.value.where == address


def test_nothing_is_left_behind(address, repositories, tmp_path, monkeypatch):
    repositories.push({"a.txt": "one"})
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    with history(address, "main"):
        assert len(list(temporary.iterdir())) == 1
    assert list(temporary.iterdir()) == []


def test_a_sha256_repository_works(tmp_path):
    git(tmp_path, "init", "--quiet", "--initial-branch=main", "--object-format=sha256", "modern")
    git(tmp_path / "modern", "commit", "--quiet", "--allow-empty", "--message", "First")
    with history(str(tmp_path / "modern"), "main") as found:
        assert found.contains(found.head)
        assert len(found.head) == 64


def test_the_token_is_not_among_the_arguments(tmp_path, monkeypatch):
    trace = tmp_path / "trace"
    monkeypatch.setenv("GIT_TRACE", str(trace))
    address = "http://127.0.0.1:9/x.git"
    with holding(Keyring(git={address: Login("ada", "s3cret")})), pytest.raises(RepositoryUnreachable):
        head_of(address, "main")
    assert "ls-remote" in trace.read_text()
    assert "s3cret" not in trace.read_text()

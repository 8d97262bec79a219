"""Working copies that releases are started from."""

from pathlib import Path

import pytest

from tasks.errors import InvalidInput
from tasks.notebook.worktree import is_unpushed, top_level, uncommitted
from tests.repositories import Repositories, git


def test_a_sub_folder_belongs_to_its_repository(repositories: Repositories, tmp_path: Path) -> None:
    repositories.push({"sub folder/a.txt": "one"})
    git(tmp_path, "clone", "--quiet", str(repositories.notebooks), "copy")
    assert top_level(tmp_path / "copy" / "sub folder") == tmp_path / "copy"
    assert top_level(repositories.notebooks) == repositories.notebooks
    with pytest.raises(InvalidInput, match="no Git repository"):
        top_level(tmp_path)


def test_a_commit_that_was_not_pushed_is_told_from_one_that_was(
    repositories: Repositories, tmp_path: Path
) -> None:
    pushed = repositories.push({"a.txt": "one"})
    git(tmp_path, "clone", "--quiet", str(repositories.notebooks), "copy")
    copy = tmp_path / "copy"
    git(copy, "commit", "--quiet", "--allow-empty", "--message", "mine")
    assert is_unpushed(copy, "HEAD")
    assert not is_unpushed(copy, pushed)
    assert not is_unpushed(copy, "no such commit")
    assert not is_unpushed(repositories.notebooks, "main")


def test_changes_that_no_commit_has_are_named(repositories: Repositories, tmp_path: Path) -> None:
    repositories.push({"a b.txt": "one", "c.txt": "one"})
    git(tmp_path, "clone", "--quiet", str(repositories.notebooks), "copy")
    copy = tmp_path / "copy"
    assert uncommitted(copy) == []
    (copy / "a b.txt").write_text("two")
    (copy / "new.txt").write_text("new")
    assert sorted(uncommitted(copy)) == ["a b.txt", "new.txt"]
    assert uncommitted(repositories.notebooks) == []
    assert uncommitted(tmp_path) == []

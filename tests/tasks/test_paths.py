import pytest

from tasks.paths import matches


@pytest.mark.parametrize(
    ("pattern", "file"),
    [
        ("wine.ipynb", "wine.ipynb"),
        ("./wine.ipynb", "wine.ipynb"),
        ("wine[1].ipynb", "wine[1].ipynb"),
        ("odd[1]", "odd[1]/a.py"),
        ("source", "source/a.py"),
        ("source/", "source/deep/a.py"),
        (".", "source/a.py"),
        ("*.py", "a.py"),
        ("sourc?/*.py", "source/a.py"),
        ("[a-c].py", "b.py"),
        ("so*", "source/deep/a.py"),
        ("**", "a.py"),
        ("**/*.py", "a.py"),
        ("**/*.py", "source/deep/a.py"),
        ("source/**", "source/deep/a.py"),
        ("source/**/a.py", "source/a.py"),
        ("source/**/a.py", "source/very/deep/a.py"),
        ("**/deep/**/a.py", "source/deep/down/a.py"),
        ("**/**/a.py", "a.py"),
    ],
)
def test_a_pattern_stands_for_files_folders_and_what_a_glob_finds(pattern, file):
    assert matches([pattern], file)


@pytest.mark.parametrize(
    ("pattern", "file"),
    [
        ("wine.ipynb", "folder/wine.ipynb"),
        ("wine.ipynb", "wine.ipynb.orig"),
        ("Wine.ipynb", "wine.ipynb"),
        ("source", "sources/a.py"),
        ("source/a", "source/a.py"),
        ("*.py", "source/a.py"),
        ("sourc?", "source1/a.py"),
        ("source/**", "source"),
        ("source/**/a.py", "other/source/a.py"),
        ("**/a.py", "source/b.py"),
    ],
)
def test_a_pattern_stands_for_nothing_else(pattern, file):
    assert not matches([pattern], file)


def test_one_of_several_patterns_is_enough_and_none_is_not():
    assert matches(["wine.ipynb", "source"], "source/a.py")
    assert not matches([], "wine.ipynb")


def test_a_pattern_made_to_take_for_ever_does_not():
    # With backtracking either would take years.
    assert not matches(["/".join(["**", "a"] * 50) + "/b"], "/".join(["a"] * 2000))
    assert not matches(["*a" * 50 + "b"], "a" * 2000)

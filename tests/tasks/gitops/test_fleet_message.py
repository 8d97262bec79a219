import pytest

from tasks.errors import InvalidInput
from tasks.gitops.message import commit_message
from tasks.release import ReleaseId

ID = ReleaseId("wine-0123456789ab-1")


def test_the_release_id_is_the_first_trailer() -> None:
    message = commit_message("Release wine 👩‍🔬", ID, {"Model": "wine", "Pipeline-Run": "7"})
    assert message == f"Release wine 👩‍🔬\n\nRelease-Id: {ID}\nModel: wine\nPipeline-Run: 7\n"


@pytest.mark.parametrize("subject", ["", "  ", "two\nlines", "a\rb", "a\u2028b", "a\x00b"])
def test_a_subject_is_one_line(subject: str) -> None:
    with pytest.raises(InvalidInput, match="subject"):
        commit_message(subject, ID, {})


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("Model", "wine\nRelease-Id: other"),
        ("Model", "a\x00"),
        ("Model:", "x"),
        ("", "x"),
        ("Two words", "x"),
        ("release-id", "x"),
    ],
)
def test_a_trailer_cannot_smuggle_in_another_one(key: str, value: str) -> None:
    with pytest.raises(InvalidInput, match="trailer"):
        commit_message("Release", ID, {key: value})


def test_without_a_release_there_is_no_release_id() -> None:
    assert commit_message("By hand", None, {}) == "By hand\n"
    assert commit_message("By hand", None, {"Model": "wine"}) == "By hand\n\nModel: wine\n"

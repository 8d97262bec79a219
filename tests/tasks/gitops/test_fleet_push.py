import pytest

from tasks.gitops.push import Outcome, outcome, refusal

LINE = "To https://git.example.com/fleet.git\n!\tabc:refs/heads/main\t{}\nDone\n"


@pytest.mark.parametrize(
    ("status", "porcelain", "stderr", "wanted"),
    [
        (0, "*\tabc:refs/heads/main\t[new branch]", "", Outcome.LANDED),
        (1, LINE.format("[rejected] (fetch first)"), "error: failed to push some refs", Outcome.LOST),
        (1, LINE.format("[rejected] (non-fast-forward)"), "", Outcome.LOST),
        (
            1,
            LINE.format("[remote rejected] (cannot lock ref 'refs/heads/main': is at 1 but expected 2)"),
            "",
            Outcome.LOST,
        ),
        (1, LINE.format("[remote rejected] (incorrect old value provided)"), "", Outcome.LOST),
        (1, LINE.format("[remote rejected] (failed to update ref)"), "", Outcome.LOST),
        (1, LINE.format("[remote rejected] (pre-receive hook declined)"), "remote: no", Outcome.REFUSED),
        (
            1,
            LINE.format("[remote rejected] (protected branch hook declined)"),
            "remote: GH006",
            Outcome.REFUSED,
        ),
        (1, LINE.format("[remote rejected] (unpacker error)"), "", Outcome.REFUSED),
        # Hosts refuse a credential that can only read before anything is pushed.
        (
            128,
            "",
            "remote: Permission to a/b.git denied to c.\nfatal: unable to access: The requested URL returned "
            "error: 403",
            Outcome.REFUSED,
        ),
        (
            128,
            "",
            "ERROR: The key you are authenticating with has been marked as read only.",
            Outcome.REFUSED,
        ),
        (
            128,
            "",
            "fatal: could not read Username for 'https://x': terminal prompts disabled",
            Outcome.REFUSED,
        ),
        (128, "", "fatal: unable to access 'http://x/': Couldn't connect to server", Outcome.UNKNOWN),
        (128, "", "fatal: the remote end hung up unexpectedly", Outcome.UNKNOWN),
        (128, "", "error: RPC failed; HTTP 502\nsend-pack: unexpected disconnect", Outcome.UNKNOWN),
    ],
)
def test_tells_races_from_refusals_from_lost_connections(
    status: int, porcelain: str, stderr: str, wanted: Outcome
) -> None:
    assert outcome(status, porcelain, stderr) is wanted


def test_a_hook_that_speaks_of_races_is_still_a_refusal() -> None:
    porcelain = LINE.format("[remote rejected] (pre-receive hook declined)")
    assert outcome(1, porcelain, "remote: cannot lock ref, fetch first") is Outcome.REFUSED


def test_a_refusal_is_told_in_the_servers_words() -> None:
    porcelain = LINE.format("[remote rejected] (pre-receive hook declined)")
    stderr = "remote: Ask for a review.        \nerror: failed to push some refs to 'x'"
    assert refusal(porcelain, stderr).splitlines() == [
        "pre-receive hook declined",
        "remote: Ask for a review.        ",
    ]

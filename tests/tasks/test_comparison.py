"""The decision what is missing, for every order of pushes, webhooks, releases and syncs."""

from dataclasses import dataclass, field, replace
from uuid import UUID

from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.comparison import Deployed, compare
from tasks.release import CommitSha
from tasks.start import Start

ADDRESS = "https://git.example.com/notebooks.git"
DEPLOYMENTS = {"rain": UUID(int=1), "wine": UUID(int=2)}
Content = dict[str, int]


def sha(number: int) -> CommitSha:
    return CommitSha(f"{number:012x}".ljust(40, "0"))


@dataclass
class Run:
    """A release that was started; `superseded` is not known before it ran."""

    start: Start
    model: str
    superseded: bool | None = None


@dataclass
class World:
    """A branch, and Prefect with its idempotency keys."""

    branch: list[CommitSha] = field(default_factory=list)
    contents: dict[CommitSha, Content] = field(default_factory=dict)
    runs: dict[str, Run] = field(default_factory=dict)
    on_the_way: list[tuple[str, CommitSha]] = field(default_factory=list)

    @property
    def head(self) -> Content:
        return self.contents[self.branch[-1]]

    def push(self, content: Content, dropped: int, delivery: str) -> None:
        del self.branch[max(len(self.branch) - dropped, 1) :]
        commit = sha(len(self.contents))
        before = self.head if self.branch else {}
        self.branch.append(commit)
        self.contents[commit] = content
        changed = [model for model in content if before.get(model) != content[model]]
        if delivery == "late":
            self.on_the_way += [(model, commit) for model in changed]
        if delivery == "delivered":
            for model in changed:
                self.start(model, Start(DEPLOYMENTS[model], ADDRESS, commit))

    def start(self, model: str, start: Start) -> None:
        self.runs.setdefault(start.key, Run(start, model))

    def arrive(self, which: int) -> None:
        if self.on_the_way:
            model, commit = self.on_the_way.pop(which % len(self.on_the_way))
            self.start(model, Start(DEPLOYMENTS[model], ADDRESS, commit))

    def work(self) -> None:
        """The oldest run that waits begins, and looks whether it is still the newest."""
        waiting = (run for run in self.runs.values() if run.superseded is None)
        if run := next(waiting, None):
            kept = run.start.commit in self.branch
            released = self.contents[run.start.commit][run.model]
            run.superseded = not kept or released != self.head[run.model]

    def deployed(self, model: str) -> Deployed:
        runs = [run for run in reversed(self.runs.values()) if run.model == model]
        return Deployed(
            DEPLOYMENTS[model],
            paused=False,
            started=tuple(run.start.commit[:12] for run in runs if not run.superseded),
            void=tuple(run.start.commit[:12] for run in runs if run.superseded),
        )

    def missing(self) -> list[tuple[str, Start]]:
        def changed(old: CommitSha | None) -> frozenset[str]:
            before = self.contents[old] if old else {}
            return frozenset(model for model, version in self.head.items() if before.get(model) != version)

        deployed = {model: self.deployed(model) for model in DEPLOYMENTS}
        findings = compare(ADDRESS, self.branch[::-1], changed, deployed, skipped=False)
        return [(found.model, found.start) for found in findings if found.start]

    def sync(self) -> None:
        for model, start in self.missing():
            assert start.commit == self.branch[-1]
            assert start.key not in self.runs, "it would be refused as a repetition, and nothing would start"
            self.start(model, start)


CONTENTS = st.fixed_dictionaries({"wine": st.integers(0, 2), "rain": st.integers(0, 2)})
PUSHES = st.tuples(
    st.just("push"),
    CONTENTS,
    st.sampled_from([0, 0, 0, 1, 2]),
    st.sampled_from(["delivered", "late", "lost"]),
)
OTHERS = st.sampled_from([("sync",), ("work",), ("arrive", 0), ("arrive", 1)])


@given(PUSHES, st.lists(PUSHES | OTHERS, max_size=25))
@settings(max_examples=300)
def test_after_a_sync_each_model_of_the_head_is_started_once_and_no_commit_twice(first, events):
    world = World()
    for what, *how in (first, *events, ("sync",)):
        getattr(world, what)(*how)

    assert world.missing() == [], "a second sync starts nothing"
    for model in DEPLOYMENTS:
        alive = [run.start.commit for run in world.runs.values() if run.model == model and not run.superseded]
        assert len(alive) == len(set(alive)), "no commit is started twice, unless its run gave way"
        assert any(
            world.contents[commit][model] == world.head[model] for commit in alive if commit in world.branch
        )


def decide(deployed: Deployed | None, changed: set[str] | None = None, skipped: bool = False):
    """The finding for one model on a branch of three commits."""
    commits = [sha(3), sha(2), sha(1)]
    (found,) = compare(
        ADDRESS,
        commits,
        lambda old: frozenset({"wine"} if old is None or changed is None else changed),
        {"wine": deployed} if deployed else {},
        skipped,
    )
    return found


IDLE = Deployed(DEPLOYMENTS["wine"], paused=False)
AT_FIRST = replace(IDLE, started=(sha(1)[:12],))


def test_a_start_is_the_one_that_a_webhook_would_make():
    assert decide(AT_FIRST).start == Start(IDLE.id, ADDRESS, sha(3))
    assert decide(AT_FIRST).newest == sha(1)
    assert decide(IDLE).start == Start(IDLE.id, ADDRESS, sha(3))


def test_what_is_not_started_says_why():
    assert decide(None).outcome == "not started: it has no deployment yet"
    assert decide(replace(IDLE, started=(sha(3)[:12],))).outcome == "released"
    assert decide(AT_FIRST, changed=set()).outcome == "unchanged since its newest release"
    assert decide(replace(AT_FIRST, paused=True)).outcome == "not started: its deployment is paused"
    assert decide(AT_FIRST, skipped=True).outcome == "not started: the head's message says [skip release]"
    for found in (decide(None), decide(replace(AT_FIRST, paused=True)), decide(AT_FIRST, skipped=True)):
        assert found.start is None


def test_the_release_nearest_to_the_head_counts_and_not_the_one_that_began_last():
    late = replace(IDLE, started=(sha(1)[:12], sha(2)[:12]))
    assert decide(late, changed=set()).newest == sha(2)


def test_a_release_off_the_branch_is_replaced_though_nothing_changed_since_the_one_before():
    found = decide(replace(IDLE, started=(sha(9)[:12], sha(1)[:12])), changed=set())
    assert found.start
    assert found.outcome == "its newest release is not on the branch"


def test_a_run_that_never_began_is_no_release():
    found = decide(replace(AT_FIRST, void=(sha(3)[:12], sha(2)[:12])))
    assert found.newest == sha(1)
    assert found.start == Start(IDLE.id, ADDRESS, sha(3), attempt=2)


def test_where_no_run_can_begin_starting_comes_to_an_end():
    found = decide(replace(AT_FIRST, void=(sha(3)[:12],) * 5))
    assert found.start is None
    assert found.outcome == "not started: 5 runs of this commit never began"

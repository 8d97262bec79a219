"""Waiting for a person's approval: suspended in Prefect, or asked on the terminal of the command line."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime, timedelta
from uuid import UUID

from prefect import get_run_logger
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import (
    FlowFilter,
    FlowFilterName,
    FlowRunFilter,
    FlowRunFilterState,
    FlowRunFilterStateName,
)
from prefect.client.schemas.objects import FlowRunInput
from prefect.flow_runs import suspend_flow_run
from prefect.input import RunInput
from prefect.runtime import deployment, flow_run
from pydantic import ConfigDict, Field

from flows.at_rest import forget_process
from flows.deploy_settings import DeploySettings
from tasks.ask_approval import Question, ask_approval, record_answer
from tasks.deployment.desired import RELEASE_FLOW
from tasks.errors import InvalidInput
from tasks.gitops.message import one_line
from tasks.release import Approval, GateDecision, ModelImage, ReleasePlan

# An automation ends the waiting in time, with an answer; where it does not run, Prefect's own end, which is a
# failure, is to be far behind.
_LONGEST = timedelta(days=365)
_FOR_THE_AUTOMATION = timedelta(minutes=5)
_KEY = "approval"

Asker = Callable[[Question], Approval]
_asker: ContextVar[Asker | None] = ContextVar("asker", default=None)


class ApprovalForm(RunInput):
    """The form that a person answers in Prefect's pages; sent as it is, it says no."""

    model_config = ConfigDict(
        title="Approval",
        extra="forbid",
        json_schema_extra={
            "if": {"properties": {"approve": {"const": True}}, "required": ["approve"]},
            "then": {"properties": {"name": {"pattern": r"\S"}}, "required": ["name"]},
        },
    )

    approve: bool = Field(default=False, title="Bring it into the fleet", description="Off means no.")
    name: str = Field(
        default="",
        title="Who you are",
        description="Kept with the release and in the fleet's commit. Needed to say yes.",
    )
    reason: str = Field(default="", title="Why", description="Kept with the release, one line.")


@contextmanager
def answering(ask: Asker | None) -> Iterator[None]:
    """While it is open, `ask` answers for releases that cannot wait suspended: no deployment started them."""
    token = _asker.set(ask)
    try:
        yield
    finally:
        _asker.reset(token)


def check_answerable(plan: ReleasePlan) -> None:
    """Raises InvalidInput where the release needs an approval that nobody can give; before it trains."""
    if plan.model.approval == "none" or deployment.id or _asker.get():
        return
    raise InvalidInput(
        "The release needs a person's approval, and there is nobody to ask.",
        where=f"modelflight.yaml: models.{plan.model.name}.approval",
        why="It was started by no deployment, in which it could wait, and not on a terminal.",
        next_step="Start it from the model's deployment, or approve it beforehand with `--approve REASON`.",
    )


def wait_for_approval(plan: ReleasePlan, decision: GateDecision, image: ModelImage) -> Approval | None:
    """The answer, or None where none is needed.

    In a run of a deployment the first call suspends the run: its process ends, and when the run is resumed,
    the flow comes here again.
    """
    if plan.model.approval == "none":
        return None
    question = ask_approval(plan, decision, image)
    if question.answered:
        return question.answered
    ask = _asker.get()
    return record_answer(plan, ask(question) if ask else _answer_in_prefect(question))


def objection(approval: Approval | None) -> str:
    """Why the release is refused; empty where nobody said no."""
    return approval.told if approval and not approval.granted else ""


def end_overdue_approvals(spare: timedelta = _FOR_THE_AUTOMATION) -> None:
    """Lets releases go on with no that wait for longer than they may, and `spare`.

    That is the automation's to do, but Prefect forgets what falls due while its server is away.
    """
    latest = datetime.now(UTC) - DeploySettings.from_environment().approval - spare
    suspended = FlowRunFilterState(name=FlowRunFilterStateName(any_=["Suspended"]))
    with get_client(sync_client=True) as client:
        waiting = client.read_flow_runs(
            flow_filter=FlowFilter(name=FlowFilterName(any_=[RELEASE_FLOW])),
            flow_run_filter=FlowRunFilter(state=suspended),
        )
        for run in waiting:
            if run.state and run.state.timestamp < latest:
                get_run_logger().info("nobody answered %s in time", run.name)
                client.resume_flow_run(run.id)


def _answer_in_prefect(question: Question) -> Approval:
    patience = DeploySettings.from_environment().approval
    found = _answer()
    if found is None:
        forget_process(flow_run.id)
        until = question.asked_at + patience
        get_run_logger().info(
            "waits for a person until %s (UTC): Resume, in the menu of this page", f"{until:%Y-%m-%d %H:%M}"
        )
        # Prefect forgets at a retry which suspensions there were, but not their forms: each try has its own.
        suspend_flow_run(
            wait_for_input=ApprovalForm.with_initial_data(description=question.markdown),
            key=f"{_KEY}-{flow_run.run_count}",
            timeout=int((patience + _LONGEST).total_seconds()),
        )
        return judge(ApprovalForm(), datetime.now(UTC), question.asked_at, patience)
    form = ApprovalForm(**found.decoded_value)
    return judge(form, found.created or datetime.now(UTC), question.asked_at, patience)


def _answer() -> FlowRunInput | None:
    with get_client(sync_client=True) as client:
        found = client.filter_flow_run_input(
            UUID(flow_run.id), key_prefix=f"suspended-{_KEY}-", limit=100, exclude_keys=set()
        )
    return next((each for each in found if each.key.endswith("-response")), None)


def judge(form: ApprovalForm, at: datetime, asked_at: datetime, patience: timedelta) -> Approval:
    """What the form means that was sent `at` this time; a yes counts in time only, and with a name."""
    name, reason = one_line(form.name), one_line(form.reason)
    hours = f"{patience.total_seconds() / 3600:g} hours"
    late = at >= asked_at + patience
    if form.approve and name and not late:
        return Approval(granted=True, by=name, reason=reason, at=at)
    if form.approve and late:
        reason = f"the answer came later than {hours} after the question"
    elif form.approve:
        reason = "an approval needs the name of who gives it"
    elif not name and not reason:
        reason = f"nobody answered within {hours}" if late else "the run was resumed without an answer"
    return Approval(granted=False, by=name, reason=reason, at=at)

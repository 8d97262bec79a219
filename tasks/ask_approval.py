"""Asks a person whether the model may be brought into the fleet, and keeps the answer."""

from dataclasses import dataclass
from datetime import UTC, datetime

from prefect.artifacts import create_markdown_artifact

from tasks.gate.decide import describe
from tasks.gitops.approval import approval_of
from tasks.gitops.bump import released_trailers
from tasks.gitops.target import target_of
from tasks.markdown import code, text
from tasks.release import Approval, GateDecision, ModelImage, ReleaseId, ReleasePlan
from tasks.step import leave_artifact, step


@dataclass(frozen=True)
class Question:
    """What a person is asked, also in Markdown, and when (UTC); `answered` tells of an earlier answer."""

    release_id: ReleaseId
    decision: GateDecision
    image: ModelImage
    markdown: str
    asked_at: datetime
    answered: Approval | None


@step(
    "ask for approval",
    lambda question: question.answered.told if question.answered else "a person is asked",
    timeout_seconds=600,
)
def ask_approval(plan: ReleasePlan, decision: GateDecision, image: ModelImage) -> Question:
    """The question; it is answered when the release's commit is in the fleet already, with an approval."""
    answered = approval_of(released_trailers(target_of(plan), plan.release_id))
    markdown = _markdown(plan, decision, image)
    return Question(plan.release_id, decision, image, markdown, datetime.now(UTC), answered)


@step("record answer", lambda approval: approval.told, timeout_seconds=300)
def record_answer(plan: ReleasePlan, answer: Approval) -> Approval:
    """The answer, which is shown in Prefect as well."""
    rows = {
        "release": code(plan.release_id),
        "answer": "yes" if answer.granted else "no",
        "who": text(answer.by),
        "when (UTC)": f"{answer.at:%Y-%m-%d %H:%M:%S}",
        "why": text(answer.reason),
    }
    leave_artifact(
        create_markdown_artifact,
        key=f"{plan.model.name}-approval",
        markdown="# Approval\n\n| | |\n|---|---|\n"
        + "".join(f"| {name} | {value} |\n" for name, value in rows.items()),
        description=f"Whether a person let release {plan.release_id} into the fleet.",
    )
    return answer


def _markdown(plan: ReleasePlan, decision: GateDecision, image: ModelImage) -> str:
    table = describe(decision)
    header = list(table[0])
    lines = [
        f"## Bring {code(plan.model.name)} into the fleet?",
        "",
        "| " + " | ".join(map(text, header)) + " |",
        "|---" * len(header) + "|",
        *("| " + " | ".join(text(row[name]) for name in header) + " |" for row in table),
        "",
        f"- Notebook commit: {code(plan.source.commit)} {text(plan.source.subject)}",
        f"- Notebook repository: {_link(plan.source.address)}",
        f"- Image: {code(image.reference)}",
        f"- Replaces: {code(decision.replaces)}",
        f"- Fleet: {code(plan.model.fleet.path)} on branch {code(plan.model.fleet.branch)} "
        f"of {_link(plan.fleet_address)}",
    ]
    return "\n".join(lines)


def _link(address: str) -> str:
    """A link where the address leads to a page, which Git servers have without the suffix."""
    if not address.startswith(("https://", "http://")):
        return code(address)
    page = address.removesuffix(".git")
    return f"<{page}>" if page.isprintable() and not set(page) & set("<> ") else code(address)

"""What Prefect's pages say about the deployment of a model."""

from tasks.markdown import code, text
from tasks.model import Criterion, Model

_FOOT = (
    "From `modelflight.yaml`, by `modelflight deploy`, which puts back what is changed here; pausing it, or "
    "its schedule, stays."
)


def describe_model(name: str, address: str, branch: str, model: Model) -> str:
    """Markdown: what the model is, what it must reach, where it goes, and when it is trained."""
    rows = {
        "notebook": code(model.notebook),
        "released when a push changes": ", ".join(map(code, dict.fromkeys(model.watched))),
        "gate": "; ".join(map(_criterion, model.gate)),
        "image": code(model.image),
        "fleet": f"{code(model.fleet.path)} in {code(model.fleet.repository)}, branch "
        f"{code(model.fleet.branch)}, by {text(model.fleet.mode)}",
        "rollout": _rollout(model),
        "schedule": _schedule(model),
        "approval": "a person agrees before the fleet is changed"
        if model.approval == "before_bump"
        else "none",
    }
    table = "".join(f"| {label} | {value} |\n" for label, value in rows.items())
    return (
        f"Releases the model {code(model.name)} of the notebook repository {code(name)}: {code(address)}, "
        f"branch {code(branch)}.\n\n| | |\n|---|---|\n{table}\n{_FOOT}"
    )


def _criterion(criterion: Criterion) -> str:
    bound = "at least" if criterion.better == "higher" else "at most"
    limit = f"{bound} {criterion.limit:g}, and " if criterion.limit is not None else ""
    worse = f"at most {criterion.tolerance:g} worse than" if criterion.tolerance else "no worse than"
    shown = f", as {code(criterion.evaluate.function)} shows" if criterion.evaluate else ""
    return f"{code(criterion.metric)} ({criterion.better} is better) {limit}{worse} the champion's{shown}"


def _rollout(model: Model) -> str:
    if model.rollout is None:
        return "not followed"
    canary = code(f"{model.rollout.namespace}/{model.rollout.canary}")
    minutes = model.rollout.timeout.total_seconds() / 60
    then = "Git is put back" if model.rollout.on_failure == "revert" else "Git is kept"
    return f"{canary}, at most {minutes:g} minutes; when it fails {then}"


def _schedule(model: Model) -> str:
    if model.schedule is None:
        return "none"
    when = "always" if model.schedule.always else "skipped when nothing changed"
    return f"{code(model.schedule.cron)} {text(model.schedule.timezone)}; {when}"

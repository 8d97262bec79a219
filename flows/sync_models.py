"""Nothing is lost: starts what no webhook started because it, its receiver or Prefect was away."""

from prefect import State, flow
from prefect.futures import PrefectFuture
from prefect.task_runners import ThreadPoolTaskRunner

from flows.approval import end_overdue_approvals
from flows.compared import keep_mark, mark, read_deployed, read_ended, read_marks
from flows.deploy_models import deploy_models
from flows.registered import Registered
from tasks.comparison import Comparison, Registration
from tasks.find_heads import find_heads
from tasks.find_missing import find_missing
from tasks.finish_sync import finish_sync
from tasks.keyring import holding
from tasks.start_missing import start_missing


@flow(name="sync-models", task_runner=ThreadPoolTaskRunner(max_workers=4))  # type: ignore[arg-type]
def sync_models(registration: str | None = None) -> State[None]:
    """Deploys and releases what is on the registered branches and was not released yet.

    What commits with `[skip release]` in their message changed, and models whose deployment is paused, are
    left alone. Releases that nobody answered in time are refused. A repository that cannot be read does not
    hold up the others; the run then ends as failed.

    Args:
        registration: Name of a notebook repository's block; empty: all of them.
    """
    end_overdue_approvals()
    known = Registered.read()
    notebooks, broken = known.chosen([registration] if registration else [])
    chosen = [Registration(name, block.address, block.branch) for name, block in notebooks.items()]
    with holding(known.keyring):
        heads, marks = find_heads(chosen), read_marks()
        deployed, ended = read_deployed(), read_ended()
        moved = [
            each
            for each in chosen
            if marks.get(each.name) != mark(each, heads.get(each.name), deployed[each.name], ended)
        ]
        failures: dict[str, Exception] = {**broken}
        if moved:
            failures |= {
                each.subject: each.error for each in deploy_models([each.name for each in moved]).problems
            }
            deployed = read_deployed()
        searches = [(each.name, find_missing.submit(each, deployed[each.name])) for each in moved]
        results = {name: _start(search) for name, search in searches}
    comparisons = [each for each in results.values() if isinstance(each, Comparison)]
    failures |= {name: each for name, each in results.items() if isinstance(each, Exception)}
    # By names of registrations, and of deployments: `release-model/NAME.MODEL`.
    failed = {subject.rpartition("/")[2].partition(".")[0] for subject in failures}
    for each in comparisons:
        name = each.registration.name
        if name not in failed and each.models <= deployed[name].keys():
            keep_mark(name, mark(each.registration, each.head, deployed[name], ended))
    return finish_sync([each for each in chosen if each not in moved], heads, comparisons, failures)


def _start(search: PrefectFuture[Comparison]) -> Comparison | Exception:
    """What became of the comparison and of its starts; the error where one of them failed."""
    found: Comparison | Exception = search.result(raise_on_failure=False)
    if isinstance(found, Comparison) and found.missing:
        return start_missing(found, return_state=True).result(raise_on_failure=False)
    return found

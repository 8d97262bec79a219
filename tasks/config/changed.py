"""Which models of a notebook repository a push changed."""

from collections.abc import Collection

from tasks.config.load import FILE_NAME, parse_project
from tasks.errors import ConfigInvalid
from tasks.model import Model
from tasks.paths import matches


def changed_models(old_text: str | None, new_text: str, files: Collection[str]) -> frozenset[str]:
    """Names of the models in `new_text` that differ from those in `old_text`, or one of whose files changed.

    Both texts are `modelflight.yaml`, before and after; `files` are the paths that changed in between.
    Without a readable one before, all models are new.

    Raises:
        ConfigInvalid: `new_text` has problems.
    """
    models = parse_project(new_text, FILE_NAME).models
    before = _before(old_text)
    return frozenset(
        model.name
        for model in models
        if before.get(model.name) != model or any(matches(model.watched, file) for file in files)
    )


def _before(text: str | None) -> dict[str, Model]:
    try:
        project = parse_project(text or "", FILE_NAME)
    except ConfigInvalid:
        return {}
    return {model.name: model for model in project.models}

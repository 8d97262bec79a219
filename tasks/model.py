"""The types of `modelflight.yaml`: one `Project` with its models.

The JSON Schema that editors use is generated from these types, so the descriptions here are what people see
while they type.
"""

import re
from datetime import timedelta
from pathlib import PurePosixPath
from typing import Annotated, Any, Literal
from zoneinfo import available_timezones

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    WithJsonSchema,
    model_validator,
)

from tasks.address import check_address
from tasks.errors import AddressInvalid

Parameter = bool | int | float | str
"""What a notebook parameter can be; bool before int, because every bool is an int to Python."""

_DNS_LABEL = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"
# Lower-case repository with an optional host and port; tag and digest are Modelflight's to add.
_IMAGE = r"^[a-zA-Z0-9.-]+(:[0-9]+)?(/[a-z0-9]+([._-]+[a-z0-9]+)*)+$"
_PINNED_IMAGE = r"^[^@\s]+@sha256:[0-9a-f]{64}$"
_DURATION = re.compile(r"(\d+)([smh])")


def _duration(value: object) -> object:
    """Seconds of `30m`, `90s`, `1h`, `1h30m`; anything else goes on to pydantic's own reading."""
    if isinstance(value, str):
        parts = _DURATION.findall(value)
        if not parts or "".join(number + unit for number, unit in parts) != value:
            raise ValueError("a duration looks like 90s, 30m or 1h30m")
        seconds = {"s": 1, "m": 60, "h": 3600}
        return timedelta(seconds=sum(int(number) * seconds[unit] for number, unit in parts))
    raise ValueError("a duration looks like 90s, 30m or 1h30m")


def _inside(value: str) -> str:
    """A path that stays inside the repository, as it is written there."""
    path = PurePosixPath(value)
    if path.is_absolute() or ".." in path.parts or "\\" in value or "\0" in value or not value.strip():
        raise ValueError("a path is relative to the repository and stays inside it")
    return value


def _address(value: str) -> str:
    try:
        return check_address(value, "fleet.repository")
    except AddressInvalid as error:
        raise ValueError(f"{error.why} {error.next_step}") from None


def _timezone(value: str) -> str:
    if value not in available_timezones():
        raise ValueError("no such time zone; use a name like Europe/Berlin or UTC")
    return value


def _cron(value: str) -> str:
    from cronsim import CronSim, CronSimError  # imported here: only files with a schedule need it

    try:
        from datetime import UTC, datetime

        CronSim(value, datetime.now(UTC))
    except CronSimError as error:
        raise ValueError(f"no cron expression of five fields: {error}") from None
    return value


RepositoryPath = Annotated[str, AfterValidator(_inside)]
Duration = Annotated[
    timedelta,
    BeforeValidator(_duration),
    WithJsonSchema({"type": "string", "pattern": r"^(\d+[smh])+$", "examples": ["30m"]}),
]


class _Strict(BaseModel):
    """Unknown keys are mistakes; values are not converted; nothing changes after validation."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, hide_input_in_errors=True)


class Environment(_Strict):
    """What the notebook's steps run in."""

    base_image: str | None = Field(
        None, pattern=_PINNED_IMAGE, description="Image of the pipeline's steps, pinned: name@sha256:..."
    )
    requirements: RepositoryPath | None = Field(
        None, description="Locked requirements file in the notebook repository."
    )


class Gate(_Strict):
    """What a new model must reach to be released."""

    metric: str = Field(description="A metric that the notebook's pipeline-metrics cell prints.")
    better: Literal["higher", "lower"] = Field("higher", description="Which direction is better.")
    minimum: float | None = Field(
        None, allow_inf_nan=False, description="Fixed lower limit, where higher is better."
    )
    maximum: float | None = Field(
        None, allow_inf_nan=False, description="Fixed upper limit, where lower is better."
    )
    tolerance: float = Field(
        0.0, ge=0, allow_inf_nan=False, description="How much worse than the champion is still accepted."
    )

    @model_validator(mode="after")
    def _limit_fits_direction(self) -> "Gate":
        if self.better == "higher" and self.maximum is not None:
            raise ValueError("maximum goes with `better: lower`; use minimum, or change better")
        if self.better == "lower" and self.minimum is not None:
            raise ValueError("minimum goes with `better: higher`; use maximum, or change better")
        return self

    @property
    def limit(self) -> float | None:
        """The fixed limit in the gate's direction."""
        return self.minimum if self.better == "higher" else self.maximum


class Fleet(_Strict):
    """Where the GitOps repository carries the model's image."""

    repository: Annotated[str, AfterValidator(_address)] = Field(
        description="Address of the fleet repository; ./ and ../ are relative to the notebook repository's."
    )
    branch: str = Field("main", pattern=r"^[^\s~^:?*\[\\-][^\s~^:?*\[\\]*$", description="Branch to bump.")
    path: RepositoryPath = Field(description="Folder or file in it that carries the image.")
    mode: Literal["push", "pull-request"] = Field("push", description="How the change gets in.")


class Rollout(_Strict):
    """The progressive delivery that follows the bump."""

    namespace: str = Field("default", pattern=_DNS_LABEL, max_length=63)
    canary: str = Field(pattern=_DNS_LABEL, max_length=63, description="Name of Flagger's Canary.")
    timeout: Duration = Field(timedelta(minutes=30), description="How long to wait for a verdict.")
    on_failure: Literal["revert", "keep"] = Field("revert", description="What Git gets after a rollback.")


class Schedule(_Strict):
    """When to retrain without a push."""

    cron: Annotated[str, AfterValidator(_cron)] = Field(description="Five cron fields.")
    timezone: Annotated[str, AfterValidator(_timezone)] = "UTC"


class Model(_Strict):
    """One model of the notebook repository."""

    name: str = Field(pattern=_DNS_LABEL, max_length=40, description="DNS label; names releases and runs.")
    notebook: RepositoryPath = Field(pattern=r"\.ipynb$", description="The notebook, from the repository's top.")
    parameters: dict[str, Parameter] = Field(
        default_factory=dict, description="Values for the notebook's parameters cell."
    )
    environment: Environment = Field(default_factory=Environment)
    gate: Gate
    image: str = Field(
        pattern=_IMAGE, description="Image repository without tag or digest, as the fleet names it."
    )
    fleet: Fleet
    rollout: Rollout | None = None
    schedule: Schedule | None = None
    approval: Literal["none", "before_bump"] = "none"


class Project(_Strict):
    """All of `modelflight.yaml`."""

    version: Literal[1]
    models: list[Model] = Field(min_length=1)

    @model_validator(mode="after")
    def _names_are_unique(self) -> "Project":
        names = [model.name for model in self.models]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"model names must be unique; more than once: {', '.join(twice)}")
        return self


def json_schema() -> dict[str, Any]:
    """The JSON Schema of `modelflight.yaml`, draft 2020-12."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "modelflight.yaml",
        **Project.model_json_schema(),
    }

"""The types of `modelflight.yaml`: one `Project` with its models.

The JSON Schema that editors use is generated from these types, so the descriptions here are what people see
while they type.
"""

import re
from datetime import timedelta
from functools import cache
from math import isfinite
from typing import Annotated, Any, Literal
from zoneinfo import available_timezones

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    ValidationInfo,
    ValidatorFunctionWrapHandler,
    WithJsonSchema,
    WrapValidator,
    field_validator,
)
from pydantic_core import PydanticKnownError

from tasks.address import check_address
from tasks.errors import AddressInvalid, InvalidInput

Parameter = bool | int | float | str
"""What a notebook parameter can be; bool before int, because every bool is an int to Python."""

# Outside of the repository: absolute, climbing, or not a path at all.
_OUTSIDE = r"^\s*$|^/|(^|/)\.\.(/|$)|\\|\x00"
# https://git-scm.com/docs/git-check-ref-format; a backtick would end the code span that shows the name.
_BRANCH = (
    "a branch name as Git takes it: no white space, none of ~^:?*[\\`, no '..', '//' or '@{', no '-' in front"
)
_NO_BRANCH = r"(^|/)\.|\.\.|@\{|[`\x00-\x1f\x7f]|^/|//|/$|\.$|\.lock(/|$)|^(@|HEAD)$"
_DURATION = r"^(?=.)([0-9]{1,7}h)?([0-9]{1,7}m)?([0-9]{1,7}s)?$"
_LONGEST = timedelta(days=30)


def _duration(value: object) -> timedelta:
    """`30m`, `90s`, `1h`, `1h30m`; nothing else, so a number without a unit is a mistake."""
    found = re.fullmatch(_DURATION, value) if isinstance(value, str) else None
    hours, minutes, seconds = (
        (int(part[:-1]) if part else 0 for part in found.groups()) if found else (0, 0, 0)
    )
    duration = timedelta(hours=hours, minutes=minutes, seconds=seconds)
    if not timedelta(0) < duration <= _LONGEST:
        raise ValueError("wanted a duration like 90s, 30m or 1h30m, at most 720h")
    return duration


def _inside(value: str) -> str:
    """A path that stays inside the repository, as it is written there."""
    if re.search(_OUTSIDE, value):
        raise ValueError("a path is relative to the repository and stays inside it")
    return value


def _branch(value: str) -> str:
    if re.search(_NO_BRANCH, value):
        raise ValueError(f"wanted {_BRANCH}")
    return value


def _finite(value: Parameter) -> Parameter:
    if isinstance(value, float) and not isfinite(value):
        raise ValueError("wanted a finite number")
    return value


def _address(value: str) -> str:
    try:
        return check_address(value, "fleet.repository")
    except AddressInvalid as error:
        raise ValueError(f"{error.what} {error.why} {error.next_step}") from None


@cache
def _timezones() -> set[str]:
    return available_timezones()  # reads hundreds of files


def _timezone(value: str) -> str:
    if value not in _timezones():
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


def _form(pattern: str, wanted: str) -> Any:
    """Text of a pattern; editors and the loader say `wanted` where it does not match."""
    return Field(pattern=pattern, json_schema_extra={"patternErrorMessage": wanted})


RepositoryPath = Annotated[
    str, AfterValidator(_inside), Field(json_schema_extra={"not": {"pattern": _OUTSIDE}})
]
Duration = Annotated[
    timedelta,
    BeforeValidator(_duration),
    PlainSerializer(lambda value: f"{int(value.total_seconds())}s", return_type=str),
    WithJsonSchema({"type": "string", "pattern": _DURATION, "examples": ["30m"]}),
]
DnsLabel = Annotated[
    str,
    _form(
        r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$",
        "lower-case letters, digits and '-', with a letter or digit at both ends",
    ),
]
# Host, optional port and lower-case repository; tag and digest are Modelflight's to add. The grammar:
# https://github.com/distribution/reference/blob/main/reference.go
_HOST_PART = r"[a-zA-Z0-9]+(-+[a-zA-Z0-9]+)*"
_FOLDER = r"[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*"
ImageName = Annotated[
    str,
    _form(
        rf"^{_HOST_PART}(\.{_HOST_PART})*(:[0-9]+)?(/{_FOLDER})+$",
        "an image repository like registry.example.com/models/wine, in lower case, without tag or digest",
    ),
]
PinnedImage = Annotated[
    str, _form(r"^[^@\s]+@sha256:[0-9a-f]{64}$", "an image pinned by digest: name@sha256:<64 hex digits>")
]
# The form before the validator: after it, pydantic leaves it out of the JSON Schema.
BranchName = Annotated[
    str,
    _form(r"^[^\s~^:?*\[\\-][^\s~^:?*\[\\]*$", _BRANCH),
    AfterValidator(_branch),
    Field(json_schema_extra={"not": {"pattern": _NO_BRANCH}}),
]
NotebookPath = Annotated[
    str,
    _form(r"\.ipynb$", "a path that ends in .ipynb"),
    AfterValidator(_inside),
    Field(json_schema_extra={"not": {"pattern": _OUTSIDE}}),
]


DataAddress = Annotated[
    str,
    _form(
        r"^(https?://[^\s@?#]+|s3://[a-z0-9][a-z0-9.-]+/[^\s?#]+)$",
        "an https:// address without credentials or query, or s3://bucket/key",
    ),
]


FunctionName = Annotated[str, _form(r"^[A-Za-z_][A-Za-z0-9_]*$", "the name of a function in the notebook")]


class _Strict(BaseModel):
    """Unknown keys are mistakes; values are not converted; nothing changes after validation."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, hide_input_in_errors=True)


class Environment(_Strict):
    """What the notebook's steps run in."""

    base_image: PinnedImage | None = Field(
        None, description="Image of the pipeline's steps, pinned: name@sha256:..."
    )
    requirements: RepositoryPath | None = Field(
        None, description="Locked requirements file in the notebook repository."
    )


class Evaluation(_Strict):
    """How both models are compared on the same held-out examples."""

    function: FunctionName = Field(
        max_length=100,
        description="A function in a cell tagged functions: takes the folder with a model's files, returns a "
        "score for each example, in the same order for every model.",
    )
    confidence: float = Field(
        0.95,
        gt=0.5,
        lt=1,
        description="Of the interval of the difference, whose worse end must be within the tolerance.",
    )


class Criterion(_Strict):
    """What a new model must reach in one metric to be released."""

    model_config = ConfigDict(
        json_schema_extra={
            "if": {"properties": {"better": {"const": "lower"}}, "required": ["better"]},
            "then": {"properties": {"minimum": {"type": "null"}}},
            "else": {"properties": {"maximum": {"type": "null"}}},
        }
    )

    metric: str = Field(
        min_length=1, description="A metric that the notebook's pipeline-metrics cell prints."
    )
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
    evaluate: Evaluation | None = Field(
        None, description="Compare both models on the same held-out examples; without it, their metrics."
    )

    @field_validator("minimum", "maximum")
    @classmethod
    def _fits_direction(cls, value: float | None, info: ValidationInfo) -> float | None:
        other = {"minimum": "lower", "maximum": "higher"}[info.field_name or ""]
        if value is not None and info.data.get("better") == other:
            raise ValueError(f"a {info.field_name} does not go with `better: {other}`; change one of them")
        return value

    @property
    def limit(self) -> float | None:
        """The fixed limit in the metric's direction."""
        return self.minimum if self.better == "higher" else self.maximum


def _criteria(value: object, validate: ValidatorFunctionWrapHandler) -> list[Criterion]:
    """A list of criteria, or the one that is written without a list.

    A union would put the names of its types into the locations of problems.
    """
    criteria: list[Criterion] = (
        validate(value) if isinstance(value, list) else [Criterion.model_validate(value)]
    )
    return criteria


Gate = Annotated[
    list[Criterion],
    Field(min_length=1),
    WrapValidator(
        _criteria, json_schema_input_type=Criterion | Annotated[list[Criterion], Field(min_length=1)]
    ),
]


class Fleet(_Strict):
    """Where the GitOps repository carries the model's image."""

    repository: Annotated[str, AfterValidator(_address)] = Field(
        description="Address of the fleet repository; ./ and ../ are relative to the notebook repository's."
    )
    branch: BranchName = Field("main", description="Branch to bump.")
    path: RepositoryPath = Field(description="Folder or file in it that carries the image.")
    mode: Literal["push", "pull-request"] = Field("push", description="How the change gets in.")


class Rollout(_Strict):
    """The progressive delivery that follows the bump."""

    namespace: DnsLabel = Field("default", max_length=63)
    canary: DnsLabel = Field(max_length=63, description="Name of Flagger's Canary.")
    timeout: Duration = Field(
        timedelta(minutes=30),
        description="How long to wait for a verdict.",
        json_schema_extra={"default": "30m"},  # as it is written in the file, not ISO 8601
    )
    on_failure: Literal["revert", "keep"] = Field("revert", description="What Git gets after a rollback.")


class Schedule(_Strict):
    """When to retrain without a push."""

    cron: Annotated[str, AfterValidator(_cron)] = Field(description="Five cron fields.")
    timezone: Annotated[str, AfterValidator(_timezone)] = "UTC"
    always: bool = Field(
        False, description="Retrain even when commit, data and locked packages are those of the last time."
    )
    catch_up: Literal["latest", "none"] = Field(
        "latest", description="After downtime: make up for the latest time that was missed, or for none."
    )


class Model(_Strict):
    """One model of the notebook repository."""

    name: DnsLabel = Field(max_length=40, description="DNS label; names releases and runs.")
    notebook: NotebookPath = Field(description="The notebook, from the repository's top.")
    parameters: dict[str, Annotated[Parameter, AfterValidator(_finite)]] = Field(
        default_factory=dict, description="Values for the notebook's parameters cell."
    )
    environment: Environment = Field(default_factory=Environment)
    paths: list[RepositoryPath] = Field(
        default_factory=list,
        description="Files, folders and globs besides the notebook whose changes release the model.",
    )
    data: list[DataAddress] = Field(
        default_factory=list,
        description="Addresses of the data it is trained on, https:// or s3://; a schedule retrains when one "
        "of them has a new version.",
    )
    gate: Gate = Field(
        description="What a new model must reach: one metric, or a list of which every one counts."
    )
    image: ImageName = Field(description="Image repository without tag or digest, as the fleet names it.")
    fleet: Fleet
    rollout: Rollout | None = None
    schedule: Schedule | None = None
    approval: Literal["none", "before_bump"] = Field(
        "none", description="Whether a person has to agree before the fleet is changed."
    )

    @property
    def watched(self) -> tuple[str, ...]:
        """The files, folders and globs in the notebook repository that a push must change to release it."""
        locked = (self.environment.requirements,) if self.environment.requirements else ()
        return (self.notebook, *locked, *self.paths)


class Project(_Strict):
    """All of `modelflight.yaml`.

    That no name and no metric of a gate stands twice is the loader's to check, as it knows their lines.
    """

    version: Literal[1]
    models: list[Model] = Field(min_length=1)

    @field_validator("version", mode="before")
    @classmethod
    def _is_whole_number(cls, value: object) -> object:
        # Literal[1] alone takes `true` and `1.0`, which equal 1.
        if type(value) is not int:
            raise PydanticKnownError("literal_error", {"expected": "1"})
        return value

    def model(self, name: str | None) -> Model:
        """The model called `name`, or the only one when no name is given.

        Raises:
            InvalidInput: there is none of that name, or several and no name was given.
        """
        names = ", ".join(model.name for model in self.models)
        if name is None and len(self.models) > 1:
            raise InvalidInput(
                "The notebook repository has several models.",
                where="modelflight.yaml: models",
                why=f"It has: {names}.",
                next_step="Say which one: --model NAME.",
            )
        for model in self.models:
            if name in (None, model.name):
                return model
        raise InvalidInput(
            f"There is no model {name!r}.", where="modelflight.yaml: models", why=f"It has: {names}."
        )


def json_schema() -> dict[str, Any]:
    """The JSON Schema of `modelflight.yaml`, draft 2020-12."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "modelflight.yaml",
        **Project.model_json_schema(),
    }

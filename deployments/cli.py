"""The command line `modelflight`.

Each verb imports what it needs when it runs: `--help` and `check` answer at once, and only `release` and
`demo` start Prefect.
"""

import functools
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from deployments import console
from flows.settings import Backends, Home
from tasks.address import redact
from tasks.errors import InvalidInput, ModelflightError

if TYPE_CHECKING:
    from tasks.release import Release

_EXIT_REFUSED = 10
_EXIT_INTERRUPTED = 130  # as a shell reports SIGINT
_INTERRUPTED = ModelflightError(
    "Interrupted.", next_step="Give the same command again: it goes on where this one stopped."
)

_directory = click.argument("directory", type=click.Path(path_type=Path), default=".")
_model = click.option("--model", metavar="NAME", help="Which model; needed when there are several.")
_parameter = click.option(
    "-p",
    "--parameter",
    "parameters",
    multiple=True,
    metavar="NAME=VALUE",
    help="Sets a parameter; repeatable.",
)


def verb(function: Callable[..., int | None]) -> Callable[..., None]:
    """Gives a command the `--output` option and turns errors into messages and exit codes."""

    @click.option(
        "--output",
        type=click.Choice(["text", "json"]),
        default="text",
        show_default=True,
        help="Form of the result.",
    )
    @functools.wraps(function)
    def run(output: str, **arguments: Any) -> None:
        try:
            code = function(output=output, **arguments) or 0
        except ModelflightError as error:
            console.emit_error(error, output)
            code = error.exit_code
        except (KeyboardInterrupt, click.Abort):
            console.emit_error(_INTERRUPTED, output)
            code = _EXIT_INTERRUPTED
        except Exception as error:  # noqa: BLE001 - whatever it is, the caller is owed a document
            failure = _explained(error)
            console.emit_error(failure, output)
            code = _EXIT_INTERRUPTED if failure is _INTERRUPTED else failure.exit_code
        sys.exit(code)

    return run


def _explained(error: Exception) -> ModelflightError:
    """What to tell of an exception that is none of the error tree; a mistake of ours shows its traceback."""
    behind: BaseException | None = error
    while behind is not None:
        # Ctrl-C ends Prefect's own API too, and that is then missed.
        if isinstance(behind, KeyboardInterrupt):
            return _INTERRUPTED
        behind = behind.__context__
    if isinstance(error, OSError):
        what = f"The operating system refused something: {error.strerror or error}."
        return ModelflightError(what, where=str(error.filename or ""))
    traceback.print_exc()
    what = f"Modelflight itself failed: {type(error).__name__}: {redact(str(error))}"
    return ModelflightError(what, next_step="Report it with the lines above.")


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="modelflight")
def main() -> None:
    """Takes a model from a pushed notebook to production, with Git as the only source of truth.

    Files are kept below MODELFLIGHT_HOME. Exit codes: 0 done, 1 failed, 2 wrong use or invalid input, 10
    refused by the gate, 130 interrupted.
    """


@main.command()
@_directory
@click.option("--schema", is_flag=True, help="Print the JSON Schema of modelflight.yaml, for editors.")
@verb
def check(directory: Path, schema: bool, output: str) -> None:
    """Checks modelflight.yaml and its notebooks.

    Both are read in DIRECTORY; nothing is run.
    """
    if schema:
        from tasks.model import json_schema

        return console.emit(json_schema(), "", "json")
    from tasks.config.load import load_project
    from tasks.notebook.fit import check_model

    models = [
        {"name": model.name, "notebook": model.notebook, "steps": list(check_model(model, directory).steps)}
        for model in load_project(directory).models
    ]
    lines = [f"  {model['name']}: {model['notebook']}: {' > '.join(model['steps'])}" for model in models]
    return console.emit({"models": models}, "\n".join(["modelflight.yaml is valid.", *lines]), output)


@main.command()
@_directory
@verb
def init(directory: Path, output: str) -> None:
    """Writes a first modelflight.yaml.

    It has a model for each tagged notebook in DIRECTORY. A file that is there is never overwritten.
    """
    from tasks.config.load import parse_project
    from tasks.notebook.propose import propose

    path = directory / "modelflight.yaml"
    text = propose(directory)
    models = [model.name for model in parse_project(text, str(path)).models]
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        raise InvalidInput(
            "There is a modelflight.yaml already.",
            where=str(path),
            next_step="Check it with `modelflight check`, or move it away first.",
        ) from None
    said = f"Wrote {path} with {', '.join(models)}. Set `image` and `fleet`, then run `modelflight check`."
    console.emit({"path": str(path), "models": models}, said, output)


@main.command(name="compile")
@_directory
@_model
@_parameter
@click.option("--to", type=click.Path(path_type=Path, dir_okay=False), help="File to write the pipeline to.")
@verb
def compile_(
    directory: Path, model: str | None, parameters: tuple[str, ...], to: Path | None, output: str
) -> None:
    """Compiles a notebook into a pipeline.

    The notebook is that of a model in DIRECTORY, the compiler is Kale, the pipeline is KFP IR YAML.
    """
    from tasks.config.load import load_project
    from tasks.files import write_atomically
    from tasks.notebook.compile import compile_notebook
    from tasks.notebook.fit import check_model
    from tasks.parameters import parse_assignments

    chosen = load_project(directory).model(model)
    declared = check_model(chosen, directory).parameters
    given = {**chosen.parameters, **parse_assignments(parameters, declared, "--parameter")}
    pipeline = compile_notebook(directory, chosen.model_copy(update={"parameters": given}), Home().pipelines)
    path = to or pipeline.path
    if to:
        write_atomically(to, pipeline.path.read_text(encoding="utf-8"))
    document = {"pipeline": str(path), "identity": pipeline.identity, "steps": list(pipeline.steps)}
    console.emit(document, f"{path}\n  {len(pipeline.steps)} steps: {' > '.join(pipeline.steps)}", output)


@main.command()
@click.argument("pipeline", type=click.Path(path_type=Path))
@_parameter
@verb
def run(pipeline: Path, parameters: tuple[str, ...], output: str) -> None:
    """Runs a compiled PIPELINE on this machine."""
    import uuid

    from tasks.kubeflow.ir import pipeline_parameters
    from tasks.kubeflow.local_run import run_pipeline
    from tasks.metrics import shown_metrics
    from tasks.parameters import parse_assignments

    overrides = parse_assignments(parameters, pipeline_parameters(pipeline), "--parameter")
    trained = run_pipeline(
        pipeline,
        uuid.uuid4(),
        Home().runs,
        identity=str(pipeline),
        overrides=overrides,
        progress=console.show_progress,
    )
    lines = [f"run      {trained.run_id}", f"model    {trained.directory}: {', '.join(trained.files)}"]
    lines += [f"metric   {metric}" for metric in shown_metrics(trained.metrics)]
    console.emit(console.plain(trained), "\n".join(lines), output)


@main.command()
@click.argument("directory", type=click.Path(path_type=Path))
@click.option("--to", metavar="TARGET", help="oci:FOLDER[:TAG] or registry/repository[:TAG].")
@click.option(
    "--image",
    metavar="REPOSITORY[:TAG]",
    help="As in modelflight.yaml; MODELFLIGHT_IMAGES says where it goes.",
)
@click.option("--annotation", "annotations", multiple=True, metavar="KEY=VALUE", help="Repeatable.")
@click.option(
    "--created", type=click.DateTime(), default="1970-01-01", help="Creation time in the image, UTC."
)
@verb
def pack(
    directory: Path,
    to: str | None,
    image: str | None,
    annotations: tuple[str, ...],
    created: Any,
    output: str,
) -> None:
    """Packs model files into an OCI image.

    The files are those in DIRECTORY; the same files give the same digest. Without a TAG, the image is named
    after its digest.
    """
    from datetime import UTC

    from tasks.artifacts.reading import reading
    from tasks.artifacts.scan import scan
    from tasks.oci.image import pack as pack_artifact
    from tasks.oci.images import open_images

    described = dict(_key_and_value(annotation) for annotation in annotations)
    address, tag = _pack_target(directory, to, image)
    artifact = scan(directory)
    with reading(artifact) as read, open_images(address) as images:
        packed = pack_artifact(
            artifact, read, images, tag=tag, annotations=described, created=created.replace(tzinfo=UTC)
        )
    said = f"{address}:{packed.tag}@{packed.digest}\n  {packed.size:,} bytes"
    console.emit({**console.plain(packed), "stored_in": address}, said, output)


def _pack_target(directory: Path, to: str | None, image: str | None) -> tuple[str, str | None]:
    """The address to pack to, and the tag where one was given."""
    from tasks.oci.images import split_tag
    from tasks.oci.reference import parse_repository

    if bool(to) == bool(image):
        raise InvalidInput(
            "Say where the image is to go.",
            where="--to, --image",
            why="Exactly one of them is needed.",
            next_step="Write --to oci:FOLDER:TAG or --to registry/repository:TAG, or name the image alone.",
        )
    address, tag = split_tag(to or image or "")
    if image:
        address = Backends.from_environment().images(str(parse_repository(address)), Home())
    layout = Path(address.removeprefix("oci:"))
    if address.startswith("oci:") and layout.resolve().is_relative_to(directory.resolve()):
        raise InvalidInput(
            "A model image cannot be written into the model that it carries.",
            where=address,
            why=f"The layout lies in {directory}.",
            next_step="Name a layout outside the model's folder.",
        )
    return address, tag


def _key_and_value(annotation: str) -> tuple[str, str]:
    key, equals, value = annotation.partition("=")
    if not key or not equals:
        raise InvalidInput(
            f"{annotation!r} is no annotation.", where="--annotation", next_step="Write KEY=VALUE."
        )
    return key, value


@main.command()
@click.option("--repository", required=True, help="Fleet repository, without credentials.")
@click.option("--branch", default="main", show_default=True)
@click.option("--path", required=True, help="Folder or file that carries the image.")
@click.option("--image", required=True, help="Image repository, with a tag if wanted: registry/name[:tag].")
@click.option("--digest", required=True, help="Digest to deploy, sha256:...")
@click.option("--release-id", metavar="ID", help="Makes one commit for this id, however often repeated.")
@verb
def bump(
    repository: str, branch: str, path: str, image: str, digest: str, release_id: str | None, output: str
) -> None:
    """Bumps one digest in a fleet repository."""
    from tasks.address import check_address
    from tasks.gitops.bump import bump as bump_image
    from tasks.gitops.target import FleetTarget
    from tasks.release import Digest, ReleaseId

    check_address(repository, "--repository")
    if "://" not in repository and Path(repository).is_dir():
        repository = str(Path(repository).resolve())
    name, tag = image.rsplit(":", 1) if ":" in image.rpartition("/")[2] else (image, digest[7:19])
    try:
        wanted = Digest(digest)
        identifier = ReleaseId(release_id) if release_id else None
    except ValueError as error:
        raise InvalidInput(
            "An option has the wrong form.",
            where="--digest, --release-id",
            why=str(error),
            next_step="A digest is sha256: and 64 hex digits; an id is <model>-<commit, 12 hex>-<attempt>.",
        ) from None
    commit = bump_image(
        FleetTarget(repository, branch, path, name),
        image=f"{name}:{tag}@{wanted}",
        release_id=identifier,
        subject=f"Release {identifier or image}",
        trailers={"Model-Image-Digest": wanted},
    )
    said = f"{commit.commit} on {commit.branch}" + ("" if commit.created else " (was there already)")
    console.emit(console.plain(commit), f"{said}\n{commit.diff}", output)


@main.command()
@click.argument("repository", default=".")
@_model
@click.option("--commit", default="HEAD", show_default=True, help="Commit, branch or tag to release.")
@click.option(
    "--attempt", type=click.IntRange(min=1), default=1, show_default=True, help="Try of this commit."
)
@click.option(
    "--accept-unknown-champion",
    is_flag=True,
    help="Let the fixed limit decide alone where the champion's metrics are not known here.",
)
@verb
def release(
    repository: str, model: str | None, commit: str, attempt: int, accept_unknown_champion: bool, output: str
) -> int:
    """Releases a model: the whole chain.

    REPOSITORY is the notebook repository, a path or an address without credentials. Repeating a release, also
    one that was killed, goes on where it stopped. The Prefect API is the one that PREFECT_API_URL names,
    or one of its own.
    """
    from deployments.prefect_run import run_release

    done = run_release(repository, commit, model, attempt, accept_unknown_champion=accept_unknown_champion)
    return _show_release(done, output)


def _show_release(done: "Release", output: str) -> int:
    from tasks.release import Verdict

    meaning = {
        Verdict.UNTRACKED: "Git carries the new model; no rollout was followed.",
        Verdict.SUPERSEDED: "Git carries another model by now. To bring this one back: "
        f"--commit {done.source.commit[:12]} and an --attempt not used yet.",
        Verdict.REFUSED: "The gate said no; nothing was published.",
    }
    lines = [f"{done.release_id}: {done.verdict}", f"  {meaning[done.verdict]}"]
    lines += [f"  {reason}" for reason in done.decision.reasons]
    if done.image and done.fleet_commit:
        lines += [
            f"  image    {done.image.reference}",
            f"  stored   {done.image.stored_in}",
            f"  fleet    {done.fleet_commit.commit} on {done.fleet_commit.branch}, {done.fleet_commit.path}",
        ]
    console.emit(console.plain(done), "\n".join(lines), output)
    return 0 if done.decision.passed else _EXIT_REFUSED


@main.command()
@click.option(
    "--keep", type=click.Path(path_type=Path, file_okay=False), help="Folder to leave all of it in."
)
@verb
def demo(keep: Path | None, output: str) -> None:
    """Releases an example twice, with a report."""
    from deployments.demo import run_demo

    run_demo(keep, output)


if __name__ == "__main__":
    main()

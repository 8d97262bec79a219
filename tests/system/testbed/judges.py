"""Programs of others that say whether what Modelflight makes is what it should be.

Each function raises `CommandFailed`, with what the program says, when it finds fault. The registry is
trusted, and its user known, by `environment`: what the registry's `client_environment` gives.
"""

import json
import re
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import kubernetes_validate

from tests.system.testbed.command import output
from tests.system.testbed.programs import COSIGN, CRANE, KUBECONFORM, KUBERNETES, ORAS

Environment = Mapping[str, str]


def push(layout: Path, tag: str, reference: str, environment: Environment) -> None:
    """Copies what `tag` names in an OCI image layout to a registry, all platforms and every byte (skopeo)."""
    source = f"oci:{layout}:{tag}"
    _skopeo("copy", "--all", "--preserve-digests", source, f"docker://{reference}", environment=environment)


def pull(reference: str, layout: Path, tag: str, environment: Environment) -> None:
    """Copies an image for this machine's platform into an OCI image layout (skopeo)."""
    _skopeo(
        "copy", "--preserve-digests", f"docker://{reference}", f"oci:{layout}:{tag}", environment=environment
    )


def inspect(reference: str, environment: Environment) -> dict[str, Any]:
    """An image in a registry: digest, layers, labels and more for this machine's platform (skopeo)."""
    found: dict[str, Any] = json.loads(_skopeo("inspect", f"docker://{reference}", environment=environment))
    return found


def _skopeo(*arguments: str, environment: Environment) -> str:
    return output("skopeo", *arguments, environment=environment)


def validate_image(reference: str, environment: Environment) -> None:
    """Compares an image's manifests and configurations, and looks for all its layers (crane)."""
    # Without --fast it reads the layers too, but only takes compressed ones.
    output(CRANE.command("crane"), "validate", "--fast", "--remote", reference, environment=environment)


def manifest(reference: str, environment: Environment) -> dict[str, Any]:
    """A manifest or index in a registry, as it is (crane)."""
    found: dict[str, Any] = json.loads(
        output(CRANE.command("crane"), "manifest", reference, environment=environment)
    )
    return found


def unpack(layout: Path, tag: str, folder: Path) -> None:
    """Extracts an image's file tree into a new folder (umoci)."""
    output("umoci", "raw", "unpack", "--image", f"{layout}:{tag}", folder)


def attach(reference: str, artifact_type: str, file: Path, environment: Environment) -> None:
    """Attaches a file to an image in a registry (oras)."""
    output(
        ORAS.command("oras"), "attach", _plain(environment), "--artifact-type", artifact_type, reference,
        file.name, environment=environment, folder=file.parent,
    )  # fmt: skip


def discover(reference: str, environment: Environment) -> list[dict[str, Any]]:
    """The descriptors of what is attached to an image in a registry (oras)."""
    said = output(
        ORAS.command("oras"), "discover", _plain(environment), "--format", "json", reference,
        environment=environment,
    )  # fmt: skip
    found: list[dict[str, Any]] = json.loads(said)["referrers"]
    return found


def _plain(environment: Environment) -> str:
    return f"--plain-http={'false' if 'SSL_CERT_FILE' in environment else 'true'}"


@dataclass(frozen=True)
class SigningKey:
    """A key pair in `folder`, and what verifies without asking Sigstore's public services."""

    folder: Path
    password: str

    @property
    def private(self) -> Path:
        """The encrypted private key."""
        return self.folder / "cosign.key"

    @property
    def public(self) -> Path:
        """The public key."""
        return self.folder / "cosign.pub"

    @property
    def trusted_root(self) -> Path:
        """A list of trusted services that is empty."""
        return self.folder / "trusted-root.json"


def signing_key(folder: Path) -> SigningKey:
    """Makes a key pair (cosign)."""
    key = SigningKey(folder, secrets.token_hex(16))
    _cosign("generate-key-pair", f"--output-key-prefix={folder / 'cosign'}", COSIGN_PASSWORD=key.password)
    _cosign("trusted-root", "create", f"--out={key.trusted_root}")
    return key


def sign(reference: str, key: SigningKey, environment: Environment) -> None:
    """Signs an image in a registry, which is named by its digest (cosign)."""
    _cosign(
        "sign", f"--key={key.private}", "--tlog-upload=false", "--yes", reference,
        **environment, COSIGN_PASSWORD=key.password,
    )  # fmt: skip


def verify(reference: str, key: SigningKey, environment: Environment) -> None:
    """Looks for a signature of this very image by this key (cosign)."""
    _cosign(
        "verify", f"--key={key.public}", f"--trusted-root={key.trusted_root}", "--insecure-ignore-tlog=true",
        reference, **environment,
    )  # fmt: skip


def _cosign(*arguments: str, **environment: str) -> None:
    output(COSIGN.command("cosign"), *arguments, environment=environment)


def manifest_schemas(folder: Path) -> Path:
    """Writes the JSON Schemas of the testbed's Kubernetes into `folder` for kubeconform; returns it."""
    [release] = re.findall(r"v\d+\.\d+\.", KUBERNETES.version)
    [schemas] = Path(kubernetes_validate.__file__).parent.glob(
        f"kubernetes-json-schema/{release}*-local-strict"
    )
    folder.mkdir()
    for schema in schemas.iterdir():
        # Their identifiers make addresses of the references, which kubeconform would fetch.
        text = re.sub(r',?\s*"\$id": "[^"]*"', "", schema.read_text())
        (folder / schema.name).write_text(text.replace('"/api/_definitions.json#', '"_definitions.json#'))
    return folder


def validate_manifests(manifests: Sequence[Path], schemas: Path) -> None:
    """Compares Kubernetes manifests with the schemas; no field may be unknown (kubeconform)."""
    # A Kustomization is read by kustomize and never reaches a cluster.
    output(
        KUBECONFORM.command("kubeconform"), "-strict",
        "-skip", "kustomize.config.k8s.io/v1beta1/Kustomization",
        "-schema-location", schemas / "{{.ResourceKind}}{{.KindSuffix}}.json", *manifests,
    )  # fmt: skip

"""Kubernetes objects: reading them from files, and whether Kubernetes knows all that they say."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml
from kubernetes import client

Object = Mapping[str, Any]


def objects_in(folder: Path) -> list[Object]:
    """All objects of a kustomization's folder."""
    kustomization = yaml.safe_load((folder / "kustomization.yaml").read_text())
    files = [(folder / name).read_text() for name in kustomization["resources"]]
    return [each for text in files for each in yaml.safe_load_all(text)]


def unknown_fields(found: Object) -> set[str]:
    """Paths of the object's fields that Kubernetes' API does not have.

    Raises:
        ValueError: a field that must be there is missing.
    """
    api, kind = found["apiVersion"], found["kind"]
    version = "".join(part.capitalize() for part in api.removesuffix(".k8s.io").split("/")[-1:])
    with client.ApiClient() as serializer:
        read = serializer._ApiClient__deserialize(found, f"{version}{kind}")
        known = serializer.sanitize_for_serialization(read)
    return {path for path, _ in _leaves(found)} - {path for path, _ in _leaves(known)}


def pod_of(found: Object) -> Object:
    """The pod's specification in a workload."""
    template = found["spec"].get("jobTemplate", {}).get("spec", {}).get("template")
    return (template or found["spec"]["template"])["spec"]


def containers_of(pod: Object) -> list[Object]:
    """All containers of a pod."""
    return [*pod.get("initContainers", ()), *pod["containers"]]


def environment_of(container: Object) -> dict[str, Any]:
    """The container's variables: a text, or what it is taken from."""
    return {each["name"]: each.get("value", each.get("valueFrom")) for each in container.get("env", ())}


def _leaves(found: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(found, Mapping) and found:
        for key, value in found.items():
            yield from _leaves(value, f"{path}.{key}")
    elif isinstance(found, list) and found:
        for index, value in enumerate(found):
            yield from _leaves(value, f"{path}[{index}]")
    else:
        yield path, found

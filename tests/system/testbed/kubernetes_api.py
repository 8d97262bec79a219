"""What tests say to a cluster's API. An object is named by any manifest that carries its kind and name."""

import time
from collections.abc import Callable, Iterable, Mapping
from functools import cached_property
from pathlib import Path
from threading import Lock
from typing import Any

import yaml
from kubernetes import config
from kubernetes.client import ApiClient, ApiException, CoreV1Api
from kubernetes.dynamic import DynamicClient
from kubernetes.dynamic.exceptions import NotFoundError
from kubernetes.dynamic.resource import Resource
from urllib3.exceptions import HTTPError

Manifest = Mapping[str, Any]

FIELD_MANAGER = "testbed"
PATIENCE = 120  # seconds; a busy machine is ten times slower than an idle one


class NotInTime(Exception):
    """Something did not happen in time; the message ends with what was found and the namespace's events."""


def named(api_version: str, kind: str, name: str, namespace: str = "default") -> Manifest:
    """What stands for an object that others made."""
    return {"apiVersion": api_version, "kind": kind, "metadata": {"name": name, "namespace": namespace}}


class KubernetesApi:
    """The API of one cluster, for the user of a kubeconfig. A namespace that is not named is `default`."""

    def __init__(self, kubeconfig: Path) -> None:
        self._kubeconfig = kubeconfig
        self._discovery = (
            Lock()
        )  # the dynamic client learns of a kind when it is asked for, in one thread only

    @cached_property
    def client(self) -> ApiClient:
        """The Kubernetes package's own client."""
        return config.new_client_from_config(str(self._kubeconfig))

    @cached_property
    def _dynamic(self) -> DynamicClient:
        return DynamicClient(self.client)

    def apply(self, *manifests: Manifest) -> None:
        """Applies objects, on the server's side."""
        for manifest in manifests:
            self._resource_of(manifest).server_side_apply(
                body=manifest, **_place(manifest), field_manager=FIELD_MANAGER, force_conflicts=True
            )

    def install(self, *files: Path) -> None:
        """Applies the custom resource definitions in YAML files, and waits until they can be used."""
        definitions = [
            document for file in files for document in yaml.safe_load_all(file.read_text()) if document
        ]
        self.apply(*definitions)
        for definition in definitions:
            self.wait_for(definition, holds("Established"), "established")

    def patch(self, manifest: Manifest, change: Manifest, subresource: str = "") -> None:
        """Merges `change` into an object, or into its status."""
        resource = self._resource_of(manifest)
        target = resource.subresources[subresource] if subresource else resource
        target.patch(body=change, **_place(manifest), content_type="application/merge-patch+json")

    def get(self, manifest: Manifest) -> Any | None:
        """The object as it is now, or None when there is none."""
        try:
            return self._resource_of(manifest).get(**_place(manifest)).to_dict()
        except NotFoundError:
            return None

    def list(
        self, api_version: str, kind: str, namespace: str | None = "default", labels: str = ""
    ) -> list[Any]:
        """The objects of a kind that have the labels, in one namespace or, for None, in all."""
        resource = self._resource(api_version, kind)
        items: list[Any] = resource.get(namespace=namespace, label_selector=labels or None).to_dict()["items"]
        return items

    def delete(self, manifest: Manifest) -> None:
        """Deletes an object, and what it owns in the background."""
        self._resource_of(manifest).delete(
            **_place(manifest), body={"kind": "DeleteOptions", "propagationPolicy": "Background"}
        )

    def wait_for(self, manifest: Manifest, condition: Callable[[Manifest], bool], what: str) -> Any:
        """Waits until the object is there and `condition` holds of it; returns it.

        Raises:
            NotInTime: it did not come to be so; `what` completes "is not ...".
        """
        found: Manifest | None = None

        def is_so() -> bool:
            nonlocal found
            found = self.get(manifest)
            return found is not None and condition(found)

        place = _place(manifest)
        try:
            self.wait_until(is_so, what)
        except NotInTime:
            status = yaml.safe_dump((found or {}).get("status", "it is not there"))
            raise NotInTime(
                f"{manifest['kind']} {place['name']} is not {what} after {PATIENCE} s; its status:\n{status}"
                f"--- events in {place['namespace']}\n{self.events(place['namespace'])}"
            ) from None
        return found

    def wait_until(self, condition: Callable[[], bool], what: str) -> None:
        """Waits until `condition` holds.

        Raises:
            NotInTime: it did not come to hold; the message is `what`.
        """
        deadline = time.monotonic() + PATIENCE
        while not condition():
            if time.monotonic() > deadline:
                raise NotInTime(what)
            time.sleep(0.1)

    def log(self, pod: str, namespace: str = "default", container: str | None = None) -> str:
        """What a pod's container wrote."""
        text: str = CoreV1Api(self.client).read_namespaced_pod_log(pod, namespace, container=container)
        return text

    def events(self, namespace: str | None = "default") -> str:
        """The events of one namespace or, for None, of all, the latest last, one a line."""
        core = CoreV1Api(self.client)
        try:
            if namespace is None:
                events = core.list_event_for_all_namespaces(_request_timeout=10).items
            else:
                events = core.list_namespaced_event(namespace, _request_timeout=10).items
        except (ApiException, HTTPError) as error:
            return f"(cannot be read: {error})"
        return "\n".join(_lines(events)) or "(none)"

    def _resource_of(self, manifest: Manifest) -> Resource:
        return self._resource(manifest["apiVersion"], manifest["kind"])

    def _resource(self, api_version: str, kind: str) -> Resource:
        with self._discovery:
            return self._dynamic.resources.get(api_version=api_version, kind=kind)


def holds(condition: str) -> Callable[[Manifest], bool]:
    """Whether an object's condition is true, and about the object as it is now."""

    def holds_of(found: Manifest) -> bool:
        status, generation = found.get("status", {}), found["metadata"].get("generation")
        true = [entry["type"] for entry in status.get("conditions") or () if entry["status"] == "True"]
        return condition in true and status.get("observedGeneration", generation) == generation

    return holds_of


def _place(manifest: Manifest) -> dict[str, str]:
    metadata = manifest["metadata"]
    return {"name": metadata["name"], "namespace": metadata.get("namespace", "default")}


def _lines(events: Iterable[Any]) -> Iterable[str]:
    for event in sorted(events, key=lambda event: event.last_timestamp or event.metadata.creation_timestamp):
        about = event.involved_object
        yield f"{event.type} {event.reason} {about.kind}/{about.name}: {event.message}"

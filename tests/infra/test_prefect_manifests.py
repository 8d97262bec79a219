"""What Prefect on a cluster is set up with: manifests, and values for Prefect's charts."""

import ipaddress
import json
from collections.abc import Iterator, Mapping
from importlib.metadata import version
from typing import Any

import pytest
import yaml

from deployments.cli import main as modelflight
from deployments.receiver.settings import Settings
from flows.settings import work_pool
from tests.infra.dockerfile import Dockerfile
from tests.infra.kubernetes_objects import (
    Object,
    containers_of,
    environment_of,
    objects_in,
    pod_of,
    unknown_fields,
)
from tests.infra.settings_names import is_read
from tests.repositories import TOP

FOLDER = TOP / "infra" / "prefect"
OBJECTS = {f"{each['kind']}/{each['metadata']['name']}": each for each in objects_in(FOLDER / "manifests")}
PODS = {
    name.partition("/")[2]: pod_of(each)
    for name, each in OBJECTS.items()
    if each["kind"] in ("Deployment", "CronJob")
}
TEMPLATE = json.loads((FOLDER / "work-pool.json").read_text())
PODS["release"] = pod_of(TEMPLATE["job_configuration"]["job_manifest"])
DEFAULTS = {name: each.get("default") for name, each in TEMPLATE["variables"]["properties"].items()}
SERVER = yaml.safe_load((FOLDER / "server-values.yaml").read_text())
WORKER = yaml.safe_load((FOLDER / "worker-values.yaml").read_text())["worker"]
RECEIVER = OBJECTS["Deployment/modelflight-receiver"]
DEPLOY = OBJECTS["CronJob/modelflight-deploy"]
IMAGE = "registry.example.com/modelflight"


def variables() -> Iterator[tuple[str, str]]:
    """Every variable that is set, and by what."""
    for name, pod in PODS.items():
        for container in containers_of(pod):
            if isinstance(container["env"], list):
                yield from ((name, variable) for variable in environment_of(container))
    yield from (("release", variable) for variable in DEFAULTS["env"])
    yield from (("server", each["name"]) for each in SERVER["global"]["prefect"]["env"])
    yield from (("worker", each["name"]) for each in WORKER["extraEnvVars"])


def secrets_in(found: Any) -> Iterator[tuple[str, str]]:
    """Name and key of each secret that something is taken from."""
    if isinstance(found, Mapping):
        if "secretKeyRef" in found:
            yield found["secretKeyRef"]["name"], found["secretKeyRef"]["key"]
        if "secretRef" in found:
            yield found["secretRef"]["name"], "*"
        if "secretName" in found:
            yield found["secretName"], "*"
        yield from (each for value in found.values() for each in secrets_in(value))
    elif isinstance(found, list):
        yield from (each for value in found for each in secrets_in(value))


def environment(pod: Object) -> dict[str, str]:
    """The variables of a pod's container, secrets as `user:password`."""
    (container,) = pod["containers"]
    found = environment_of(container)
    return {name: value if isinstance(value, str) else "admin:hush" for name, value in found.items()}


@pytest.mark.parametrize("name", OBJECTS)
def test_kubernetes_knows_every_field_of_a_manifest(name: str) -> None:
    assert unknown_fields(OBJECTS[name]) == set()


def is_refused(manifest: dict[str, Any]) -> bool:
    """Whether Kubernetes' types do not know a field of it, or miss one, which is a ValueError of theirs."""
    try:
        return bool(unknown_fields(manifest))
    except ValueError:
        return True


@pytest.mark.parametrize(
    ("right", "wrong"),
    [("readinessProbe:", "readynessProbe:"), ("drop: [ALL]", "drops: [ALL]"), ("maxSkew: 1", "maxskew: 1")],
)
def test_a_misspelt_field_is_found(right: str, wrong: str) -> None:
    text = (FOLDER / "manifests" / "receiver.yaml").read_text()
    deployment, *_ = yaml.safe_load_all(text.replace(right, wrong))
    assert is_refused(deployment)


@pytest.mark.parametrize(("where", "variable"), sorted(variables()))
def test_somebody_reads_each_variable_that_is_set(where: str, variable: str) -> None:
    assert is_read(variable)


@pytest.mark.parametrize("name", PODS)
def test_pods_are_confined(name: str) -> None:
    pod = PODS[name]
    final = Dockerfile.read(FOLDER / "Dockerfile").stages[-1]
    user, group = final.all("USER")[0].split(":")
    security = pod["securityContext"]
    assert (security["runAsUser"], security["runAsGroup"]) == (int(user), int(group))
    assert security["runAsNonRoot"] is True
    assert security["seccompProfile"] == {"type": "RuntimeDefault"}
    assert pod["automountServiceAccountToken"] is False
    assert pod["enableServiceLinks"] is False
    for container in containers_of(pod):
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
            "readOnlyRootFilesystem": True,
        }
        assert container["resources"]["limits"]["memory"]
        assert set(container["resources"]["requests"]) == {"cpu", "memory"}
        assert container["image"] in (IMAGE, "{{ image }}")


@pytest.mark.parametrize("name", ["modelflight-deploy", "release"])
def test_what_flows_write_goes_to_volumes_that_go_with_the_pod(name: str) -> None:
    final = Dockerfile.read(FOLDER / "Dockerfile").stages[-1]
    for container in containers_of(PODS[name]):
        mounts = {each["mountPath"]: each["name"] for each in container["volumeMounts"]}
        assert set(mounts) == {final.environment["MODELFLIGHT_HOME"], "/tmp"}
    volumes = {each["name"]: each for each in PODS[name]["volumes"]}
    assert all("emptyDir" in each for each in volumes.values())
    assert volumes["home"]["emptyDir"]["sizeLimit"]
    assert PODS[name]["securityContext"]["fsGroup"] == PODS[name]["securityContext"]["runAsUser"]


def test_each_pod_has_an_identity_of_its_own() -> None:
    accounts = {
        each["metadata"]["name"]: each for each in OBJECTS.values() if each["kind"] == "ServiceAccount"
    }
    used = [PODS["modelflight-receiver"], PODS["modelflight-deploy"]]
    names = [*(pod["serviceAccountName"] for pod in used), DEFAULTS["service_account_name"]]
    assert sorted(names) == sorted(accounts)
    assert all(each["automountServiceAccountToken"] is False for each in accounts.values())
    assert not any(each["kind"].endswith(("Role", "RoleBinding")) for each in OBJECTS.values())


def test_the_receiver_has_one_credential_and_that_is_prefects() -> None:
    assert set(secrets_in(RECEIVER)) == {("prefect-auth", "auth-string")}
    assert "volumes" not in PODS["modelflight-receiver"]


def test_the_receiver_listens_where_its_service_its_probes_and_its_ingress_lead(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name, value in environment(PODS["modelflight-receiver"]).items():
        monkeypatch.setenv(name, value)
    settings = Settings.from_environment()
    (container,) = PODS["modelflight-receiver"]["containers"]
    assert container["ports"] == [{"name": "http", "containerPort": settings.port}]
    assert settings.host == "0.0.0.0"
    assert settings.authorization.startswith("Basic ")
    assert container["livenessProbe"]["httpGet"] == {"path": "/health", "port": "http"}
    assert container["readinessProbe"]["httpGet"] == {"path": "/ready", "port": "http"}
    service = OBJECTS["Service/modelflight-receiver"]["spec"]
    assert service["ports"][0]["targetPort"] == "http"
    (rule,) = OBJECTS["Ingress/modelflight-receiver"]["spec"]["rules"]
    (path,) = rule["http"]["paths"]
    assert path["path"] == f"{settings.root_path}/webhooks"
    assert path["backend"]["service"] == {"name": "modelflight-receiver", "port": {"name": "http"}}


def test_the_receiver_reaches_prefect_and_names_and_nothing_else() -> None:
    policy = OBJECTS["NetworkPolicy/modelflight-receiver"]["spec"]
    labels = RECEIVER["spec"]["template"]["metadata"]["labels"]
    for selector in (
        policy["podSelector"]["matchLabels"],
        RECEIVER["spec"]["selector"]["matchLabels"],
        OBJECTS["Service/modelflight-receiver"]["spec"]["selector"],
        OBJECTS["PodDisruptionBudget/modelflight-receiver"]["spec"]["selector"]["matchLabels"],
    ):
        assert selector.items() <= labels.items()
    assert set(policy["policyTypes"]) == {"Ingress", "Egress"}
    assert [port["port"] for rule in policy["egress"] for port in rule["ports"]] == [4200, 53, 53]
    assert ":4200/" in environment(PODS["modelflight-receiver"])["PREFECT_API_URL"]


def test_only_private_addresses_are_believed_about_where_a_request_comes_from() -> None:
    networks = environment(PODS["modelflight-receiver"])["FORWARDED_ALLOW_IPS"].split(",")
    shared = ipaddress.ip_network("100.64.0.0/10")  # what carriers, and some clusters, use
    found = [ipaddress.ip_network(each) for each in networks]
    assert all(each.is_private or each == shared for each in found)


def test_the_deploy_job_runs_once_at_a_time_and_only_where_the_work_pool_is() -> None:
    assert DEPLOY["spec"]["concurrencyPolicy"] == "Forbid"
    (deploy,) = PODS["modelflight-deploy"]["containers"]
    (guard,) = PODS["modelflight-deploy"]["initContainers"]
    program, verb = deploy["args"]
    assert program == "modelflight"
    assert verb in modelflight.list_commands(None)
    pool = environment_of(deploy)["MODELFLIGHT_WORK_POOL"]
    assert guard["args"] == ["prefect", "work-pool", "inspect", pool]
    assert environment_of(guard) == environment_of(deploy)


def test_all_parts_mean_the_same_prefect_work_pool_and_image(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MODELFLIGHT_WORK_POOL", raising=False)
    deploy = environment(PODS["modelflight-deploy"])
    assert WORKER["config"]["workPool"] == deploy["MODELFLIGHT_WORK_POOL"] == work_pool()
    api = WORKER["selfHostedServerApiConfig"]["apiUrl"]
    assert api == deploy["PREFECT_API_URL"] == environment(PODS["modelflight-receiver"])["PREFECT_API_URL"]
    kustomization = yaml.safe_load((FOLDER / "manifests" / "kustomization.yaml").read_text())
    assert (
        kustomization["namespace"]
        == DEFAULTS["namespace"]
        == OBJECTS["Namespace/modelflight"]["metadata"]["name"]
    )
    assert f".{kustomization['namespace']}.svc" in api
    (image,) = kustomization["images"]
    assert image == {"name": IMAGE, "newTag": version("modelflight")}
    assert DEFAULTS["image"] == f"{IMAGE}:{version('modelflight')}"


def test_links_lead_to_the_newer_pages_of_the_server() -> None:
    said = {each["name"]: each.get("value") for each in SERVER["global"]["prefect"]["env"]}
    address = f"https://{SERVER['ingress']['host']['hostname']}"
    assert SERVER["server"]["uiConfig"]["prefectUiApiUrl"] == f"{address}/api"
    receiver = environment(PODS["modelflight-receiver"])
    assert said["PREFECT_UI_URL"] == receiver["PREFECT_UI_URL"] == f"{address}/v2"


def test_the_servers_and_the_workers_prefect_is_the_locked_one() -> None:
    locked = version("prefect")
    assert SERVER["global"]["prefect"]["image"]["prefectTag"].split("-")[0] == locked
    tag = WORKER["image"]["prefectTag"]
    assert tag.split("-")[0] == locked
    assert tag.endswith("-kubernetes")


def test_secrets_are_named_the_same_everywhere_and_told_in_the_readme() -> None:
    auth = {SERVER["server"]["basicAuth"]["existingSecret"]}
    auth.add(WORKER["selfHostedServerApiConfig"]["basicAuth"]["existingSecret"])
    worker = {
        each["name"].rpartition("AUTH_STRING_SECRET_")[2]: each["value"] for each in WORKER["extraEnvVars"]
    }
    auth.add(worker["NAME"])
    auth |= {name for name, key in secrets_in(list(OBJECTS.values())) if key == worker["KEY"]}
    assert auth == {"prefect-auth"}
    docket = SERVER["backgroundServices"]["messaging"]["docket"]
    needed = {
        ("prefect-auth", worker["KEY"]),
        (SERVER["secret"]["name"], "connection-string"),
        (docket["existingSecret"], docket["existingSecretKey"]),
        *secrets_in(SERVER["global"]),
    }
    readme = (FOLDER / "README.md").read_text()
    assert {f"secrets/{name}/{key}" for name, key in needed if f"secrets/{name}/{key}" not in readme} == set()


def test_prefect_asks_for_a_login_and_keeps_what_must_last_in_postgresql_and_redis() -> None:
    assert SERVER["server"]["basicAuth"]["enabled"] is True
    assert (SERVER["postgresql"]["enabled"], SERVER["redis"]["enabled"]) == (False, False)
    assert SERVER["secret"]["create"] is False
    assert SERVER["backgroundServices"]["runAsSeparateDeployment"] is True


def test_no_file_holds_a_credential() -> None:
    for path in FOLDER.rglob("*.yaml"):
        for document in yaml.safe_load_all(path.read_text()):
            assert document.get("kind") != "Secret", path
            assert "authString" not in path.read_text(), path

"""kube-apiserver, and what its clients need to be let in."""

import json
import secrets
import ssl
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import httpx
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from tests.system.testbed import node
from tests.system.testbed.component import Component, answers
from tests.system.testbed.etcd import Etcd
from tests.system.testbed.ports import free_port
from tests.system.testbed.programs import KUBERNETES
from tests.system.testbed.secret import write_secret
from tests.system.testbed.tls import SERVER_NAMES, Certificate, issue


class ApiServer(Component):
    """The API of a cluster with RBAC and one user, `admin`, who may do everything.

    The cluster's own components are that user, too. Whoever should be allowed less gets a service account.
    """

    name = "kube-apiserver"

    def __init__(self, folder: Path, etcd: Etcd) -> None:
        super().__init__(folder)
        self.port = free_port()
        self._etcd = etcd
        self._token = secrets.token_hex(16)

    @property
    def address(self) -> str:
        """Where it answers, as a URL; the same in pods as `https://kubernetes.default.svc` would be."""
        return f"https://127.0.0.1:{self.port}"

    @cached_property
    def trusted(self) -> ssl.SSLContext:
        """What makes a client in Python trust it."""
        return self.certificate.trusted

    @property
    def kubeconfig(self) -> Path:
        """The admin's kubeconfig; with a token that only root may read."""
        return self.folder / "kubeconfig"

    @property
    def signing_key(self) -> Path:
        """What service accounts' tokens are signed with, in PEM."""
        return self.folder / "service-accounts.key"

    @cached_property
    def certificate(self) -> Certificate:
        """What it serves HTTPS with, to clients outside of pods and in them."""
        services = ("kubernetes", "kubernetes.default", "kubernetes.default.svc", node.API_SERVICE)
        return issue(self.folder / "tls", *SERVER_NAMES, *services)

    def read(self, path: str) -> Any:
        """The JSON document at `path`, or None while it is not there or nobody answers."""
        headers = {"Authorization": f"Bearer {self._token}"}
        try:
            answer = httpx.get(self.address + path, headers=headers, verify=self.trusted, timeout=5)
        except httpx.HTTPError:
            return None
        return answer.json() if answer.is_success else None

    def prepare(self) -> None:
        """Writes the credentials; they stay the same over all starts."""
        if self.kubeconfig.exists():
            return
        write_secret(self.folder / "users.csv", f"{self._token},admin,admin,system:masters\n")
        key = ec.generate_private_key(ec.SECP256R1())
        pem = key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption())
        write_secret(self.signing_key, pem.decode())
        write_secret(self.kubeconfig, json.dumps(self._kubeconfig(), indent=2))

    def _kubeconfig(self) -> dict[str, object]:
        cluster = {"server": self.address, "certificate-authority": str(self.certificate.authority)}
        return {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "testbed", "cluster": cluster}],
            "users": [{"name": "admin", "user": {"token": self._token}}],
            "contexts": [{"name": "testbed", "context": {"cluster": "testbed", "user": "admin"}}],
            "current-context": "testbed",
        }

    def command(self) -> Sequence[str | Path]:
        options = {
            "etcd-servers": self._etcd.address,
            "bind-address": "0.0.0.0",  # in a private network; pods come by way of the bridge
            "advertise-address": node.GATEWAY,
            "secure-port": self.port,
            "tls-cert-file": self.certificate.chain,
            "tls-private-key-file": self.certificate.key,
            "token-auth-file": self.folder / "users.csv",
            "authorization-mode": "RBAC",
            "allow-privileged": "true",
            "service-account-issuer": "https://kubernetes.default.svc",
            "service-account-signing-key-file": self.signing_key,
            "service-account-key-file": self.signing_key,
            "service-cluster-ip-range": node.SERVICE_ADDRESSES,
            "kubelet-preferred-address-types": "InternalIP",  # no name of a node can be resolved here
            "feature-gates": "ImageVolume=true",  # off by default in 1.34
        }
        return [
            KUBERNETES.command("kube-apiserver"),
            *(f"--{name}={value}" for name, value in options.items()),
        ]

    def is_ready(self) -> bool:
        return answers(f"{self.address}/readyz", verify=self.trusted)

"""TLS certificates for servers of the testbed, each signed by an authority that nobody else knows."""

import ssl
from dataclasses import dataclass
from pathlib import Path

import trustme

from tests.system.testbed.secret import write_secret

SERVER_NAMES = ("localhost", "127.0.0.1")


@dataclass(frozen=True)
class Certificate:
    """PEM files: a server's certificate `chain` and its `key`, and the `authority` that clients trust."""

    chain: Path
    key: Path
    authority: Path

    @property
    def trusted(self) -> ssl.SSLContext:
        """What makes a client in Python trust the authority."""
        return ssl.create_default_context(cafile=self.authority)


def issue(folder: Path, *names: str) -> Certificate:
    """Writes a new certificate for `names`, and for `SERVER_NAMES` when none are given, into `folder`."""
    authority = trustme.CA()
    issued = authority.issue_cert(*(names or SERVER_NAMES))
    certificate = Certificate(folder / "server.crt", folder / "server.key", folder / "authority.crt")
    write_secret(certificate.key, issued.private_key_pem.bytes().decode())
    for number, part in enumerate(issued.cert_chain_pems):
        part.write_to_path(certificate.chain, append=number > 0)
    authority.cert_pem.write_to_path(certificate.authority)
    return certificate

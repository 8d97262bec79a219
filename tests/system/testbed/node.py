"""What a Kubernetes node needs of its machine, made inside the testbed's namespaces alone."""

import json
from pathlib import Path

from tests.system.testbed.command import output

NAME = "testbed"
LABELS = {"type": "real"}  # apart from the fake nodes

BRIDGE = "testbed0"
GATEWAY = "10.244.0.1"  # the node's own address, and the way out of a pod
POD_ADDRESSES = "10.244.0.0/24"
SERVICE_ADDRESSES = "10.96.0.0/24"
API_SERVICE = "10.96.0.1"  # the first of them is always the API server's

# What the kubelet sets for the whole machine (setupKernelTunables), where no namespace holds it back.
KERNEL_SETTINGS = {
    "vm/overcommit_memory": 1,
    "vm/panic_on_oom": 0,
    "kernel/panic": 10,
    "kernel/panic_on_oops": 1,
    "kernel/keys/root_maxkeys": 1_000_000,
    "kernel/keys/root_maxbytes": 25_000_000,
}


def prepare(folder: Path) -> None:
    """Makes the pods' bridge, and hides from the kubelet what it would change on the machine.

    `folder` takes the configuration of the container network. A second call changes nothing.

    Raises:
        CommandFailed: the kernel refuses.
    """
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "10-testbed.conflist").write_text(json.dumps(_container_network(), indent=2))
    if f" {BRIDGE}:" in output("ip", "-oneline", "link"):
        return
    _make_bridge(folder)
    _hide_machine(folder)


def _container_network() -> dict[str, object]:
    bridge = {
        "type": "bridge",
        "bridge": BRIDGE,
        "isGateway": True,
        "isDefaultGateway": True,  # services are reached by way of it
        "hairpinMode": True,  # a pod reaches itself through its service
        "ipam": {"type": "host-local", "ranges": [[{"subnet": POD_ADDRESSES, "gateway": GATEWAY}]]},
    }
    ports = {"type": "portmap", "capabilities": {"portMappings": True}}
    return {"cniVersion": "1.0.0", "name": "testbed", "plugins": [bridge, ports]}


def _make_bridge(folder: Path) -> None:
    length = POD_ADDRESSES.rpartition("/")[2]
    commands = folder / "bridge"
    commands.write_text(
        f"link add {BRIDGE} type bridge\n"
        f"address add {GATEWAY}/{length} dev {BRIDGE}\n"
        f"link set {BRIDGE} up\n"
        # Without a route the kernel gives up before kube-proxy's rules are asked.
        f"route add {SERVICE_ADDRESSES} dev {BRIDGE}\n"
    )
    output("ip", "-batch", commands)
    Path("/proc/sys/net/ipv4/ip_forward").write_text("1")


def _hide_machine(folder: Path) -> None:
    for setting, value in KERNEL_SETTINGS.items():
        wanted = folder / setting.replace("/", ".")
        wanted.write_text(f"{value}\n")
        output("mount", "--bind", wanted, Path("/proc/sys") / setting)
    # The kubelet links containers' logs below /var/log, wherever the logs themselves are.
    output("mount", "-t", "tmpfs", "tmpfs", "/var/log")

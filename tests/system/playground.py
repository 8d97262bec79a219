"""The playground: everything that Modelflight works with, on this machine, held open for a person.

`hold_open` runs outside; it starts this module inside the namespaces, where `main` sets the stage. What
listens inside is reached from outside by doors, under the same addresses.
"""

import asyncio
import os
import shlex
import sys
import threading
import webbrowser
from collections.abc import Iterable
from pathlib import Path

from tests.system.testbed import door, everything, namespace
from tests.system.testbed.command import CommandFailed
from tests.system.testbed.component import ComponentFailed
from tests.system.testbed.gitea import USER
from tests.system.testbed.programs import KUBERNETES
from tests.system.testbed.secret import write_secret
from tests.system.testbed.stage import Stage
from tests.system.testbed.testbed import Testbed

ROOT = Path(__file__).parents[2]


def hold_open() -> int:
    """Opens the playground, and Prefect's pages in the browser; returns when a person ends it."""
    network = door.outside()
    page, page_inside = os.pipe()
    threading.Thread(target=_show, args=(page,), daemon=True).start()
    return namespace.run(
        [sys.executable, "-m", "tests.system.playground", str(network), str(page_inside)],
        inherited=[network, page_inside],
        environment={"PYTHONPATH": str(ROOT)},
    )


def _show(page: int) -> None:
    address = os.fdopen(page).readline().strip()
    if address and {"DISPLAY", "WAYLAND_DISPLAY"} & os.environ.keys():  # else it would start in the terminal
        webbrowser.open(address)


def main(network: int, page: int) -> None:
    """Sets the stage, opens the doors, tells how to play, and stays until Ctrl-C."""
    testbed = Testbed(Path(os.environ[namespace.STATE]))
    status = 0
    try:
        stage = everything.start(testbed, _say)
        stage.prepare()
        _say("Releasing the example for the first time; later releases meet it as their champion")
        stage.release()
        stage.deliver()
        settings = _write_settings(stage)
        listeners = [door.listen(port, network) for port in stage.ports]
        print(_guide(stage, settings), flush=True)
        os.write(page, f"{stage.prefect_server.address}\n".encode())
        asyncio.run(_stay(listeners))
    except KeyboardInterrupt:
        _say("Removing everything")
    except (ComponentFailed, CommandFailed, OSError) as error:
        _say(f"The playground cannot be opened: {error}")
        status = 1
    os._exit(status)  # the namespaces end with this process, whatever still runs in them


async def _stay(listeners: Iterable[door.Listener]) -> None:
    for listener in listeners:
        await door.hold_open(listener)
    await asyncio.Event().wait()


def _write_settings(stage: Stage) -> Path:
    """What makes a person's shell work with the stage."""
    environment = {**stage.environment(), "KUBECONFIG": str(stage.cluster.kubeconfig)}
    lines = [f"export {name}={shlex.quote(value)}" for name, value in environment.items()]
    commands = (Path(sys.executable).parent, KUBERNETES.path / "bin")
    lines.append(f"export PATH={':'.join(map(shlex.quote, map(str, commands)))}:$PATH")
    settings = stage.folder / "settings"
    write_secret(settings, "\n".join([*lines, f"cd {shlex.quote(str(stage.folder / 'notebooks'))}", ""]))
    return settings


def _guide(stage: Stage, settings: Path) -> str:
    return f"""
The playground is open; Ctrl-C removes all of it.

  Prefect      {stage.prefect_server.address}
  Gitea        {stage.gitea.address}   user {USER}, password {stage.gitea.password}
  registry     http://{stage.registry.address}/v2/_catalog
  S3           {stage.object_store.address}
  Kubernetes   {stage.cluster.kubeconfig}

To play, open another terminal as root. Its first line takes you to the notebook repository, with settings and
credentials for modelflight, git, kubectl and aws; the others release a better model, and watch its canary:

  source {settings}
  sed --in-place 's/trees: [0-9]*/trees: 40/' modelflight.yaml
  git commit --all --message "More trees" && git push
  modelflight release "$(git remote get-url origin)"
  kubectl --namespace models get canary --watch
"""


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))

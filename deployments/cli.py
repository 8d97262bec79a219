"""The command line `modelflight`.

Each verb imports what it needs when it runs: `--help` and `check` answer at once, and only the verbs that
need Prefect start it.
"""

import click

from deployments.commands.bump import bump
from deployments.commands.check import check
from deployments.commands.compile import compile_
from deployments.commands.demo import demo
from deployments.commands.deploy import deploy
from deployments.commands.doctor import doctor
from deployments.commands.init import init
from deployments.commands.pack import pack
from deployments.commands.release import release
from deployments.commands.run import run
from deployments.commands.start import start
from deployments.commands.up import up


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="modelflight")
def main() -> None:
    """Takes a model from a pushed notebook to production, with Git as the only source of truth.

    Files are kept below MODELFLIGHT_HOME. Exit codes: 0 done, 1 failed, 2 wrong use or invalid input, 10
    refused, 11 rolled back, 12 no verdict in time, 130 interrupted.
    """


for command in (init, check, release, start, compile_, run, pack, bump, deploy, doctor, up, demo):
    main.add_command(command)


if __name__ == "__main__":
    main()

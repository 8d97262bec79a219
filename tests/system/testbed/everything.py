"""All components of a release, started together."""

import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

from tests.system.testbed.cluster import Cluster
from tests.system.testbed.flagger import Flagger
from tests.system.testbed.git_source import GitSource
from tests.system.testbed.gitea import Gitea
from tests.system.testbed.kustomize_controller import KustomizeController
from tests.system.testbed.postgresql import PostgreSQL
from tests.system.testbed.prefect_server import PrefectServer
from tests.system.testbed.prometheus import Prometheus
from tests.system.testbed.registry import Distribution
from tests.system.testbed.stage import Stage
from tests.system.testbed.testbed import C, Testbed
from tests.system.testbed.versitygw import VersityGateway


def start(testbed: Testbed, say: Callable[[str], None]) -> Stage:
    """Starts everything, as much as possible at once, and says what is ready; the stage is not prepared yet.

    Raises:
        ComponentFailed: a component ended, or was not ready in time.
    """
    began = time.monotonic()

    def run(component: C) -> C:
        testbed.run(component)
        say(f"{component.name} is ready after {time.monotonic() - began:.1f} s")
        return component

    def prefect_server() -> PrefectServer:
        database = run(PostgreSQL(testbed.folder("postgresql")))
        database.create("prefect")
        return run(PrefectServer(testbed.folder("prefect"), database.url("prefect")))

    def flagger(cluster: Cluster) -> Flagger:
        metrics = run(Prometheus(testbed.folder("prometheus")))
        return run(Flagger(testbed.folder("flagger"), cluster, metrics))

    def delivery(cluster: Cluster, gitea: Future[Gitea]) -> None:
        run(KustomizeController(testbed.folder("kustomize-controller"), cluster))
        credentials = gitea.result().git_environment()
        run(GitSource(testbed.folder("git-source"), cluster.kubeconfig, credentials))

    with ThreadPoolExecutor() as pool:
        prefect = pool.submit(prefect_server)  # it takes longest
        gitea = pool.submit(run, Gitea(testbed.folder("gitea")))
        registry = pool.submit(run, Distribution(testbed.folder("registry")))
        object_store = pool.submit(run, VersityGateway(testbed.folder("versitygw")))
        cluster = run(Cluster(testbed.folder("cluster")))
        in_cluster = [pool.submit(flagger, cluster), pool.submit(delivery, cluster, gitea)]
        for started in in_cluster:
            started.result()
        return Stage(
            testbed.folder("stage"), gitea.result(), registry.result(), object_store.result(),
            prefect.result(), cluster,
        )  # fmt: skip

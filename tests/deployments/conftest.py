from tests.fakes.fixtures import docker_config, registry  # noqa: F401

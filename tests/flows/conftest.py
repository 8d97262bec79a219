from tests.fakes.fixtures import bucket, docker_config, object_store, one_object_store, registry  # noqa: F401

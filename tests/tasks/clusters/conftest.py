from tests.fakes.fixtures import object_store, one_object_store  # noqa: F401

from pathlib import Path

import pytest

from tests.fakes.fixtures import bucket, object_store, one_object_store  # noqa: F401


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A small model with everything that names may be."""
    folder = tmp_path / "model"
    (folder / "sub" / "nothing").mkdir(parents=True)
    (folder / "model.joblib").write_bytes(bytes(range(256)) * 8)
    (folder / "empty").write_bytes(b"")
    (folder / "with space+plus%41?#").write_bytes(b"1")
    (folder / "größe-模型").write_bytes(b"3")
    (folder / "sub" / "weights.bin").write_bytes(b"5" * 513)
    return folder

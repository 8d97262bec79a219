"""The copy command's programs as files: static, for their architecture, the same wherever they are built."""

import hashlib
import os
import struct
import sys
from pathlib import Path

import pytest

from tasks.oci.copy_command import binary

SOURCE = Path(__file__).parents[2] / "infra" / "copy"

EXECUTABLE, LITTLE_ENDIAN_64 = 2, b"\x7fELF\x02\x01"
INTERPRETER, DYNAMIC, LOADED = 3, 2, 1
MACHINES = {"amd64": 62, "arm64": 183}


@pytest.mark.parametrize("architecture", MACHINES)
def test_is_a_static_program_for_its_architecture(architecture: str):
    program = binary(architecture)
    assert program.startswith(LITTLE_ENDIAN_64)
    kind, machine = struct.unpack_from("<HH", program, 16)
    assert (kind, machine) == (EXECUTABLE, MACHINES[architecture])
    (table,) = struct.unpack_from("<Q", program, 32)
    size, count = struct.unpack_from("<HH", program, 54)
    segments = {struct.unpack_from("<I", program, table + size * number)[0] for number in range(count)}
    assert LOADED in segments
    assert not segments & {INTERPRETER, DYNAMIC}


@pytest.mark.parametrize("architecture", MACHINES)
def test_tells_nothing_of_the_machine_that_built_it(architecture: str):
    program = binary(architecture)
    for found in (SOURCE.parents[1], Path.home(), sys.prefix, "site-packages", "modelflight-zig", "copy.c"):
        assert os.fsencode(found) not in program


@pytest.mark.parametrize("architecture", MACHINES)
def test_is_the_same_wherever_it_is_built(architecture: str):
    listed = dict(line.split(" *")[::-1] for line in (SOURCE / "SHA256SUMS").read_text().splitlines())
    assert hashlib.sha256(binary(architecture)).hexdigest() == listed[f"modelflight-copy-{architecture}"]

from hypothesis import given
from hypothesis import strategies as st

from tasks.chunks import in_chunks


@given(st.lists(st.binary(max_size=20)), st.integers(1, 12))
def test_chunks_have_the_wanted_size_and_all_bytes_in_their_order(pieces: list[bytes], size: int) -> None:
    chunks = [b"".join(chunk) for chunk in in_chunks(pieces, size)]
    assert b"".join(chunks) == b"".join(pieces)
    assert all(len(chunk) == size for chunk in chunks[:-1])
    assert all(0 < len(chunk) <= size for chunk in chunks[-1:])


def test_a_chunk_is_there_before_the_next_piece_is_asked_for() -> None:
    def pieces():
        yield b"ab"
        raise AssertionError("asked for more than the chunk needs")

    assert next(in_chunks(pieces(), 2)) == [b"ab"]

"""Streams of bytes in chunks of the size that a receiver wants."""

from collections.abc import Iterable, Iterator, Sequence


def in_chunks(pieces: Iterable[bytes], size: int) -> Iterator[Sequence[bytes]]:
    """Chunks of `size` bytes, the last of at most that; none is empty.

    A chunk is a list of pieces as they came, because joining them would hold each byte twice.
    """
    chunk: list[bytes] = []
    left = size
    for piece in pieces:
        rest = piece
        while len(rest) >= left:
            yield [*chunk, rest[:left]]
            rest, chunk, left = rest[left:], [], size
        if rest:
            chunk.append(rest)
            left -= len(rest)
    if chunk:
        yield chunk

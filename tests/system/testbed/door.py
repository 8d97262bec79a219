"""Doors: ports of the testbed's private network, reached from the machine outside under the same number.

A socket belongs to the network namespace in which it was made, whoever uses it later. So a door listens
outside and connects inside, in one process, and nothing is changed on the machine.
"""

import asyncio
import contextlib
import ctypes
import os
import socket
from concurrent.futures import ThreadPoolExecutor

Listener = socket.socket
NETWORK = 0x40000000  # CLONE_NEWNET, linux/sched.h


def outside() -> int:
    """An open file that stands for the network namespace of this process."""
    return os.open("/proc/self/ns/net", os.O_RDONLY)


def listen(port: int, network: int) -> Listener:
    """A socket that listens on the loopback address of the namespace that the open file `network` stands for.

    Raises:
        OSError: somebody listens there already.
    """

    def make() -> Listener:
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.setns(network, NETWORK):
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
        try:
            return socket.create_server(("127.0.0.1", port))
        except OSError as error:
            raise OSError(f"port {port} of this machine is taken: {error.strerror}") from error

    with ThreadPoolExecutor(1) as thread:  # setns moves only the thread that calls it; this one ends here
        return thread.submit(make).result()


async def hold_open(listener: Listener) -> asyncio.Server:
    """Connects whoever comes through `listener` with the same port inside."""
    port = listener.getsockname()[1]

    async def connect(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            inner_reader, inner_writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            writer.close()
            return
        try:
            await asyncio.gather(_copy(reader, inner_writer), _copy(inner_reader, writer))
        finally:
            writer.close()
            inner_writer.close()

    return await asyncio.start_server(connect, sock=listener)


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):  # whoever hung up wants no answer
        while chunk := await reader.read(1 << 16):
            writer.write(chunk)
            await writer.drain()
        writer.write_eof()  # the other direction may still have something to say

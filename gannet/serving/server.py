"""The process that serves: its socket, its signals, its end."""

import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from ipaddress import ip_address

import numpy as np
import uvicorn

from gannet.errors import UserError
from gannet.generation.sampler import Sampler
from gannet.serving.app import Service
from gannet.serving.worker import Worker

DRAIN = 10  # seconds that the requests which are there have at the end
SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Server(uvicorn.Server):
    """uvicorn's, which says when it listens and ends a signal with status 0.

    SIGTERM and Ctrl-C close the socket; what has been asked for is answered, for `DRAIN` seconds at most. A second
    Ctrl-C gives that up.
    """

    def __init__(self, config: uvicorn.Config, listens: Callable[[], object]) -> None:
        super().__init__(config)
        self.listens = listens

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.listens()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Unlike uvicorn's, it does not raise the signals once more at the end, and leaves other threads alone."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {number: signal.signal(number, self.handle_exit) for number in SIGNALS}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


def serve(G: Sampler, name: str, host: str, port: int, batch: int, queue: int) -> None:
    """Serves images of G until SIGTERM or Ctrl-C. `name` is what it is called.

    Raises `UserError` for numbers that cannot be, an address that cannot be had, and a G that needs more than noise.
    """
    for option, (value, least, most) in {
        "--port": (port, 0, 65535),
        "--batch": (batch, 1, 4096),
        "--queue": (queue, 1, 10**6),
    }.items():
        if not least <= value <= most:
            raise UserError(f"{option} is {value}, and must be from {least} to {most}")
    try:
        G.images(G.z(0, 0, 1), G.one_hot(np.zeros(1, np.int64)))
    except UserError as error:
        raise UserError(f"{name} cannot be served: {error}") from error
    opened = listening(host, port)
    address, actual = opened.getsockname()[:2]
    if not ip_address(address.partition("%")[0]).is_loopback:
        print(f"warning: whoever reaches {address} can use this service: there is no password", file=sys.stderr)
    shown = f"[{address}]" if ":" in address else address
    app = Service(G, Worker(G, batch, queue), name).app()
    config = uvicorn.Config(app, log_level="warning", access_log=False, timeout_graceful_shutdown=DRAIN)
    server = Server(config, lambda: print(f"{name} at http://{shown}:{actual} (see /docs; Ctrl-C ends it)", flush=True))
    server.run(sockets=[opened])


def listening(host: str, port: int) -> socket.socket:
    """A socket at that address; port 0 takes a free one. Raises `UserError` where it cannot be had."""
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        return socket.create_server(address[:2], family=family, backlog=2048)
    except OSError as error:
        why = error.strerror or str(error)
        raise UserError(f"cannot listen at {host}, port {port} ({why}): choose another --host or --port") from error

"""Starts the studio: a free port, the address, the browser."""

import importlib
import importlib.util
import secrets
import socket
import threading
import webbrowser
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gannet.errors import UserError
from gannet.studio.security import LOCAL

USUAL_PORT = 8765
LOOPBACK = (LOCAL, "localhost", "::1")
GRACE = 2  # seconds in which open requests may end


@dataclass(frozen=True)
class Opened:
    """A server that has its port, and the address of its page."""

    server: Any
    socket: socket.socket
    port: int
    url: str

    def run(self) -> None:
        """Answers until it is interrupted."""
        self.server.run(sockets=[self.socket])


def opened(
    runs: Path,
    *,
    port: int | None = None,
    host: str = LOCAL,
    data: Sequence[Path] = (),
    proxy: Callable[[int], str] | None = None,
) -> Opened:
    """A server over the folder `runs`, bound to `host`: on `port`, or on a free one.

    Bound to anything but this machine it has a token, which is in its address. `proxy` gives the name under which a
    port is shown elsewhere. Raises `UserError` where the packages or the port cannot be had.
    """
    if missing := [name for name in ("fastapi", "uvicorn") if importlib.util.find_spec(name) is None]:
        raise UserError(f"gannet studio needs {' and '.join(missing)}: pip install 'gannet-gan[studio]'")
    import uvicorn

    from gannet.studio.server import studio

    bound = bind(host, port)
    number = bound.getsockname()[1]
    token = None if host in LOOPBACK else secrets.token_urlsafe(24)
    proxies = [proxy(number)] if proxy else []
    app = studio(runs, token, data=data, host=host, port=number, proxies=proxies)
    config = uvicorn.Config(
        app, log_level="warning", access_log=False, timeout_graceful_shutdown=GRACE, server_header=False
    )
    shown = {"0.0.0.0": socket.gethostname(), "::": socket.gethostname(), LOCAL: "localhost"}.get(host, host)
    shown = f"[{shown}]" if ":" in shown else shown
    url = f"http://{shown}:{number}/" + (f"?token={token}" if token else "")
    server = uvicorn.Server(config)
    app.state.watches.is_ending = lambda: server.should_exit
    return Opened(server, bound, number, url)


def bind(host: str, port: int | None) -> socket.socket:
    """A socket on `port`, or on the usual one, or where that is taken on any. Raises `UserError`."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    reason: OSError | None = None
    for number in (USUAL_PORT, 0) if port is None else (port,):
        bound = socket.socket(family, socket.SOCK_STREAM)
        try:
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            bound.bind((host, number))
            bound.listen(128)
        except (OSError, OverflowError) as error:
            bound.close()
            reason = error if isinstance(error, OSError) else None
        else:
            return bound
    why = getattr(reason, "strerror", None) or reason or "there is no such port"
    raise UserError(f"cannot listen on {host}, port {port or USUAL_PORT}: {why}; choose another with --port")


def serve(runs: Path, port: int | None, host: str, browser: bool, data: Sequence[Path]) -> None:
    """Says the address, opens it, and answers until Ctrl-C. Raises `UserError`."""
    if runs.exists() and not runs.is_dir():
        raise UserError(f"{runs} is a file: name the folder of the runs, or of one run")
    for folder in data:
        if not folder.is_dir():
            raise UserError(f"there is no folder {folder}: --data names one whose images may be looked at")
    made = opened(runs, port=port, host=host, data=data)
    print(f"studio  {made.url}", flush=True)
    print(f"runs    {runs}; Ctrl-C ends the studio, and no training", flush=True)
    if host not in LOOPBACK:
        print("        whoever has this address sees the runs and can start trainings: it goes unencrypted", flush=True)
    threading.Thread(target=importlib.import_module, args=["gannet.studio.play"], daemon=True).start()  # takes seconds
    if browser:
        opening = threading.Timer(0.5, open_browser, [made.url])
        opening.daemon = True
        opening.start()
    with suppress(KeyboardInterrupt):
        made.run()


def open_browser(url: str) -> None:
    with suppress(webbrowser.Error, OSError):
        webbrowser.open(url)

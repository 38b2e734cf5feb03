"""The studio in a notebook: the same page, inline."""

import os
import sys
import threading
import time
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

from gannet.display import in_notebook
from gannet.errors import UserError
from gannet.studio.start import Opened, open_browser, opened

SLOWEST = 10.0  # seconds that a server may take to start


class Studio:
    """A studio that answers in the background, until `stop` or the end of the process."""

    def __init__(self, made: Opened, page: str):
        self.made = made
        self.url = made.url.rstrip("/") + "/" + page
        self.thread = threading.Thread(target=made.run, daemon=True)
        self.thread.start()
        until = time.monotonic() + SLOWEST
        while not made.server.started and self.thread.is_alive() and time.monotonic() < until:
            time.sleep(0.02)

    def stop(self) -> None:
        """Ends the server; trainings that it has started go on."""
        self.made.server.should_exit = True
        self.thread.join(SLOWEST)

    def __repr__(self) -> str:
        return f"gannet studio at {self.url}"


def show(
    runs: str | os.PathLike[str] = "runs", *, data: str | os.PathLike[str] | None = None, height: int = 900
) -> Studio:
    """Starts the studio over a run, or a folder of runs, and shows it: inline in a notebook, else in the browser.

    In Colab it goes through the notebook's own proxy. `data` is a folder whose images may be looked at. Raises
    `UserError` where the packages are missing.
    """
    folder = Path(runs)
    if not folder.is_dir():
        raise UserError(f"there is no run and no folder of runs at {folder}")
    is_run = (folder / "recipe.toml").is_file()
    page = f"#/run/{quote(folder.resolve().name, safe='')}" if is_run else ""
    proxied = colab_proxy()
    made = opened(
        folder, port=0, data=[Path(data)] if data else (), proxy=proxied and (lambda port: name_of(proxied(port)))
    )
    studio = Studio(made, page)
    if proxied:
        inline(proxied(made.port).rstrip("/") + "/" + page, height)
    elif in_notebook():
        inline(studio.url, height)
    else:
        open_browser(studio.url)
    return studio


def inline(url: str, height: int) -> None:
    from IPython.display import IFrame, display

    display(IFrame(url, width="100%", height=height))


def colab_proxy() -> Any:
    """Colab's address for a port; None elsewhere."""
    if "google.colab" not in sys.modules:
        return None
    eval_js: Any = sys.modules["google.colab"].output.eval_js
    return lambda port: eval_js(f"google.colab.kernel.proxyPort({port})")


def name_of(url: str) -> str:
    return urlsplit(url).netloc.lower()

"""The command that shows the web page."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, UseAppendAction, arg

from gannet.commands.options import parse


@dataclass(frozen=True)
class Studio:
    """Watch runs, play with their generators, compare and rate them, and start new ones, in the browser."""

    runs: Annotated[Path, Positional, arg(metavar="[RUNS]")] = Path("runs")
    """The folder of the runs, or one run."""
    port: int | None = None
    """A port; 8765 without it, or a free one."""
    host: str = "127.0.0.1"
    """The address to listen on; with any but this machine's own a token is needed, which is printed."""
    browser: bool = True
    """Open the page in the browser."""
    data: UseAppendAction[tuple[Path, ...]] = ()
    """A folder whose images may be looked at and trained on, once or more; this one without it."""


def studio(argv: list[str]) -> None:
    from gannet.errors import UserError
    from gannet.studio.start import serve

    options = parse(Studio, argv, "studio")
    if options.runs != Path("runs") and not options.runs.exists():
        raise UserError(f"there is no folder {options.runs}: name that of the runs")
    serve(options.runs, options.port, options.host, options.browser, options.data or (Path(),))

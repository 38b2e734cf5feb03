"""What the options of several commands have in common."""

from typing import Annotated, Any

from tyro.conf import Positional, arg

INTERRUPTED = 4


RunFolder = Annotated[str, Positional, arg(metavar="RUN")]


Data = Annotated[str, Positional, arg(metavar="DATA")]


def parse(kind: Any, argv: list[str], command: str) -> Any:
    from gannet.parsing import parse

    return parse(kind, argv, f"gannet {command}", kind.__doc__)


def status(trained: Any) -> int:
    return 0 if trained.finished else INTERRUPTED

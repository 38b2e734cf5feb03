"""Options of a command, from a dataclass; every complaint is one line."""

import contextlib
import dataclasses
import io
import re
from collections.abc import Iterator, Sequence
from typing import Any

import tyro

from gannet.errors import UserError, nearest

NOT_PARSED = re.compile(r"parsing (--[\w.-]+): .*(string to float|int\(\) with base 10): '(.*)'")
CHOICES, QUOTED = re.compile(r"Expected one of \(('.*?')\)"), re.compile(r"'[^']*'")
SHORT = {
    "resolution": ("data.resolution",),
    "batch": ("train.batch",),
    "device": ("train.device",),
    "lr": ("optim.G.lr", "optim.D.lr"),
}


def parse(kind: Any, argv: Sequence[str], prog: str, description: str) -> Any:
    """`tyro.cli`, whose complaints become a `UserError` of one line."""
    known = {"--help", *flags(kind)}
    help_ = f"({prog} --help lists all)"
    for word in argv:
        if word.startswith("--") and word.replace("_", "-") not in known:
            choices = known | {f"--{short}" for short in SHORT if prog.endswith(("train", "sweep"))}
            alike = {each for each in choices if each.lower() == word.lower().replace("_", "-")}
            near = nearest(word, alike or choices)
            raise UserError(f"there is no option {word}{near if 'did you mean' in near else ''} {help_}")
    complaint = io.StringIO()
    try:
        with contextlib.redirect_stderr(complaint):
            config = (tyro.conf.DisallowNone,)
            return tyro.cli(kind, args=list(argv), prog=prog, description=description, config=config)
    except SystemExit as error:
        if error.code in (0, None):
            raise
        raise UserError(f"{one_line(complaint.getvalue())} {help_}") from None


def flags(kind: Any, prefix: str = "") -> Iterator[str]:
    """The options that tyro makes of a dataclass."""
    for field in dataclasses.fields(kind):
        name = field.name.replace("_", "-")
        if dataclasses.is_dataclass(field.type):
            yield from flags(field.type, f"{prefix}{name}.")
        else:
            yield from (f"--{prefix}{name}", f"--{prefix}no-{name}")


def one_line(box: str) -> str:
    """The first paragraph of what tyro says in a box, as one line.

    Where box characters cannot be printed, the title is a paragraph of its own, indented by one.
    """
    titled = not box.startswith("╭")
    paragraphs: list[list[str]] = [[]]
    for line in (line.strip("│ ") for line in box.splitlines() if not line.startswith(("╭", "╰"))):
        if line and set(line) <= set("─-"):
            paragraphs.append([])
        elif line:
            paragraphs[-1].append(line)
    said = " ".join(paragraphs[titled]).removesuffix(".")
    if wrong := NOT_PARSED.search(said):
        option, of, value = wrong.groups()
        return f"{option} is '{value}', and must be a {'number' if 'float' in of else 'whole number'}"
    return CHOICES.sub(lambda found: f"Expected one of {', '.join(in_order(found[1]))}", said)


def in_order(choices: str) -> list[str]:
    """Quoted choices, which come in any order, without the None that an option is which nobody has set."""
    return sorted(set(QUOTED.findall(choices)) - {"'None'"})

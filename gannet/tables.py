"""Tables: of Markdown in a file, aligned in a terminal."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Group, RenderableType


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table of Markdown; a bar in a cell does not end it."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


@dataclass(frozen=True)
class Section:
    """A part of a report: a table, and sentences below it. Without a title it belongs to the part before."""

    title: str = ""
    header: Sequence[str] = ()
    rows: Sequence[Sequence[str]] = ()
    lines: Sequence[str] = ()


class Sections(ABC):
    """A report in sections: its text is Markdown, and rich prints it as aligned tables."""

    most_rows: int | None = None
    """Of a table in a terminal; None for all."""

    @abstractmethod
    def sections(self) -> Iterator[Section]:
        """The parts in the order in which they are read."""

    def __rich__(self) -> Group:
        from rich.box import SIMPLE
        from rich.console import Group
        from rich.table import Table
        from rich.text import Text

        parts: list[RenderableType] = []
        for section in self.sections():
            if section.title:
                parts.append(Text(section.title, style="bold"))
            if section.rows:
                table = Table(*section.header, box=SIMPLE)
                for row in section.rows[: self.most_rows]:
                    table.add_row(*map(Text, row))
                parts.append(table)
                if more := len(section.rows[self.most_rows :]) if self.most_rows else 0:
                    parts.append(Text(f"{more} more rows are in the report (--out) and --json."))
            parts += [*map(Text, section.lines), Text()]
        return Group(*parts[:-1])

    def __str__(self) -> str:
        """The report as a page."""
        return "\n\n".join(self.parts()) + "\n"

    def parts(self) -> Iterator[str]:
        """The paragraphs of the page."""
        for i, section in enumerate(self.sections()):
            if section.title:
                yield f"{'##' if i else '#'} {section.title}"
            if section.rows:
                yield table(section.header, section.rows)
            yield from section.lines

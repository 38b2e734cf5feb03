"""Tables of parts: what a recipe names by a string, imported when it is used.

A part is a callable whose positional parameters are facts (the data's resolution, another part) and
whose keyword-only parameters are its settings, each with a type and a default.
"""

import importlib
import inspect
import os
import sys
from collections.abc import Callable
from typing import Any

from gannet.errors import UserError, nearest


class Table:
    """Names and where their parts are: `Table("game", ("gan", "gannet.games.gan:GAN"), ...)`.

    Raises `ValueError` when a name stands twice.
    """

    def __init__(self, kind: str, *rows: tuple[str, str]):
        self.kind = kind
        self.rows = dict(rows)
        if len(self.rows) != len(rows):
            names = [name for name, _ in rows]
            raise ValueError(f"a {kind} stands twice in its table: {sorted({n for n in names if names.count(n) > 1})}")

    def __or__(self, other: "Table") -> "Table":
        """The rows of both."""
        return Table(self.kind, *self.rows.items(), *other.rows.items())

    def find(self, name: str, allow_code: bool = False) -> Callable[..., Any]:
        """The part called `name`; a name like `module:callable` only where `allow_code`.

        Raises `UserError` for an unknown name, with the nearest known one.
        """
        address = self.rows.get(name)
        if address is None and ":" in name:
            if not allow_code:
                raise UserError(f"{self.kind} '{name}' is code of your own: allow it with --allow-code")
            address = name
            if os.getcwd() not in sys.path:  # `gannet` as a command does not look there, as `python -m gannet` does
                sys.path.insert(0, os.getcwd())
        if address is None:
            raise UserError(f"there is no {self.kind} '{name}'{nearest(name, self.rows)}")
        module, _, attribute = address.partition(":")
        try:
            return getattr(importlib.import_module(module), attribute)
        except (ImportError, AttributeError) as error:
            if name in self.rows:
                raise
            raise UserError(f"{self.kind} '{name}' cannot be imported: {error}") from error


def facts_for(part: Callable[..., Any], **facts: Any) -> dict[str, Any]:
    """Those of the facts that a part asks for, by the names of its positional parameters."""
    parameters = inspect.signature(part).parameters
    return {name: fact for name, fact in facts.items() if name in parameters}


def settings_of(part: Callable[..., Any]) -> dict[str, inspect.Parameter]:
    """The keyword-only parameters of a part, by name, annotations resolved.

    Where a class hands `**settings` on, those of the class above it are among them.
    """
    parameters = inspect.signature(part, eval_str=True).parameters
    found = {name: p for name, p in parameters.items() if p.kind is p.KEYWORD_ONLY}
    if isinstance(part, type) and any(p.kind is p.VAR_KEYWORD for p in parameters.values()):
        found |= settings_of(part.__bases__[0])
    return found

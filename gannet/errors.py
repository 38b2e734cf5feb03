"""Errors that are the user's to mend, told in one line."""

from collections.abc import Iterable
from difflib import get_close_matches


class UserError(Exception):
    """Something the user can mend: one line that says what is wrong and what to do.

    The command line prints the line and exits with `status` (2); Python callers catch it.
    """

    status = 2


class DivergedError(UserError):
    """Training produced non-finite values again and again, and was given up (exit status 3)."""

    status = 3


def nearest(name: str, choices: Iterable[str]) -> str:
    """`"; did you mean 'x'?"` for the closest of `choices`, or the choices themselves."""
    choices = sorted(choices)
    if close := get_close_matches(name, choices, n=1, cutoff=0.5):
        return f"; did you mean '{close[0]}'?"
    return f"; choose from: {', '.join(choices)}" if choices else ""


def one_line(error: Exception) -> str:
    """What an error of somebody else's says, in at most 160 characters; its kind where it says nothing."""
    return " ".join(str(error).split())[:160] or type(error).__name__

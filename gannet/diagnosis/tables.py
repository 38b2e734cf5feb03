"""Tables as text: CSV with commas, semicolons or tabs, in UTF-8 or UTF-16, with or without a byte order mark."""

import codecs
import csv
import io
import re
import warnings
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from gannet.errors import UserError, one_line

ABSENT = -np.inf  # an empty cell, other than one that is not a number
DELIMITERS = ",;\t"
MARKS = {codecs.BOM_UTF8: "utf-8", codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}

Columns = Mapping[str, tuple[np.ndarray, np.ndarray]]  # names, and each the numbers of its lines and its values


def in_utf8(data: bytes, path: Path) -> bytes:
    """A text without its byte order mark. Raises `UserError` where the text is not what its mark says."""
    for mark, encoding in MARKS.items():
        if data.startswith(mark):
            try:
                return data.decode(encoding).encode().removeprefix(codecs.BOM_UTF8)
            except UnicodeDecodeError as error:
                raise UserError(f"{path} is not the {encoding} text that it begins as: {one_line(error)}") from error
    return data


def of_csv(data: bytes, path: Path) -> Columns:
    """The columns of a table with a head. Raises `UserError` where there is none."""
    data = data.replace(b"\r\n", b"\n").strip(b"\n ")
    head, _, body = data.partition(b"\n")
    try:
        first = head.decode("utf-8")
        delimiter = max(DELIMITERS, key=first.count)
        names = [name.strip() for name in next(csv.reader([first], delimiter=delimiter))]
        table = quick_table(body, delimiter.encode(), len(names))
        if table is None:
            table = slow_table(body.decode("utf-8"), delimiter, len(names))
    except UnicodeDecodeError as error:
        raise UserError(f"{path} is not a table of text in UTF-8 or UTF-16") from error
    except (csv.Error, StopIteration) as error:
        raise UserError(f"{path} is not a table of text: {one_line(error)}") from error
    if len(names) < 2 or not len(table):
        raise UserError(f"{path} has no table in it: the first line names the columns, such as step,d_loss,g_loss")
    found = {}
    for name, values in zip(names, table.T, strict=True):
        rows = np.flatnonzero(values != ABSENT)
        found.setdefault(name, (rows, values[rows]))
    return found


def quick_table(body: bytes, delimiter: bytes, width: int) -> np.ndarray | None:
    """The cells `[rows, width]` of a table that holds nothing but numbers; None for others."""
    if b'"' in body or re.search(rb"-inf", body, re.IGNORECASE):
        return None
    body = re.sub(rb" +", b"", body) if b" " in body else body
    empty, gap = delimiter * 2, delimiter + b"-inf" + delimiter
    body = body.replace(empty, gap).replace(empty, gap)
    body = body.replace(delimiter + b"\n", delimiter + b"-inf\n").replace(b"\n" + delimiter, b"\n-inf" + delimiter)
    body += b"-inf" if body.endswith(delimiter) else b""
    body = b"-inf" + body if body.startswith(delimiter) else body
    cells = body.replace(b"\n", delimiter)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            values = np.fromstring(cells, sep=delimiter.decode())
        except (DeprecationWarning, ValueError):
            return None
    whole = len(values) == cells.count(delimiter) + 1 == (body.count(b"\n") + 1) * width
    return values.reshape(-1, width) if whole else None


def slow_table(body: str, delimiter: str, width: int) -> np.ndarray:
    """The cells `[rows, width]` of any table: text is as good as nothing, and short rows are filled up."""
    rows = [row for row in csv.reader(io.StringIO(body), delimiter=delimiter) if row]
    point = "." if delimiter == "," else ","  # beside another delimiter a comma may stand for the point
    cells = [[cell(text.replace(point, ".")) for text in (row + [""] * width)[:width]] for row in rows]
    return np.array(cells, dtype=float).reshape(-1, width)


def cell(text: str) -> float:
    """A number; what is none is as good as empty, and what is below all numbers is infinite as well."""
    try:
        value = float(text)
    except ValueError:
        return ABSENT
    return -value if value == ABSENT else value

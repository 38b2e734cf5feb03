"""Which images are set aside: whole groups, by a hash, so that more data moves none of them."""

import csv
import hashlib
import re
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

import numpy as np

from gannet.errors import UserError


def groups(names: Sequence[str], group_by: str) -> list[str] | None:
    """The group of each file by a regular expression or a CSV file; None when `group_by` is empty.

    The CSV has the columns `file` (a name as in `names`, or its last part) and `group`. Raises
    `UserError` when a file has no group.
    """
    if not group_by:
        return None
    if group_by.lower().endswith(".csv"):
        return _by_csv(names, Path(group_by).expanduser())
    return _by_regex(names, group_by)


def held_out(units: Sequence[str], fraction: float) -> np.ndarray:
    """Which images to set aside, bool `[N]`: those whose unit has a hash below `fraction`.

    At least one unit is set aside and one kept. Raises `UserError` when there is but one.
    """
    names = sorted(set(units), key=_hash)
    if len(names) < 2:
        raise UserError("data.held_out needs two groups or more, and all images belong to one: change data.group_by")
    num = int(np.searchsorted([_hash(name) for name in names], fraction))
    aside = set(names[: min(max(num, 1), len(names) - 1)])
    return np.array([unit in aside for unit in units])


def _hash(unit: str) -> float:
    return int.from_bytes(hashlib.sha256(unit.encode("utf-8", "surrogatepass")).digest()[:6], "big") / 2**48


def _by_regex(names: Sequence[str], pattern: str) -> list[str]:
    try:
        expression = re.compile(pattern)
    except re.error as error:
        raise UserError(f"data.group_by '{pattern}' is not a regular expression: {error}") from error
    if not expression.groups:
        raise UserError(f"data.group_by '{pattern}' has no (...) around the part of the name that is the group")
    found = [match.group(1) if (match := expression.search(name)) else None for name in names]
    missing = [name for name, group in zip(names, found, strict=True) if group is None]
    if missing:
        raise UserError(f"data.group_by '{pattern}' does not match {len(missing):,} of {len(names):,} files, such as "
                        f"'{missing[0]}'")  # fmt: skip
    return [group for group in found if group is not None]


def _by_csv(names: Sequence[str], path: Path) -> list[str]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = list(csv.DictReader(file))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"cannot read data.group_by {path}: {error}") from error
    if not rows or not {"file", "group"} <= set(rows[0]):
        raise UserError(f"data.group_by {path} must have the columns file,group and a row for each image")
    table: dict[str, str] = {}
    for row in rows:
        file, group = (row["file"] or "").replace("\\", "/"), row["group"] or ""
        if table.setdefault(file, group) != group:
            raise UserError(f"data.group_by {path} puts '{file}' into two groups, '{table[file]}' and '{group}'")
    found = [table.get(name) or table.get(PurePosixPath(name).name) for name in names]
    missing = [name for name, group in zip(names, found, strict=True) if not group]
    if missing:
        raise UserError(f"data.group_by {path} has no group for {len(missing):,} of {len(names):,} files, such as "
                        f"'{missing[0]}'")  # fmt: skip
    return [group for group in found if group]

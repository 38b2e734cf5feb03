"""Many file names in little memory."""

from collections.abc import Sequence
from itertools import accumulate
from typing import overload

import numpy as np


class Names(Sequence[str]):
    """A fixed sequence of strings in one: a list of short strings takes five times as much memory."""

    def __init__(self, names: Sequence[str]):
        self._text = "".join(names)
        self._ends = np.fromiter(accumulate(map(len, names), initial=0), np.int64, len(names) + 1)

    def __len__(self) -> int:
        return len(self._ends) - 1

    @overload
    def __getitem__(self, i: int) -> str: ...

    @overload
    def __getitem__(self, i: slice) -> list[str]: ...

    def __getitem__(self, i: int | slice) -> str | list[str]:
        chosen = range(len(self))[i]
        if isinstance(chosen, range):
            return [self[k] for k in chosen]
        return self._text[self._ends[chosen] : self._ends[chosen + 1]]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and list(self) == list(other)

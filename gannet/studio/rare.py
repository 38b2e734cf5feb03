"""The lines of a run for which no other line can stand, found in however long a file; each byte is read once."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from threading import RLock

import numpy as np

from gannet.diagnosis.logs import RARE_IN_RUNS
from gannet.studio.thinning import SEAM

CHUNK = 2**19  # bytes
MOST = 40_000  # lines: what is everywhere is not rare


@dataclass
class Rare:
    """The lines of a stats.jsonl that hold one of the `needles`, the last `most` of them, as the file grows."""

    path: Path
    needles: Sequence[bytes] = RARE_IN_RUNS
    most: int = MOST

    def __post_init__(self) -> None:
        self.lock = RLock()
        self.forget()

    def forget(self) -> None:
        """Begins at the start of the file."""
        self.offset, self.seam = 0, b""
        self.found: dict[int, bytes] = {}

    def lines(self) -> dict[int, bytes]:
        """Those that there are by now, by their places in the file. Raises `OSError` where it cannot be read."""
        with self.lock:
            with self.path.open("rb") as file:
                size = file.seek(0, os.SEEK_END)
                file.seek(max(0, self.offset - len(self.seam)))
                if size < self.offset or file.read(len(self.seam)) != self.seam:  # it was cut back, or is another
                    self.forget()
                    file.seek(0)
                while end := (data := file.read(CHUNK)).rfind(b"\n") + 1:
                    self.look_through(data, end)
                    file.seek(end - len(data), os.SEEK_CUR)
            return dict(self.found)

    def look_through(self, data: bytes, end: int) -> None:
        """Finds the lines in the first `end` bytes, which are whole lines."""
        new = {}
        for needle in (each for each in self.needles if may_hold(data, each)):
            place = data.find(needle, 0, end)
            while place >= 0:
                begin, after = data.rfind(b"\n", 0, place) + 1, data.find(b"\n", place)
                new[self.offset + begin] = data[begin:after]
                place = data.find(needle, after, end)
        self.found |= sorted(new.items())
        for place in list(self.found)[: -self.most]:
            del self.found[place]
        self.offset, self.seam = self.offset + end, (self.seam + data[max(0, end - SEAM) : end])[-SEAM:]


def may_hold(data: bytes, needle: bytes) -> bool:
    """Whether two bytes of the needle are anywhere in the data: known ten times sooner than where the needle is."""
    pair = np.frombuffer(needle[2:4], np.uint16)
    return any((np.frombuffer(data, np.uint16, (len(data) - i) // 2, i) == pair).any() for i in (0, 1))

"""PNG files that are written as their rows come: a picture that is larger than the memory."""

import struct
import zlib
from collections.abc import Iterable
from typing import IO

import numpy as np

SIGNATURE = b"\x89PNG\r\n\x1a\n"
KINDS = {1: 0, 3: 2, 4: 6}  # of colour, by channels: grey, RGB, RGB with straight alpha
UP = 2  # a row less that above it


def write_png(file: IO[bytes], width: int, height: int, channels: int, parts: Iterable[np.ndarray]) -> None:
    """A PNG of `height` rows (W3C, "Portable Network Graphics", third edition), from parts uint8 `[rows, width, C]`.

    C is 1, 3 or 4; alpha is straight. Raises `ValueError` where the parts are more or fewer rows, or of other sizes.
    """
    file.write(SIGNATURE)
    chunk(file, b"IHDR", struct.pack(">IIBBBBB", width, height, 8, KINDS[channels], 0, 0, 0))
    packer, above, left = zlib.compressobj(), np.zeros((1, width * channels), np.uint8), height
    for part in parts:
        if part.shape[1:] != (width, channels) or part.dtype != np.uint8:
            raise ValueError(f"rows {part.dtype} {list(part.shape[1:])} do not belong to a picture {[width, channels]}")
        rows = part.reshape(len(part), -1)
        filtered = np.full((len(rows), 1 + rows.shape[1]), UP, np.uint8)
        filtered[:, 1:] = rows - np.concatenate([above, rows[:-1]])  # modulo 256, as the format has it
        above, left = rows[-1:], left - len(rows)
        if data := packer.compress(filtered.tobytes()):
            chunk(file, b"IDAT", data)
    if left:
        raise ValueError(f"the parts have {height - left} rows, and the picture has {height}")
    chunk(file, b"IDAT", packer.flush())
    chunk(file, b"IEND", b"")


def chunk(file: IO[bytes], name: bytes, data: bytes) -> None:
    """One part of the file: its length, name, data and checksum."""
    file.write(struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data)))

"""DICOM files as Pillow images, read through pydicom (the extra `dicom`)."""

from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

import numpy as np
from PIL import Image, ImageFile

from gannet.errors import UserError


class DicomFile(ImageFile.ImageFile):
    """The first frame of a DICOM file: mode F for greys, RGB for colour.

    Greys have the modality and VOI look-up tables applied, and MONOCHROME1 (in which 0 is white) is
    inverted. Only the header is read until the pixels are asked for. Raises `UserError` without
    pydicom.
    """

    format = "DICOM"
    format_description = "DICOM"

    def __init__(self, file: str | Path | IO[bytes]):
        try:
            import pydicom
            from pydicom.errors import InvalidDicomError
        except ImportError as error:
            raise UserError('DICOM files need pydicom: pip install "gannet-gan[dicom]"') from error
        self._read: Callable[..., Any] = pydicom.dcmread
        self._invalid = InvalidDicomError
        self._decoded = False
        super().__init__(file)

    def _open(self) -> None:
        assert self.fp is not None
        try:
            header = self._read(self.fp, stop_before_pixels=True)
        except self._invalid as error:  # whose own words advise a programmer
            raise ValueError("not a DICOM file") from error
        if "Rows" not in header or "Columns" not in header:
            raise ValueError("the DICOM file holds no image")
        self._size = int(header.Columns), int(header.Rows)
        if Image.MAX_IMAGE_PIXELS and header.Columns * header.Rows > Image.MAX_IMAGE_PIXELS:
            raise Image.DecompressionBombError(f"{header.Columns}x{header.Rows} pixels are more than Pillow allows")
        self._mode = "RGB" if header.SamplesPerPixel == 3 else "F"
        self.tile = []

    def load(self) -> Any:
        """Decodes the pixels once."""
        if not self._decoded:
            assert self.fp is not None
            self.fp.seek(0)
            picture = Image.fromarray(_pixels(self._read(self.fp)))
            self.im, self._mode, self._size = picture.im, picture.mode, picture.size
            self._decoded = True
        return Image.Image.load(self)


def _pixels(data: Any) -> np.ndarray:
    """float32 `[H, W]` or uint8 `[H, W, 3]`."""
    from pydicom.pixels import apply_modality_lut, apply_voi_lut, pixel_array

    values = pixel_array(data, index=0)
    if data.PhotometricInterpretation == "PALETTE COLOR" or (values.ndim == 3 and values.dtype != np.uint8):
        raise ValueError(f"DICOM colour of the kind {data.PhotometricInterpretation}, {values.dtype} is not supported")
    if values.ndim == 3:
        return values
    values = apply_voi_lut(apply_modality_lut(values, data), data).astype(np.float32)
    if data.PhotometricInterpretation == "MONOCHROME1":
        # About the middle of what can be stored: the same for every image, whatever it shows.
        values = sum(_ends(data)) - values
    return values


def _ends(data: Any) -> tuple[float, float]:
    """The lowest and highest value that the file's look-up tables can give."""
    from pydicom.pixels import apply_modality_lut

    if "VOILUTSequence" in data and len(data.VOILUTSequence):
        return 0.0, 2.0 ** data.VOILUTSequence[0].LUTDescriptor[2] - 1
    if "ModalityLUTSequence" in data:
        return 0.0, 2.0 ** data.ModalityLUTSequence[0].LUTDescriptor[2] - 1
    bits = data.BitsStored
    stored = [-(2 ** (bits - 1)), 2 ** (bits - 1) - 1] if data.PixelRepresentation else [0, 2**bits - 1]
    low, high = apply_modality_lut(np.array(stored, np.int64), data)
    return float(low), float(high)

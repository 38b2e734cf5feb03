import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from gannet.config import Data
from gannet.data.dataset import prepare
from gannet.data.scan import scan
from gannet.data.sources import Folder, Zip
from gannet.errors import UserError

pydicom = pytest.importorskip("pydicom")

RAMP = np.arange(16, dtype=np.uint16).reshape(4, 4) * 200  # 0 to 3000, of 12 bits


def write(path: Path, values: np.ndarray, kind: str = "MONOCHROME2", **more: object) -> None:
    data = pydicom.Dataset()
    data.file_meta = pydicom.dataset.FileMetaDataset()
    data.file_meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
    data.file_meta.MediaStorageSOPClassUID = data.SOPClassUID = "1.2.840.10008.5.1.4.1.1.7"
    data.file_meta.MediaStorageSOPInstanceUID = data.SOPInstanceUID = pydicom.uid.generate_uid()
    data.Rows, data.Columns = values.shape[:2]
    data.PhotometricInterpretation = kind
    data.SamplesPerPixel = 3 if values.ndim == 3 else 1
    if values.ndim == 3:
        data.PlanarConfiguration = 0
    data.BitsAllocated = 8 * values.dtype.itemsize
    data.BitsStored = 8 if values.dtype == np.uint8 else 12
    data.HighBit = data.BitsStored - 1
    data.PixelRepresentation = int(values.dtype.kind == "i")
    data.PixelData = values.tobytes()
    for name, value in more.items():
        setattr(data, name, value)
    data.save_as(path, enforce_file_format=True)


def values(path: Path) -> np.ndarray:
    with Folder(path).open(0) as image:
        return np.asarray(image)


def test_header_without_pixels_and_then_the_pixels(tmp_path: Path) -> None:
    write(tmp_path / "a.dcm", RAMP)
    image = Folder(tmp_path).open(0)
    assert (image.format, image.mode, image.size) == ("DICOM", "F", (4, 4))
    assert np.array_equal(np.asarray(image), RAMP)


def test_monochrome1_is_inverted_about_what_can_be_stored(tmp_path: Path) -> None:
    write(tmp_path / "a.dcm", RAMP, "MONOCHROME1")
    assert np.array_equal(values(tmp_path), 4095.0 - RAMP)


def test_the_modality_rescale_is_applied(tmp_path: Path) -> None:
    write(tmp_path / "a.dcm", RAMP, RescaleSlope=2, RescaleIntercept=-1000)
    assert np.array_equal(values(tmp_path), 2.0 * RAMP - 1000)
    write(tmp_path / "a.dcm", RAMP, "MONOCHROME1", RescaleSlope=2, RescaleIntercept=-1000)
    assert np.array_equal(values(tmp_path), (2.0 * 4095 - 1000) + (-1000) - (2.0 * RAMP - 1000))


def test_the_window_is_applied(tmp_path: Path) -> None:
    write(tmp_path / "a.dcm", RAMP, WindowCenter=1000, WindowWidth=401)
    window = values(tmp_path)
    assert window.ravel()[:4].tolist() == [0] * 4  # below 800
    assert window.ravel()[6:].min() == 4095  # from 1200
    assert 2000 < window.ravel()[5] < 2100  # 1000


def test_signed_values(tmp_path: Path) -> None:
    write(tmp_path / "a.dcm", RAMP.astype(np.int16) - 1500, "MONOCHROME1")
    assert np.array_equal(values(tmp_path), -1.0 - (RAMP.astype(float) - 1500))


def test_colour(tmp_path: Path) -> None:
    pixels = np.arange(48, dtype=np.uint8).reshape(4, 4, 3)
    write(tmp_path / "a.dcm", pixels, "RGB")
    assert np.array_equal(values(tmp_path), pixels)
    assert scan(Folder(tmp_path)).channels == 3


def test_in_a_zip(tmp_path: Path) -> None:
    write(tmp_path / "a.dcm", RAMP)
    with zipfile.ZipFile(tmp_path / "z.zip", "w") as archive:
        archive.write(tmp_path / "a.dcm", "a.dcm")
    assert np.array_equal(np.asarray(Zip(tmp_path / "z.zip").open(0)), RAMP)


def test_a_set_of_dicom_files_shares_one_range(tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    write(tmp_path / "d/a.dcm", RAMP)
    write(tmp_path / "d/b.dcm", RAMP // 2)
    write(tmp_path / "d/c.dcm", 4095 - RAMP, "MONOCHROME1")
    (tmp_path / "d/bad.dcm").write_bytes(b"no DICOM")
    source = Folder(tmp_path / "d")
    found = scan(source)
    assert (found.wide, found.channels, found.formats) == (True, 1, {"DICOM": 3})
    dataset = prepare(source, Data(resolution=4, max_unreadable=0.5, cache=str(tmp_path / "cache")), 1)
    assert np.array_equal(dataset.images[0], dataset.images[2])
    assert dataset.images[:2, 0, 3, 3].tolist() == [255, 128]
    assert [name for name, _ in dataset.unreadable] == ["bad.dcm"]


def test_without_pydicom_one_line_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "a.dcm", RAMP)
    Image.new("L", (4, 4)).save(tmp_path / "b.png")
    monkeypatch.setitem(sys.modules, "pydicom", None)
    with pytest.raises(UserError, match=r'pip install "gannet-gan\[dicom\]"'):
        scan(Folder(tmp_path))

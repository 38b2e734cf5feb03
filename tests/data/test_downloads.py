from pathlib import Path
from typing import Any
from urllib.error import URLError

import numpy as np
import pytest
from torchvision import datasets

from gannet.data.sources import open_source
from gannet.errors import UserError


@pytest.mark.parametrize(
    ("name", "kind", "file"),
    [
        ("mnist", "MNIST", "train-images-idx3-ubyte.gz, train-labels-idx1-ubyte.gz"),
        ("fashion-mnist", "FashionMNIST", "train-images-idx3-ubyte.gz"),
        ("cifar10", "CIFAR10", "cifar-10-python.tar.gz"),
    ],
)
def test_without_a_network_one_line_says_what_to_do(
    tmp_path: Path, name: str, kind: str, file: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def unreachable(*args: object, **kwargs: object) -> None:
        raise URLError("no network")

    module = "cifar" if kind == "CIFAR10" else "mnist"
    monkeypatch.setattr(f"torchvision.datasets.{module}.download_and_extract_archive", unreachable)
    with pytest.raises(UserError) as caught:
        open_source(name, tmp_path)
    line = str(caught.value)
    assert "\n" not in line
    assert f"cannot download {name} from http" in line
    assert file in line
    assert str(tmp_path / "torchvision") in line
    assert capsys.readouterr().out == ""


def test_mnist_is_read_from_files_put_into_the_cache(tmp_path: Path) -> None:
    raw = tmp_path / "torchvision/MNIST/raw"
    raw.mkdir(parents=True)
    images = np.arange(3 * 28 * 28, dtype=np.uint8).reshape(3, 28, 28)
    for part in ("train", "t10k"):
        (raw / f"{part}-images-idx3-ubyte").write_bytes(
            bytes.fromhex("00000803 00000003 0000001c 0000001c") + images.tobytes()
        )
        (raw / f"{part}-labels-idx1-ubyte").write_bytes(bytes.fromhex("00000801 00000003") + bytes([7, 0, 7]))
    source = open_source("mnist", tmp_path)
    assert source.labels.tolist() == [7, 0, 7]
    assert len(source.classes) == 10
    assert source.names[0].endswith("/00000")
    assert source.names[0].count("/") == 1
    assert np.array_equal(np.asarray(source.open(1)), images[1])
    assert len({source.key(i) for i in range(3)}) == 3


def test_cifar10_keeps_colour(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Fake:
        url = "http://nowhere"
        classes = ("plane", "car")
        targets = (1, 0)
        data = np.zeros((2, 32, 32, 3), np.uint8)

        def __init__(self, root: str, **options: Any):
            assert options == {"train": True, "download": True}

    monkeypatch.setattr(datasets, "CIFAR10", Fake)
    source = open_source("cifar10", tmp_path)
    assert source.names == ["car/00000", "plane/00001"]
    assert source.open(0).mode == "RGB"

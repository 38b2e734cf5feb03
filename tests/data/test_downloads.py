import json
from pathlib import Path
from typing import Any
from urllib.error import URLError

import numpy as np
import pytest
from torchvision import datasets

from gannet.cli import main
from gannet.data.downloads import fetch
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


def put_mnist(cache: Path) -> np.ndarray:
    """Three images in MNIST's own files; returns them."""
    raw = cache / "torchvision/MNIST/raw"
    raw.mkdir(parents=True)
    images = np.arange(3 * 28 * 28, dtype=np.uint8).reshape(3, 28, 28)
    for part in ("train", "t10k"):
        (raw / f"{part}-images-idx3-ubyte").write_bytes(
            bytes.fromhex("00000803 00000003 0000001c 0000001c") + images.tobytes()
        )
        (raw / f"{part}-labels-idx1-ubyte").write_bytes(bytes.fromhex("00000801 00000003") + bytes([7, 0, 7]))
    return images.reshape(3, 28, 28)


def test_mnist_is_read_from_files_put_into_the_cache(tmp_path: Path) -> None:
    images = put_mnist(tmp_path)
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


def test_fetch_says_where_and_how_large(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("GANNET_CACHE", str(tmp_path))
    put_mnist(tmp_path)
    size = 2 * (16 + 3 * 28 * 28 + 8 + 3)
    folder = tmp_path / "torchvision" / "MNIST"
    assert main(["fetch", "mnist"]) == 0
    assert capsys.readouterr().out == f"mnist: 5 kB in {folder}\n"
    assert main(["fetch", "mnist", "mnist", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == [{"name": "mnist", "folder": str(folder), "bytes": size}] * 2


@pytest.mark.parametrize(
    ("names", "says"),
    [
        ([], "name what to fetch, as in gannet fetch mnist"),
        (
            ["mnst"],
            "nothing to fetch by the name 'mnst'; did you mean 'mnist'? (or an address such as hf://OWNER/NAME)",
        ),
        (["memory://nowhere/a.tar"], "cannot load memory://nowhere/a.tar"),
    ],
)
def test_what_cannot_be_fetched_is_one_line(
    names: list[str], says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("GANNET_CACHE", str(tmp_path))
    assert main(["fetch", *names]) == 2
    error = capsys.readouterr().err
    assert error.startswith("gannet: ") and says in error and error.count("\n") == 1


def test_fetch_loads_cifar10_into_the_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Fake:
        url = "http://nowhere"
        classes = ("plane",)
        targets = (0,)
        data = np.zeros((1, 32, 32, 3), np.uint8)

        def __init__(self, root: str, **options: Any):
            (Path(root) / "cifar-10-batches-py").mkdir(parents=True)
            (Path(root) / "cifar-10-batches-py/data_batch_1").write_bytes(b"12345")

    monkeypatch.setattr(datasets, "CIFAR10", Fake)
    assert fetch("cifar10", tmp_path).num_bytes == 5

import gzip
import io
import json
import sys
import tarfile
from collections.abc import Callable
from pathlib import Path

import datasets
import fsspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest
from PIL import Image
from runs import NOISY, contents, stopped

import gannet
from gannet.config import Data
from gannet.data.dataset import prepare
from gannet.data.downloads import fetch
from gannet.data.shards import by_value, expanded, shards_at
from gannet.data.sources import Source, open_source
from gannet.errors import UserError

Files = dict[str, bytes]


def png(value: int) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (4, 4), (value, 0, 0)).save(file, "PNG")
    return file.getvalue()


def tar(path: Path, files: Files) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w") as archive:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return path


def shard(start: int, num: int = 3) -> Files:
    """WebDataset's layout; the labels are the last digit, the text is no label."""
    files: Files = {}
    for i in range(start, start + num):
        files |= {f"{i:06}.png": png(i), f"{i:06}.cls": str(i % 10).encode(), f"{i:06}.txt": b"a caption"}
    return files


def reds(source: Source) -> list[int]:
    return [int(np.asarray(source.open(i))[0, 0, 0]) for i in range(len(source.names))]


def write_parquet(path: Path, image: list[object], label: list[object] | None = None) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    columns = {"image": image, "caption": ["x"] * len(image)} | ({"label": label} if label else {})
    pyarrow.parquet.write_table(pa.table(columns), path)
    return path


# Parquet


def test_a_folder_as_the_hub_lays_it_out_has_its_training_split_names_and_class_labels(tmp_path: Path) -> None:
    features = datasets.Features({"image": datasets.Image(), "y": datasets.ClassLabel(names=["cat", "dog"])})
    for split, start in (("train", 0), ("test", 100)):
        rows = {
            "image": [{"bytes": png(start + i), "path": f"p{i % 2}/{start + i}.png"} for i in range(4)],
            "y": [0, 1, 1, 0],
        }
        path = tmp_path / f"set/data/{split}-00000-of-00001.parquet"
        path.parent.mkdir(parents=True, exist_ok=True)
        datasets.Dataset.from_dict(rows, features=features).to_parquet(path)
    (tmp_path / "set/README.md").write_text("# a card")
    source = open_source(str(tmp_path / "set"), tmp_path / "cache")
    assert reds(source) == [0, 1, 2, 3]
    assert (source.name, source.classes, source.labels.tolist()) == ("set", ("cat", "dog"), [0, 1, 1, 0])
    assert source.names == ["p0/0.png", "p1/1.png", "p0/2.png", "p1/3.png"]


@pytest.mark.parametrize(
    ("label", "classes", "labels", "name"),
    [
        (["b", "a", "b"], ("a", "b"), [1, 0, 1], "b/00000"),
        ([10, 9, 10], ("9", "10"), [1, 0, 1], "10/00000"),
        ([1, 1, 1], (), [0, 0, 0], "00000"),
        ([1, None, 2], (), [0, 0, 0], "00000"),
        (None, (), [0, 0, 0], "00000"),
    ],
)
def test_parquet_of_another_program_has_bytes_and_a_plain_label(
    tmp_path: Path, label: list[object] | None, classes: tuple[str, ...], labels: list[int], name: str
) -> None:
    path = write_parquet(tmp_path / "a.parquet", [png(7), png(8), png(9)], label)
    source = open_source(str(path), tmp_path / "cache")
    assert reds(source) == [7, 8, 9]
    assert (source.classes, source.labels.tolist(), source.names[0]) == (classes, labels, name)


def test_a_row_without_an_image_is_unreadable_and_the_rest_is_trained_on(tmp_path: Path) -> None:
    path = write_parquet(tmp_path / "a.parquet", [png(7), None, b"no image"], [1, 2, 1])
    source = open_source(str(path), tmp_path / "cache")
    dataset = prepare(source, Data(resolution=4, max_unreadable=0.7, cache=str(tmp_path / "cache")), 3)
    assert dataset.unreadable == [("2/00001", "the row has no image"), ("1/00002", "not an image of a known kind")]
    assert dataset.images[:, 0, 0, 0].tolist() == [7]


def test_keys_follow_the_content(tmp_path: Path) -> None:
    def keys() -> list[str]:
        source = open_source(str(tmp_path / "a.parquet"), tmp_path / "cache")
        return [source.key(i) for i in range(len(source))]

    write_parquet(tmp_path / "a.parquet", [png(7), png(8)])
    before = keys()
    assert keys() == before
    assert len(set(before)) == 2
    write_parquet(tmp_path / "a.parquet", [png(7), png(9)])
    assert not set(before) & set(keys())


def test_parquet_without_images_and_broken_parquet_are_one_line(tmp_path: Path) -> None:
    pyarrow.parquet.write_table(pa.table({"text": ["x"], "n": [1]}), tmp_path / "text.parquet")
    with pytest.raises(UserError, match="no column of images, among text, n"):
        open_source(str(tmp_path / "text.parquet"), tmp_path)
    pyarrow.parquet.write_table(pa.table({"a": [png(1)], "b": [png(2)]}), tmp_path / "two.parquet")
    with pytest.raises(UserError, match=r"several columns of images \(a, b\)"):
        open_source(str(tmp_path / "two.parquet"), tmp_path)
    (tmp_path / "bad.parquet").write_bytes(b"PAR1 and no more")
    with pytest.raises(UserError, match=r"cannot read .*bad.parquet as Parquet \(.+\)") as caught:
        open_source(str(tmp_path / "bad.parquet"), tmp_path)
    assert "\n" not in str(caught.value)


def test_without_datasets_one_line_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_parquet(tmp_path / "a.parquet", [png(7)])
    monkeypatch.setitem(sys.modules, "datasets", None)
    for name in (str(tmp_path / "a.parquet"), "hf://owner/name"):
        with pytest.raises(UserError, match=r"pip install 'gannet-gan\[hf\]'"):
            open_source(name, tmp_path)


# Tar shards


def test_tar_shards_are_read_in_order_with_their_labels(tmp_path: Path) -> None:
    tar(tmp_path / "set/shard-0.tar", shard(10))
    tar(tmp_path / "set/shard-1.tar", shard(0))
    for name in ("set", "set/shard-*.tar", "set/shard-{0..1}.tar"):
        source = open_source(str(tmp_path / name), tmp_path / "cache")
        assert reds(source) == [10, 11, 12, 0, 1, 2]
        assert (source.classes, source.labels.tolist()) == (("0", "1", "2"), [0, 1, 2, 0, 1, 2])
        assert source.names[0] == "shard-0/000010.png"
        assert source.ignored == 6
    single = open_source(str(tmp_path / "set/shard-1.tar"), tmp_path)
    assert single.names == ["000000.png", "000001.png", "000002.png"]


@pytest.mark.parametrize(
    ("facts", "classes"),
    [([{"label": "b"}, {"label": "a"}], ("a", "b")), ([{"cls": 1}, {"cls": 0}], ("0", "1")), ([{"label": 1}, {}], ())],
)
def test_labels_from_json(tmp_path: Path, facts: list[object], classes: tuple[str, ...]) -> None:
    files = {f"{i}.{kind}": data for i in range(2) for kind, data in [("jpg.png", png(i)), ("json", b"")]}
    files |= {f"{i}.json": json.dumps(fact).encode() for i, fact in enumerate(facts)}
    source = open_source(str(tar(tmp_path / "a.tar", files)), tmp_path)
    assert source.classes == classes
    assert source.labels.tolist() == ([1, 0] if classes else [0, 0])


def test_class_folders_in_a_plain_tar_become_labels(tmp_path: Path) -> None:
    path = tar(tmp_path / "a.tar", {"./top/cat/1.png": png(1), "./top/dog/2.png": png(2), "./top/._3.png": b"x"})
    source = open_source(str(path), tmp_path)
    assert (source.classes, source.labels.tolist()) == (("cat", "dog"), [0, 1])
    assert reds(source) == [1, 2]


def test_a_folder_with_any_image_is_a_folder_of_images(tmp_path: Path) -> None:
    tar(tmp_path / "set/backup.tar", shard(0))
    (tmp_path / "set/deep").mkdir()
    (tmp_path / "set/deep/a.png").write_bytes(png(5))
    assert open_source(str(tmp_path / "set"), tmp_path).names == ["deep/a.png"]


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (lambda data: data[:540], "cannot read .* as a tar .*must be whole"),
        (lambda data: data[:1024] + b"X" * 512 + data[1536:], "damaged after 000000.png: copy it again"),
        (lambda data: gzip.compress(data), "cannot read .* as a tar .*not compressed"),
    ],
)
def test_a_damaged_shard_is_not_taken_for_a_short_one(
    tmp_path: Path, spoil: Callable[[bytes], bytes], says: str
) -> None:
    path = tar(tmp_path / "a.tar", shard(0))
    path.write_bytes(spoil(path.read_bytes()))
    with pytest.raises(UserError, match=says):
        open_source(str(path), tmp_path)


def test_patterns(tmp_path: Path) -> None:
    assert expanded("a-{08..10}-{0..1}.tar")[:3] == ["a-08-0.tar", "a-08-1.tar", "a-09-0.tar"]
    assert len(expanded("a-{08..10}-{0..1}.tar")) == 6
    with pytest.raises(UserError, match="lower number first"):
        expanded("{3..1}")
    tar(tmp_path / "s-00.tar", shard(0))
    with pytest.raises(UserError, match=r"there is no .*s-01.tar"):
        shards_at(str(tmp_path / "s-{00..01}.tar"))
    tar(tmp_path / "b/train-1.tar", shard(0))
    tar(tmp_path / "b/val-1.tar", shard(0))
    assert [path.name for path in shards_at(str(tmp_path / "b"))] == ["train-1.tar"]
    write_parquet(tmp_path / "c/x.parquet", [png(1)])
    tar(tmp_path / "c/x.tar", shard(0))
    with pytest.raises(UserError, match=r"kinds .parquet and .tar"):
        open_source(str(tmp_path / "c"), tmp_path)
    assert by_value(["10", "9", "10"])[1].tolist() == [1, 0, 1]


# From afar


@pytest.fixture
def memory() -> str:
    """Two shards in a file system that is no disk."""
    system = fsspec.filesystem("memory")
    if system.exists("/bucket"):
        system.rm("/bucket", recursive=True)
    return "memory://bucket"


def put(name: str, data: bytes) -> None:
    fsspec.filesystem("memory").pipe_file(name, data)


def test_shards_from_afar_are_copied_once_and_need_no_network_after(
    tmp_path: Path, memory: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for i in range(2):
        put(f"/bucket/s-{i}.tar", tar(tmp_path / "s.tar", shard(10 * i)).read_bytes())
    put("/bucket/notes.txt", b"x")
    for name in ("s-{0..1}.tar", "s-*.tar", ""):
        assert reds(open_source(f"{memory}/{name}", tmp_path / "cache")) == [0, 1, 2, 10, 11, 12]
    address = f"{memory}/s-{{0..1}}.tar"
    before = open_source(address, tmp_path / "cache")
    monkeypatch.setattr("fsspec.core.url_to_fs", None)
    after = open_source(address, tmp_path / "cache")
    assert [after.key(i) for i in range(6)] == [before.key(i) for i in range(6)]
    fetched = fetch(address, tmp_path / "cache")
    assert fetched.folder.is_relative_to(tmp_path / "cache" / "shards")
    assert fetched.num_bytes >= sum(file.stat().st_size for file in fetched.folder.glob("*.tar")) > 0


def test_a_copy_that_was_broken_off_goes_on(tmp_path: Path, memory: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for i in range(3):
        put(f"/bucket/s-{i}.tar", tar(tmp_path / "s.tar", shard(i, 1)).read_bytes())
    asked: list[str] = []
    system = type(fsspec.filesystem("memory"))
    get_file = system.get_file

    def breaks(self: object, path: str, *rest: object, **more: object) -> object:
        asked.append(path)
        if len(asked) == 2:
            Path(str(rest[0])).write_bytes(b"half")
            raise ConnectionError("the line went dead")
        return get_file(self, path, *rest, **more)

    monkeypatch.setattr(system, "get_file", breaks)
    with pytest.raises(UserError, match=r"cannot load memory://bucket/\*\.tar \(the line went dead\)"):
        fetch("memory://bucket/*.tar", tmp_path)
    seen: list[tuple[int, int]] = []
    fetch("memory://bucket/*.tar", tmp_path, lambda done, of: seen.append((done, of)))
    assert [Path(path).name for path in asked] == ["s-0.tar", "s-1.tar", "s-1.tar", "s-2.tar"]
    assert seen == [(2, 3), (3, 3)]
    assert reds(open_source("memory://bucket/*.tar", tmp_path)) == [0, 1, 2]


def test_parquet_from_afar_and_a_file_address(tmp_path: Path) -> None:
    path = write_parquet(tmp_path / "set/a.parquet", [png(7), png(8)], [1, 2])
    source = open_source(path.as_uri(), tmp_path / "cache")
    assert (reds(source), source.labels.tolist()) == ([7, 8], [0, 1])


@pytest.mark.parametrize(
    ("address", "says"),
    [
        ("memory://nowhere/*.tar", r"no tar or Parquet files at memory://nowhere/\*.tar"),
        ("memory://nowhere/a.tar", "cannot load memory://nowhere/a.tar .*gannet fetch memory://nowhere/a.tar"),
        ("nonsense://a/b.tar", r"cannot load nonsense://a/b.tar \(Protocol not known"),
        ("hf://mnist", "write hf://OWNER/NAME"),
    ],
)
def test_an_address_that_leads_nowhere_is_one_line(tmp_path: Path, address: str, says: str) -> None:
    with pytest.raises(UserError, match=says) as caught:
        open_source(address, tmp_path)
    assert "\n" not in str(caught.value)


def test_a_file_system_without_its_package_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "s3fs", None)
    with pytest.raises(UserError, match=r"s3:// addresses need a package .*pip install 'gannet-gan\[hf\]'"):
        open_source("s3://bucket/shard-{0000..0009}.tar", tmp_path)


# The hub


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[tuple[object, ...]]:
    """`load_dataset` that finds owner/name on this disk, and notes what it was asked for."""
    path = write_parquet(tmp_path / "there/a.parquet", [png(7), png(8)], ["a", "b"])
    asked: list[tuple[object, ...]] = []

    def load(name: str, configuration: str | None, split: str, cache_dir: str) -> datasets.Dataset:
        asked.append((name, configuration, split))
        if name != "owner/name":
            raise ConnectionError(f"Couldn't reach '{name}' on the Hub")
        return real("parquet", data_files=str(path), split="train", cache_dir=cache_dir)

    real = datasets.load_dataset
    monkeypatch.setattr(datasets, "load_dataset", load)
    return asked


def test_the_hub_is_asked_once_for_each_split(tmp_path: Path, hub: list[tuple[object, ...]]) -> None:
    for _ in range(2):
        source = open_source("hf://owner/name", tmp_path / "cache")
        assert (source.name, reds(source), source.classes) == ("name", [7, 8], ("a", "b"))
    open_source("hf://owner/name:test", tmp_path / "cache")
    fetched = fetch("hf://owner/name/big:test", tmp_path / "cache")
    assert hub == [
        ("owner/name", None, "train"),
        ("owner/name", None, "test"),
        ("owner/name", "big", "test"),
    ]
    assert fetched.folder.is_relative_to(tmp_path / "cache" / "hf")
    assert fetched.num_bytes > 100


def test_a_hub_that_cannot_be_reached_is_one_line(tmp_path: Path, hub: list[tuple[object, ...]]) -> None:
    with pytest.raises(UserError, match=r"cannot load hf://no/where \(Couldn't reach 'no/where' on the Hub\): mend"):
        open_source("hf://no/where", tmp_path)


# Training on them


def test_the_same_images_have_the_same_fingerprint_wherever_they_come_from(tmp_path: Path, memory: str) -> None:
    put("/bucket/s.tar", tar(tmp_path / "s.tar", shard(0)).read_bytes())
    write_parquet(tmp_path / "s.parquet", [png(i) for i in range(3)], ["0", "1", "2"])
    settings = Data(resolution=4, labels=True, cache=str(tmp_path / "cache"))
    sources = [open_source(name, tmp_path) for name in (str(tmp_path / "s.parquet"), f"{memory}/s.tar")]
    assert len({prepare(source, settings, 3).fingerprint for source in sources}) == 1


def test_a_run_on_shards_from_afar_is_resumed_exactly(tmp_path: Path, cache: Path, memory: str) -> None:
    random = np.random.Generator(np.random.Philox(3))
    for number in range(2):
        files: Files = {}
        for i in range(8):
            file = io.BytesIO()
            Image.fromarray(random.integers(0, 256, (16, 16, 3), np.uint8)).save(file, "PNG")
            files[f"{i}.png"] = file.getvalue()
        put(f"/bucket/s-{number}.tar", tar(tmp_path / "s.tar", files).read_bytes())
    address = f"{memory}/s-{{0..1}}.tar"
    gannet.train(address, recipe="dcgan-shapes", run=tmp_path / "whole", settings=NOISY)
    with stopped(4):
        gannet.train(address, recipe="dcgan-shapes", run=tmp_path / "part", settings=NOISY)
    gannet.resume(tmp_path / "part")
    assert contents(tmp_path / "part") == contents(tmp_path / "whole")

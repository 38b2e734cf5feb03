"""The decoded images on disk: used again, built once by many, gone on with when killed, listed and removed."""

import hashlib
import io
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from filelock import FileLock
from PIL import Image

from gannet.cli import main
from gannet.config import Data
from gannet.data import entries as entries_module
from gannet.data.cache import cache_bytes, cache_folder, entry_key, images_folder
from gannet.data.dataset import Dataset, prepare
from gannet.data.names import Names
from gannet.data.slots import Slots, SlotsOnDisk
from gannet.data.sources import Folder, open_source
from gannet.errors import UserError
from gannet.files import atomic, patiently

NUM = 100
Capture = pytest.CaptureFixture[str]
BUILDER = """
import os, sys, time
from pathlib import Path
from PIL import Image
from gannet.config import Data
from gannet.data.dataset import prepare
from gannet.data.sources import Folder

class Slow(Folder):
    def open(self, i: int) -> Image.Image:
        time.sleep(float(sys.argv[3]))
        with open(sys.argv[4], "a") as file:
            file.write(f"{i}\\n")
        return super().open(i)

print(prepare(Slow(Path(sys.argv[1])), Data(resolution=8, cache=sys.argv[2]), 3).fingerprint)
"""


class Counted(Folder):
    """A folder that notes which images are opened."""

    def __init__(self, path: Path):
        super().__init__(path)
        self.opened: list[int] = []

    def open(self, i: int) -> Image.Image:
        self.opened.append(i)
        return super().open(i)


@pytest.fixture
def settings(tmp_path: Path) -> Data:
    return Data(resolution=8, cache=str(tmp_path / "cache"))


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """Image i has the red value 2 i."""
    return fill(tmp_path / "d")


def fill(folder: Path, num: int = NUM) -> Path:
    folder.mkdir()
    for i in range(num):
        Image.new("RGB", (8, 8), (2 * i, i, 255 - i)).save(folder / f"{i}.png")
    return folder


def red(dataset: Dataset) -> list[int]:
    return dataset.images[:, 0, 0, 0].tolist()


def place(dataset: Dataset) -> Path:
    assert dataset.cache is not None
    return dataset.cache


def builder(pictures: Path, settings: Data, wait: float, opened: Path) -> subprocess.Popen[str]:
    """A process that builds the entry, notes what it opens, and waits before each image."""
    words = [sys.executable, "-c", BUILDER, str(pictures), settings.cache, str(wait), str(opened)]
    return subprocess.Popen(words, stdout=subprocess.PIPE, text=True)


def lines(path: Path) -> list[str]:
    return path.read_text().split() if path.exists() else []


def wait_for(what: Callable[[], object]) -> None:
    end = time.monotonic() + 60
    while not what():
        assert time.monotonic() < end
        time.sleep(0.01)


def stop_after(num: int) -> Callable[[int, int], None]:
    def stop(done: int, total: int) -> None:
        if done >= num:
            raise KeyboardInterrupt

    return stop


def test_the_cache_is_used_again_and_made_anew_when_a_file_changes(pictures: Path, settings: Data) -> None:
    before = prepare(Folder(pictures), settings, 3)
    again = Counted(pictures)
    assert prepare(again, replace(settings, flip=True, jitter=0.1), 3).fingerprint == before.fingerprint
    assert again.opened == []
    Image.new("RGB", (8, 8), (99, 0, 0)).save(pictures / "0.png")
    os.utime(pictures / "0.png", ns=(10**18, 10**18))
    changed = prepare(Folder(pictures), settings, 3)
    assert red(changed)[0] == 99
    assert changed.fingerprint != before.fingerprint
    others = [replace(settings, resolution=4), replace(settings, fit="pad"), replace(settings, filter="nearest")]
    places = {place(prepare(Folder(pictures), other, 3)) for other in others}
    assert len({*places, place(changed), place(before), place(prepare(Folder(pictures), settings, 1))}) == 6


@pytest.mark.parametrize("damage", ["index", "half", "gone", "short"])
def test_a_damaged_entry_is_made_anew(pictures: Path, settings: Data, damage: str) -> None:
    dataset = prepare(Folder(pictures), settings, 3)
    folder, fingerprint = place(dataset), dataset.fingerprint
    del dataset
    if damage == "index":
        (folder / "index.json").write_text('{"shape": [20')
    elif damage == "half":
        (folder / "index.json").unlink()
    elif damage == "gone":
        (folder / "images.npy").unlink()
    else:
        data = (folder / "images.npy").read_bytes()
        (folder / "images.npy").write_bytes(data[: len(data) // 2])
    again = prepare(Folder(pictures), settings, 3)
    assert (again.fingerprint, red(again)) == (fingerprint, list(range(0, 200, 2)))
    assert {p.name for p in folder.iterdir()} - {"lock"} == {"images.npy", "index.json"}


def test_of_two_processes_one_builds_and_both_use_it(pictures: Path, settings: Data, tmp_path: Path) -> None:
    opened = tmp_path / "opened"
    both = [builder(pictures, settings, 0.02, opened) for _ in range(2)]
    said = [process.communicate(timeout=100)[0] for process in both]
    assert [process.returncode for process in both] == [0, 0]
    assert said[0] == said[1] == f"{prepare(Folder(pictures), settings, 3).fingerprint}\n"
    assert sorted(map(int, lines(opened))) == list(range(NUM))


def test_whoever_waits_sees_how_far_the_other_has_come(pictures: Path, settings: Data) -> None:
    with pytest.raises(KeyboardInterrupt):
        prepare(Folder(pictures), settings, 3, stop_after(64))
    (entry,) = images_folder(settings.cache).iterdir()
    seen: list[tuple[int, int]] = []
    lock = FileLock(entry / "lock", thread_local=False)

    def progress(done: int, total: int) -> None:
        seen.append((done, total))
        lock.release()

    with lock:
        prepare(Folder(pictures), settings, 3, progress)
    assert 64 <= seen[0][0] <= NUM and seen[0][1] == NUM
    assert seen[-1] == (NUM, NUM)


def test_a_build_that_was_killed_goes_on_with_the_rest(pictures: Path, settings: Data, tmp_path: Path) -> None:
    killed = builder(pictures, settings, 0.05, tmp_path / "opened")
    wait_for(lambda: len(lines(tmp_path / "opened")) > 40)
    killed.kill()
    killed.communicate()
    (entry,) = images_folder(settings.cache).iterdir()
    assert not (entry / "index.json").exists()
    done = {int(i) for i, noted in enumerate(np.load(entry / "digests.npy")) if noted.any()}
    assert 20 < len(done) < NUM
    rest = Counted(pictures)
    dataset = prepare(rest, settings, 3)
    assert sorted(rest.opened) == sorted(set(range(NUM)) - done)
    whole = prepare(Folder(pictures), replace(settings, cache=str(tmp_path / "another")), 3)
    assert (dataset.fingerprint, red(dataset)) == (whole.fingerprint, list(range(0, 200, 2)))


@pytest.mark.parametrize("days", [0, 8])
def test_a_stopped_build_goes_on_and_its_progress_too(pictures: Path, settings: Data, days: int) -> None:
    with pytest.raises(KeyboardInterrupt):
        prepare(Folder(pictures), settings, 3, stop_after(64))
    (entry,) = images_folder(settings.cache).iterdir()
    os.utime(entry / "digests.npy", (time.time() - days * 86400,) * 2)
    seen: list[tuple[int, int]] = []
    rest = Counted(pictures)
    prepare(rest, settings, 3, lambda done, total: seen.append((done, total)))
    assert len(rest.opened) <= NUM - 64
    assert not rest.opened or (seen[0][0] > 64 and seen[-1] == (NUM, NUM))


def test_a_slot_is_trusted_only_where_its_bytes_are_there(tmp_path: Path) -> None:
    random = np.random.Generator(np.random.Philox(0))
    images = random.integers(0, 256, (5, 3, 4, 4), np.uint8)
    slots = SlotsOnDisk(tmp_path, images.shape)
    for i in (0, 1, 2, 3):
        slots.put(i, images[i])
    slots.close()
    on_disk = np.load(tmp_path / "slots.npy", mmap_mode="r+")
    assert np.array_equal(on_disk[:4], images[:4])
    on_disk[1, 2, 3] = 0  # half-written
    on_disk[2] = 0  # never written, though noted
    on_disk[4] = images[4]  # written and not noted
    on_disk.flush()
    noted = np.load(tmp_path / "digests.npy", mmap_mode="r+")
    noted[3, 16:] = 0
    noted.flush()
    again = SlotsOnDisk(tmp_path, images.shape)
    again.close()
    assert [bool(found) for found in again.digests] == [True, False, False, False, False]


@pytest.mark.parametrize("name", ["slots.npy", "digests.npy"])
@pytest.mark.parametrize("damage", [b"", b"\x93NUMPY\x01"])
def test_what_is_no_array_is_begun_anew(tmp_path: Path, name: str, damage: bytes) -> None:
    slots = SlotsOnDisk(tmp_path, (2, 1, 4, 4))
    slots.put(0, np.ones((1, 4, 4), np.uint8))
    slots.close()
    (tmp_path / name).write_bytes(damage)
    again = SlotsOnDisk(tmp_path, (2, 1, 4, 4))
    again.close()
    assert again.digests == [b"", b""]


def test_wide_images_have_one_range_though_the_build_was_killed(tmp_path: Path, settings: Data) -> None:
    folder = tmp_path / "wide"
    folder.mkdir()
    for i in range(NUM):
        Image.fromarray(np.full((8, 8), 1000 + 10 * i, np.uint16)).save(folder / f"{i}.png")
    whole = prepare(Folder(folder), replace(settings, cache="off"), 1)
    calls: list[int] = []

    def stop(done: int, total: int) -> None:
        calls.append(done)
        if len(calls) == 10:  # four for the headers, four for the range, two for the pixels
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        prepare(Folder(folder), settings, 1, stop)
    rest = Counted(folder)
    dataset = prepare(rest, settings, 1)
    assert len(rest.opened) <= NUM - 64
    assert dataset.fingerprint == whole.fingerprint
    assert red(dataset) == [round(i / (NUM - 1) * 255) for i in range(NUM)]


@pytest.mark.parametrize("held_out", [0.0, 0.3])
def test_off_gives_the_same_and_writes_nothing(
    pictures: Path, settings: Data, tmp_path: Path, held_out: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    (pictures / "7.png").write_bytes(b"")
    settings = replace(settings, held_out=held_out)
    cached = prepare(Folder(pictures), settings, 3)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    monkeypatch.setenv("GANNET_CACHE", str(tmp_path / "nowhere"))
    monkeypatch.chdir(tmp_path)
    off = prepare(Folder(pictures), replace(settings, cache="off"), 3)
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == before
    assert off.cache is None and not isinstance(off.images, np.memmap)
    assert off.fingerprint == cached.fingerprint
    assert np.array_equal(off.images, cached.images) and np.array_equal(off.held_out, cached.held_out)
    assert list(off.names) == list(cached.names) and off.unreadable == cached.unreadable == [
        ("7.png", "the file is empty")
    ]


def test_names_are_as_in_a_list() -> None:
    names = ["a/1.png", "", "b/\u00fc\U0001f600.png", "lone \udce4", "z"]
    compact = Names(names)
    assert list(compact) == names and compact[1:4:2] == names[1:4:2]
    assert (len(compact), compact[-1], names[2] in compact, list(Names([]))) == (5, "z", True, [])
    with pytest.raises(IndexError):
        compact[5]


def test_what_does_not_fit_into_memory_is_one_line() -> None:
    with pytest.raises(UserError, match=r"need \d+.0 GB of memory: .*--data.cache off") as caught:
        Slots((2, 3, 10**8, 10**8))
    assert "\n" not in str(caught.value)


def test_the_entries_of_plain_images_are_called_as_before_there_were_others(pictures: Path) -> None:
    facts = '{"resolution": 8, "fit": "crop", "filter": "bicubic", "alpha": "keep", '
    facts += '"range": [0.0, 100.0], "held_out": 0.0}'
    digest = hashlib.sha256(f"23{facts}null".encode())
    for i in range(NUM):
        status = (pictures / f"{i}.png").stat()
        digest.update(f"{os.path.realpath(pictures)}|{i}.png|{status.st_size}|{status.st_mtime_ns}\n".encode())
    assert entry_key(Folder(pictures), Data(resolution=8), 3, None) == digest.hexdigest()[:40]


def test_the_cache_folder_is_the_users(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("GANNET_CACHE", str(tmp_path))
    assert cache_folder() == tmp_path
    source = open_source("shapes", tmp_path)
    dataset = prepare(source, Data(resolution=32), 3)
    assert place(dataset).is_relative_to(tmp_path)
    size = (place(dataset) / "images.npy").stat().st_size
    assert 0 <= size - cache_bytes(len(source), 32, 3) <= 256
    assert json.loads((place(dataset) / "index.json").read_text("utf-8"))["source"] == "shapes"


def test_a_full_disk_is_told_before(pictures: Path, settings: Data, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=1))
    with pytest.raises(UserError, match=r"need 19 kB and .* has 1 B left: .*--data.cache"):
        prepare(Folder(pictures), settings, 3)


def test_a_disk_that_fills_up_is_one_line_and_no_unreadable_image(
    pictures: Path, settings: Data, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Full(io.BytesIO):
        def write(self, _: object) -> int:
            raise OSError(28, "No space left on device")

    def put(slots: SlotsOnDisk, i: int, image: np.ndarray) -> None:
        slots._files[0] = (Full(), 0, 1)
        whole(slots, i, image)

    whole = SlotsOnDisk.put
    monkeypatch.setattr(SlotsOnDisk, "put", put)
    with pytest.raises(UserError, match=r"cannot write the decoded images to .*make room and start again") as caught:
        prepare(Folder(pictures), settings, 3)
    assert "\n" not in str(caught.value)


def test_a_cache_that_cannot_be_written_is_one_line(pictures: Path, settings: Data, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(UserError, match="cannot write the decoded images"):
        prepare(Folder(pictures), replace(settings, cache=str(tmp_path / "file")), 3)


def test_what_stopped_builds_left_is_removed_in_time(pictures: Path, settings: Data) -> None:
    root = images_folder(settings.cache)
    for name, days in (("a" * 40, 8), ("b" * 40, 1), ("not the cache's", 8)):
        (root / name).mkdir(parents=True)
        (root / name / "digests.npy").write_bytes(b"x")
        os.utime(root / name / "digests.npy", (time.time() - days * 86400,) * 2)
    dataset = prepare(Folder(pictures), settings, 3)
    assert {p.name for p in root.iterdir()} == {"b" * 40, "not the cache's", place(dataset).name}


def cache_command(capsys: Capture, settings: Data, *argv: str) -> str:
    assert main(["cache", *argv, "--cache", settings.cache]) == 0
    return capsys.readouterr().out


def test_list_names_each_entry(pictures: Path, settings: Data, capsys: Capture) -> None:
    assert "0 entries, 0 B" in cache_command(capsys, settings, "list")
    old, new = (place(prepare(Folder(pictures), replace(settings, resolution=side), 3)) for side in (4, 8))
    os.utime(old / "index.json", (86400, 86400))
    prepare(Folder(pictures), settings, 3)
    listed = json.loads(cache_command(capsys, settings, "list", "--json"))
    assert listed["folder"] == str(old.parent)
    facts = [(e["source"], e["num_images"], e["resolution"], e["folder"]) for e in listed["entries"]]
    assert facts == [("d", NUM, 8, str(new)), ("d", NUM, 4, str(old))]
    assert listed["entries"][1]["last_used"] == "1970-01-02T00:00:00+00:00"
    sizes = [sum(p.stat().st_size for p in folder.iterdir()) for folder in (new, old)]
    assert [e["bytes"] for e in listed["entries"]] == sizes and listed["bytes"] == sum(sizes)
    said = cache_command(capsys, settings, "list")
    assert f"{old.parent}: 2 entries, " in said and "100 images        8x8" in said and "1970-01-0" in said


def test_use_is_noted(pictures: Path, settings: Data) -> None:
    entry = place(prepare(Folder(pictures), settings, 3))
    os.utime(entry / "index.json", (86400, 86400))
    prepare(Folder(pictures), settings, 3)
    (found,) = entries_module.entries(entry.parent)
    assert found.used > 1e9
    assert entries_module.entries(entry.parent, days=1) == []


def test_a_build_that_was_stopped_is_listed_and_cleared(pictures: Path, settings: Data, capsys: Capture) -> None:
    with pytest.raises(KeyboardInterrupt):
        prepare(Folder(pictures), settings, 3, stop_after(64))
    (entry,) = json.loads(cache_command(capsys, settings, "list", "--json"))["entries"]
    assert not entry["complete"] and 64 <= entry["num_images"] <= NUM and entry["resolution"] == 8
    assert "building was stopped" in cache_command(capsys, settings, "list")
    assert json.loads(cache_command(capsys, settings, "clear", "--json"))["freed"] == entry["bytes"]
    assert list(images_folder(settings.cache).iterdir()) == []


def test_clear_removes_the_old_and_nothing_else(pictures: Path, settings: Data, capsys: Capture) -> None:
    old, new = (place(prepare(Folder(pictures), replace(settings, resolution=side), 3)) for side in (4, 8))
    os.utime(old / "index.json", (time.time() - 10 * 86400,) * 2)
    for name in ("images/mine/1.png", "torchvision/x", f"images/{old.name}/mine.txt"):
        path = Path(settings.cache) / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("mine")
    size = sum((old / name).stat().st_size for name in ("images.npy", "index.json"))
    said = cache_command(capsys, settings, "clear", "--older-than", "9.5")
    assert f"1 entry removed, {size:,} bytes" in said
    assert [p.name for p in old.iterdir()] == ["mine.txt"]
    assert (new / "images.npy").exists()
    assert "1 entry removed" in cache_command(capsys, settings, "clear", "--older-than", "0.0")
    assert not new.exists()
    kept = {p.relative_to(settings.cache).as_posix() for p in Path(settings.cache).rglob("*") if p.is_file()}
    assert kept == {"images/mine/1.png", "torchvision/x", f"images/{old.name}/mine.txt"}


def test_clear_leaves_a_run_its_images(pictures: Path, settings: Data, capsys: Capture) -> None:
    dataset = prepare(Folder(pictures), settings, 3)
    cache_command(capsys, settings, "clear")
    assert red(dataset) == list(range(0, 200, 2))
    assert prepare(Folder(pictures), settings, 3).fingerprint == dataset.fingerprint


@pytest.mark.parametrize("held", ["lock", "images"])
def test_what_is_in_use_is_kept_and_named(
    pictures: Path, settings: Data, capsys: Capture, held: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While it is built by another process, or where Windows does not let go of the images."""
    entry = place(prepare(Folder(pictures), settings, 3))
    unlink = Path.unlink

    def windows(path: Path, missing_ok: bool = False) -> None:
        if path.name == "images.npy":
            raise PermissionError(13, "in use")
        unlink(path, missing_ok)

    if held == "lock":
        with FileLock(entry / "lock"):
            said = cache_command(capsys, settings, "clear")
    else:
        monkeypatch.setattr("gannet.files.WAITS", [0.0])
        monkeypatch.setattr(Path, "unlink", windows)
        said = cache_command(capsys, settings, "clear")
    assert "0 entries removed, 0 bytes" in said and f"kept: d ({entry})" in said
    again = Counted(pictures)
    prepare(again, settings, 3)
    assert again.opened == []


@pytest.mark.parametrize(
    ("argv", "says"), [(["list", "--older-than", "-1"], "at least 0 days"), (["wipe"], "wipe"), ([], "--help")]
)
def test_the_commands_errors_are_one_line(argv: list[str], says: str, capsys: Capture) -> None:
    assert main(["cache", *argv]) == 2
    said = capsys.readouterr().err
    assert says in said and said.count("\n") == 1


def test_the_command_needs_no_torch(tmp_path: Path) -> None:
    code = f"import sys; from gannet.cli import main; main(['cache', 'list', '--cache', {str(tmp_path)!r}])"
    done = subprocess.run(
        [sys.executable, "-c", f"{code}; print('torch' in sys.modules)"], capture_output=True, text=True
    )
    assert done.stdout.splitlines()[-1] == "False"


def test_a_file_that_is_open_elsewhere_is_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gannet.files.WAITS", [0.0, 0.0])
    refusals = [PermissionError(13, "in use")] * 2
    rename = os.replace

    def busy(*paths: Path) -> None:
        if refusals:
            raise refusals.pop()
        rename(*paths)

    monkeypatch.setattr(os, "replace", busy)
    with atomic(tmp_path / "a") as file:
        file.write(b"whole")
    assert (tmp_path / "a").read_bytes() == b"whole" and not refusals
    with pytest.raises(PermissionError):
        patiently(lambda: (_ for _ in ()).throw(PermissionError(13, "in use")))

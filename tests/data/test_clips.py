"""Clips cut from animations, numbered frames and video files: in order, named, and each video played once."""

import sys
import zipfile
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from gannet.config import Data
from gannet.data.clips import Clips, VideoFiles, is_video_or_frame, open_videos
from gannet.data.dataset import Dataset, opened, prepare
from gannet.data.inspect import contact_sheet, inspect
from gannet.data.scan import scan
from gannet.data.sources import Folder
from gannet.errors import UserError
from gannet.generation.clips import animation


@pytest.fixture
def settings(tmp_path: Path) -> Data:
    """Clips of three frames, every second one: five frames of the video."""
    cache = str(tmp_path / "cache")
    return Data(source=str(tmp_path / "d"), kind="clips", frames=3, stride=2, resolution=4, cache=cache)


def picture(value: int) -> Image.Image:
    return Image.new("L", (6, 4), value)


def save(path: Path, values: Sequence[int], **options: Any) -> Path:
    """An animation of flat frames of these values."""
    path.parent.mkdir(parents=True, exist_ok=True)
    first, *more = map(picture, values)
    first.save(path, save_all=True, append_images=more, duration=40, **options)
    return path


def tens(num: int, first: int = 0) -> list[int]:
    return [first + 10 * k for k in range(num)]


def decoded(settings: Data, channels: int = 1) -> Dataset:
    return prepare(opened(settings, Path()), settings, channels)


def values(images: np.ndarray) -> list[list[int]]:
    """The value of each frame of each clip, which must be flat."""
    assert (images == images[:, :, :1, :1]).all()
    return images[:, :, 0, 0].tolist()


def test_clips_do_not_overlap_and_their_frames_are_in_order(tmp_path: Path, settings: Data) -> None:
    save(tmp_path / "d/a.gif", tens(11))
    save(tmp_path / "d/b.gif", tens(5, 100))
    dataset = decoded(settings)
    assert dataset.images.shape == (3, 3, 4, 4)
    assert values(dataset.images) == [[0, 20, 40], [50, 70, 90], [100, 120, 140]]
    assert list(dataset.names) == ["a.gif#0", "a.gif#1", "b.gif"]
    dense = decoded(replace(settings, stride=1))
    assert values(dense.images) == [[0, 10, 20], [30, 40, 50], [60, 70, 80], [100, 110, 120]]
    assert values(decoded(settings, 3).images)[0] == [0, 0, 0, 20, 20, 20, 40, 40, 40]
    assert len({dense.cache, dataset.cache, decoded(replace(settings, frames=2)).cache}) == 3


def test_frames_of_every_kind_give_the_same_clips(tmp_path: Path, settings: Data) -> None:
    save(tmp_path / "d/a/x.gif", tens(5))
    save(tmp_path / "d/b/x.webp", tens(5), lossless=True)
    save(tmp_path / "d/c/x.png", tens(5))
    for k in range(5):
        (tmp_path / "d/d/long").mkdir(parents=True, exist_ok=True)
        picture(10 * k).save(tmp_path / f"d/d/long/frame_{8 + k}.png")
    dataset = decoded(replace(settings, labels=True))
    assert values(dataset.images) == [[0, 20, 40]] * 4
    assert list(dataset.names) == ["a/x.gif", "b/x.webp", "c/x.png", "d/long"]
    assert dataset.classes == ("a", "b", "c", "d") and dataset.labels.tolist() == [0, 1, 2, 3]


def test_a_zip_and_a_folder_of_frames_alone(tmp_path: Path, settings: Data) -> None:
    save(tmp_path / "d/a.gif", tens(11))
    with zipfile.ZipFile(tmp_path / "d.zip", "w") as archive:
        archive.write(tmp_path / "d/a.gif", "a.gif")
    packed = decoded(replace(settings, source=str(tmp_path / "d.zip")))
    assert packed.fingerprint == decoded(settings).fingerprint
    (tmp_path / "frames").mkdir()
    for k in range(11):
        picture(10 * k).save(tmp_path / f"frames/{k:03}.png")
    alone = decoded(replace(settings, source=str(tmp_path / "frames")))
    assert np.array_equal(alone.images, packed.images)
    assert list(alone.names) == ["frames#0", "frames#1"]


def test_what_gives_no_clip_is_named_with_the_reason(tmp_path: Path, settings: Data) -> None:
    save(tmp_path / "d/a.gif", tens(5))
    save(tmp_path / "d/short.gif", tens(4))
    picture(3).save(tmp_path / "d/still.png")
    (tmp_path / "d/text.gif").write_text("not a GIF")
    random = np.random.default_rng(0).integers(0, 256, (6, 40, 40), np.uint8)
    first, *more = map(Image.fromarray, random)
    first.save(tmp_path / "d/torn.gif", save_all=True, append_images=more)
    torn = (tmp_path / "d/torn.gif").read_bytes()
    (tmp_path / "d/torn.gif").write_bytes(torn[: len(torn) * 6 // 10])
    dataset = decoded(replace(settings, max_unreadable=0.9))
    assert values(dataset.images) == [[0, 20, 40]]
    told = dict(dataset.unreadable)
    assert sorted(told) == ["short.gif", "still.png", "text.gif", "torn.gif"]
    assert told["short.gif"] == "has 4 frames, and a clip needs 5"
    assert told["still.png"] == "has 1 frames, and a clip needs 5"
    assert told["text.gif"] == "not an image of a known kind"


def test_a_video_that_ends_before_its_header_says_is_named(tmp_path: Path, settings: Data) -> None:
    class Boastful(VideoFiles):
        def length(self, i: int) -> int:
            return 15

    save(tmp_path / "d/a.gif", tens(11))
    source = Clips(Boastful(Folder(tmp_path / "d")), 3, 2)
    dataset = prepare(source, replace(settings, max_unreadable=0.5), 1)
    assert values(dataset.images) == [[0, 20, 40], [50, 70, 90]]
    assert dataset.unreadable == [("a.gif#2", "ends after 11 frames")]


class Counted(VideoFiles):
    """Videos that note which of them are played, and how many of their frames."""

    def __init__(self, path: Path):
        super().__init__(Folder(path, is_video_or_frame))
        self.played: list[int] = []
        self.num_frames_seen = 0

    def video(self, i: int) -> Generator[Image.Image, None, None]:
        self.played.append(i)
        for image in super().video(i):
            self.num_frames_seen += 1
            yield image


def test_a_video_is_played_once_for_all_its_clips(tmp_path: Path, settings: Data) -> None:
    for i in range(3):
        save(tmp_path / f"d/{i}.gif", tens(25, i))
    videos = Counted(tmp_path / "d")
    assert len(prepare(Clips(videos, 3, 2), settings, 1).images) == 15
    assert sorted(videos.played) == [0, 1, 2] and videos.num_frames_seen == 75


def test_clips_can_be_read_in_any_order(tmp_path: Path) -> None:
    for i in range(2):
        save(tmp_path / f"{i}.gif", tens(11, i))
    clips = Clips(VideoFiles(Folder(tmp_path)), 3, 2)
    for i in (1, 0, 3, 0, 2, 2, 1):
        video, place = divmod(i, 2)
        got = [int(np.asarray(image.convert("L"))[0, 0]) for image in clips.frames(i)]
        assert got == [50 * place + 10 * k + video for k in (0, 2, 4)]
        left = clips.frames(i)
        next(left)
        left.close()
    assert int(np.asarray(clips.open(1).convert("L"))[0, 0]) == 50


def test_clips_of_a_video_stay_on_one_side_of_the_split(tmp_path: Path, settings: Data) -> None:
    for i in range(16):
        save(tmp_path / f"d/{i}.gif", tens(11, i))
    dataset = decoded(replace(settings, held_out=0.3))
    assert len(dataset.images) + len(dataset.held_out) == 32 and len(dataset.held_out)
    names = {name.split("#")[0] for name in dataset.names}
    assert len(dataset.images) == 2 * len(names)
    table = tmp_path / "groups.csv"
    table.write_text("file,group\n" + "".join(f"{i}.gif,{i % 4}\n" for i in range(16)))
    grouped = decoded(replace(settings, held_out=0.3, group_by=str(table)))
    groups = {int(name.split(".")[0]) % 4 for name in grouped.names}
    assert len(grouped.images) == 8 * len(groups) and 0 < len(groups) < 4


def test_two_equal_builds_give_equal_bytes(tmp_path: Path, settings: Data) -> None:
    for i in range(4):
        save(tmp_path / f"d/{i}.gif", tens(11, i))
    one, other = decoded(settings), decoded(replace(settings, cache="off"))
    assert one.fingerprint == other.fingerprint and one.images.tobytes() == other.images.tobytes()


def test_clips_can_be_looked_at(tmp_path: Path, settings: Data) -> None:
    for i in range(3):
        save(tmp_path / f"d/{i}.gif", tens(11, i))
    source = opened(settings, Path())
    assert (scan(source).num, scan(source).channels, scan(source).width) == (6, 1, (6, 6, 6))
    assert inspect(source).scan.num == 6
    sheet = contact_sheet(source)
    assert sheet.width > 3 * sheet.height  # three frames of each stand in a row


def test_single_images_are_no_videos(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="shapes holds single images, and clips come from a folder or zip"):
        open_videos("shapes", tmp_path)


def test_video_files_need_a_package(tmp_path: Path, settings: Data, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "d").mkdir()
    (tmp_path / "d/a.mp4").write_bytes(b"x")
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(UserError, match=r"need the package av: pip install 'gannet-gan\[video\]'") as caught:
        opened(settings, Path())
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("header_tells", [True, False])
def test_video_files_are_read_through_av(
    tmp_path: Path, settings: Data, header_tells: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`a.mp4` holds as many frames as bytes, each of a byte's value; the package is a stand-in."""

    @contextmanager
    def open_container(file: Any) -> Iterator[Any]:
        data = Path(file).read_bytes() if isinstance(file, str) else file.read()
        stream = SimpleNamespace(frames=len(data) if header_tells else 0)
        yield SimpleNamespace(
            streams=SimpleNamespace(video=[stream] if data != b"sound" else []),
            demux=lambda _: [SimpleNamespace(size=1)] * len(data) + [SimpleNamespace(size=0)],
            decode=lambda _: (SimpleNamespace(to_image=lambda v=value: picture(v), rotation=0) for value in data),
        )

    monkeypatch.setitem(sys.modules, "av", SimpleNamespace(open=open_container))
    (tmp_path / "d").mkdir()
    (tmp_path / "d/a.MP4").write_bytes(bytes(tens(11)))
    (tmp_path / "d/b.webm").write_bytes(b"sound")
    save(tmp_path / "d/c.gif", tens(5))
    dataset = decoded(replace(settings, max_unreadable=0.5))
    assert values(dataset.images) == [[0, 20, 40], [50, 70, 90], [0, 20, 40]]
    assert dataset.unreadable == [("b.webm", "no video in the file")]
    with zipfile.ZipFile(tmp_path / "d.zip", "w") as archive:
        archive.write(tmp_path / "d/a.MP4", "a.MP4")
    packed = decoded(replace(settings, source=str(tmp_path / "d.zip")))
    assert values(packed.images) == [[0, 20, 40], [50, 70, 90]]


@pytest.mark.parametrize(("degrees", "corner"), [(0, (0, 0)), (90, (0, 1)), (180, (1, 1)), (-90, (1, 0))])
def test_videos_are_turned_upright(degrees: int, corner: tuple[int, int], tmp_path: Path, settings: Data) -> None:
    """A white quarter at the top left, in a file that says how far to turn it to the left: `corner` is its (x, y)."""
    import av

    pixels = np.zeros((64, 64, 3), np.uint8)
    pixels[:32, :32] = 255
    (tmp_path / "d").mkdir()
    with av.open(str(tmp_path / "d/a.mp4"), "w") as container:
        stream: Any = container.add_stream("libx264", rate=12)
        stream.width = stream.height = 64
        stream.pix_fmt = "yuv420p"
        stream.set_display_rotation(degrees)
        for _ in range(5):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels)))
        container.mux(stream.encode())
    (clip,) = decoded(replace(settings, resolution=2)).images
    expected = np.zeros((2, 2))
    expected[corner[1], corner[0]] = 255
    assert np.abs(clip - expected).max() < 60


def test_what_is_written_as_mp4_is_read_again(tmp_path: Path, settings: Data) -> None:
    """By PyAV itself, from a folder and from a zip; H.264 loses a few levels, and odd sides gain a row."""
    frames = [Image.fromarray(np.full((17, 20), value, np.uint8)) for value in tens(11)]
    (tmp_path / "d").mkdir()
    (tmp_path / "d/a.mp4").write_bytes(animation(frames, "mp4", 25))
    (tmp_path / "d/bad.mp4").write_bytes(b"no video")
    with zipfile.ZipFile(tmp_path / "d.zip", "w") as archive:
        archive.write(tmp_path / "d/a.mp4", "a.mp4")
    folder = decoded(replace(settings, max_unreadable=0.5))
    packed = decoded(replace(settings, source=str(tmp_path / "d.zip")))
    assert [name for name, _ in folder.unreadable] == ["bad.mp4"]
    for dataset in (folder, packed):
        assert dataset.images.shape == (2, 3, 4, 4)
        assert np.abs(dataset.images.mean((2, 3)) - [[0, 20, 40], [50, 70, 90]]).max() < 4

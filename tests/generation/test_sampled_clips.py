"""Clips from a trained generator: animations, strips of frames, grids, and what they go on from."""

import io
import json
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from clips import FRAMES, SIZE, save_run, save_videos
from PIL import Image

from gannet import api
from gannet.data import dataset
from gannet.data.sources import Source
from gannet.errors import UserError
from gannet.generation.clips import animation
from gannet.generation.load import Discriminator, Generator, load
from gannet.networks import GENERATORS
from gannet.networks.folder import save_network

CLASSES = ("ant", "bee")


def frames_of(path: Path, mode: str = "RGB") -> tuple[np.ndarray, list[int]]:
    """All frames of an animation, and how long each is shown, in milliseconds."""
    images, durations = [], []
    with Image.open(path) as file:
        for number in range(getattr(file, "n_frames", 1)):
            file.seek(number)
            images.append(np.asarray(file.convert(mode)))
            durations.append(int(file.info.get("duration", 0)))
    return np.stack(images), durations


def sampled(run: Path, num: int, seed: int = 0) -> np.ndarray:
    """uint8 `[num, frames, H, W, C]`."""
    return Generator.to_uint8(load(run).sample(num, seed)).transpose(0, 1, 3, 4, 2)


def test_a_sample_is_a_clip_frame_after_frame(tmp_path: Path) -> None:
    G = load(save_run(tmp_path, CLASSES))
    clips = G.sample(5, seed=1)
    assert clips.shape == (5, FRAMES, 3, SIZE, SIZE) and (G.channels, G.frames) == (3, FRAMES)
    c = G.one_hot(G.label_numbers(5, None))
    assert torch.equal(clips.flatten(1, 2), G.images(G.z(1, 0, 5), c))
    assert torch.allclose(G.sample(2, seed=1, start=3, batch=1), clips[3:], atol=1e-5)
    assert G.sample(0).shape == (0, FRAMES, 3, SIZE, SIZE)


def test_each_clip_is_a_webp_and_a_strip_of_its_frames(tmp_path: Path) -> None:
    run = save_run(tmp_path / "run", CLASSES)
    drawn = api.sample(run, num=2, seed=4, out=tmp_path / "out", fps=30)
    names = ["seed4_000000_ant", "seed4_000001_bee"]
    assert [path.name for path in drawn.files] == [f"{name}.{end}" for name in names for end in ("webp", "png")]
    assert (drawn.num, drawn.what) == (2, "clips")
    for i, expected in enumerate(sampled(run, 2, seed=4).astype(int)):
        moving, durations = frames_of(drawn.files[2 * i])
        assert abs(moving - expected).max() <= 1, "without loss, but for a rounding"
        assert durations == [33, 34, 33]
        with Image.open(drawn.files[2 * i + 1]) as strip:
            scale = strip.width // (FRAMES * (SIZE + 2) + 2)
            small = np.asarray(strip)[::scale, ::scale]
        for t in range(FRAMES):
            left = 2 + t * (SIZE + 2)
            assert np.array_equal(small[2 : 2 + SIZE, left : left + SIZE], moving[t])


def test_a_gif_has_the_frames_and_whole_hundredths_of_a_second(tmp_path: Path) -> None:
    run = save_run(tmp_path / "run")
    file, _ = api.sample(run, num=1, out=tmp_path / "out", format="gif").files
    moving, durations = frames_of(file)
    assert file.suffix == ".gif" and moving.shape == (FRAMES, SIZE, SIZE, 3)
    assert abs(moving.astype(int) - sampled(run, 1)[0]).mean() < 4
    assert durations == [80, 90, 80]


@pytest.mark.parametrize(("channels", "mode"), [(1, "L"), (4, "RGBA")])
def test_grey_and_transparent_clips(tmp_path: Path, channels: int, mode: str) -> None:
    run = save_run(tmp_path / "run", channels=channels)
    webp, strip = api.sample(run, num=1, out=tmp_path / "out").files
    moving, _ = frames_of(webp, mode)
    assert moving.reshape(FRAMES, SIZE, SIZE, -1).shape[-1] == channels
    with Image.open(strip) as picture:
        assert picture.mode == ("L" if channels == 1 else "RGB")
    gif, _ = api.sample(run, num=1, out=tmp_path / "out", format="gif").files
    assert (frames_of(gif, "RGBA")[0][..., 3] == 255).all()


@pytest.mark.parametrize(("out", "moving"), [("all", "all.webp"), ("all.png", "all.webp"), ("all.gif", "all.gif")])
def test_one_picture_has_the_strips_below_each_other_and_one_moves(tmp_path: Path, out: str, moving: str) -> None:
    run = save_run(tmp_path / "run", CLASSES)
    strips, animated = api.sample(run, num=4, out=tmp_path / out, grid=True).files
    assert (strips.name, animated.name) == ("all.png", moving)
    with Image.open(strips) as picture:
        assert picture.width / picture.height == pytest.approx((FRAMES * 18 + 2) / (4 * 18 + 2))
    frames, _ = frames_of(animated)
    assert len(frames) == FRAMES and frames.shape[1] == frames.shape[2], "two columns, one of each class"
    assert not np.array_equal(frames[0], frames[1])


def test_a_grid_of_clips_stands_beside_the_reals(tmp_path: Path) -> None:
    run = save_run(tmp_path / "run")
    (run / "samples").mkdir()
    Image.new("L", (50, 40), 7).save(run / "samples" / "real.png")
    alone, _ = api.sample(run, num=4, out=tmp_path / "alone", grid=True).files
    both, _ = api.sample(run, num=4, out=tmp_path / "both", grid=True, beside_real=True).files
    with Image.open(alone) as one, Image.open(both) as two:
        assert two.width == one.width + 50 + 16


def test_mp4_without_its_package_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "av", None)
    ways: list[dict[str, Any]] = [
        {"format": "mp4", "out": tmp_path / "out"},
        {"grid": True, "out": tmp_path / "out.mp4"},
    ]
    for more in ways:
        with pytest.raises(UserError, match=r"MP4 needs the package av: pip install 'gannet-gan\[video\]'"):
            api.sample(save_run(tmp_path / "run"), num=1, **more)
    assert {path.name for path in tmp_path.iterdir()} == {"run"}


class Container:
    """As PyAV's: what is written to it is the bytes of the frames."""

    def __init__(self, buffer: io.BytesIO):
        self.buffer = buffer
        self.stream: Any = None

    def __enter__(self) -> "Container":
        return self

    def __exit__(self, *error: object) -> None: ...

    def add_stream(self, codec: str, rate: Any, options: dict[str, str]) -> Any:
        self.stream = SimpleNamespace(
            codec=codec, rate=rate, encode=lambda frame=None: [b"end" if frame is None else frame]
        )
        return self.stream

    def mux(self, packets: list[bytes]) -> None:
        self.buffer.write(b"".join(packets))


def test_mp4_frames_have_even_sides(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[Container] = []

    def opened(buffer: io.BytesIO, mode: str, format: str) -> Container:
        made.append(Container(buffer))
        return made[0]

    frame = SimpleNamespace(from_ndarray=lambda pixels, format: pixels.tobytes())
    monkeypatch.setitem(sys.modules, "av", SimpleNamespace(open=opened, VideoFrame=frame))
    pixels = np.arange(5 * 3 * 3, dtype=np.uint8).reshape(5, 3, 3)
    written = animation([Image.fromarray(pixels), Image.fromarray(pixels[::-1])], "mp4", 12.5)
    padded = [np.pad(p, ((0, 1), (0, 1), (0, 0)), "edge").tobytes() for p in (pixels, pixels[::-1])]
    assert written == b"".join([*padded, b"end"])
    stream = made[0].stream
    assert (stream.codec, stream.pix_fmt, stream.width, stream.height) == ("h264", "yuv420p", 4, 6)
    assert stream.rate == 12.5


@pytest.mark.parametrize(
    ("given", "asked", "says"),
    [
        (0, {"fps": 0.5}, "--fps is 0.5, and must be from 1 to 100"),
        (0, {"given": "videos"}, "is given no frames to go on from: leave --given out"),
        (1, {}, "goes on from first frames: name a folder of videos with --given"),
    ],
)
def test_what_cannot_be_made_is_one_line(tmp_path: Path, given: int, asked: dict[str, Any], says: str) -> None:
    with pytest.raises(UserError, match=says):
        api.sample(save_run(tmp_path / "run", given=given), num=1, out=tmp_path / "out", **asked)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        ({"format": "gif"}, "makes images, not clips: --format is png, webp or npy"),
        ({"fps": 5}, "leave --fps out"),
    ],
)
def test_images_do_not_move(tmp_path: Path, asked: dict[str, Any], says: str) -> None:
    run, settings = tmp_path / "run", {"z_dim": 5, "width": 4}
    config = {"name": "dcgan", "resolution": SIZE, "channels": 3, "classes": [], "settings": settings}
    save_network(run / "generator", GENERATORS.find("dcgan")(SIZE, 3, 0, **settings), config)
    with pytest.raises(UserError, match=says):
        api.sample(run, num=1, out=tmp_path / "out", **asked)


def test_clips_go_on_from_the_first_frames_of_videos(tmp_path: Path) -> None:
    run, videos = save_run(tmp_path / "run", given=2), save_videos(tmp_path / "videos", num=2)
    drawn = api.sample(run, num=3, out=tmp_path / "out", given=videos)
    starts = [frames_of(path)[0][:2] for path in drawn.files[::2]]
    originals = [frames_of(videos / f"{i:03}.gif")[0][:2] for i in (0, 1, 0)]
    for start, original in zip(starts, originals, strict=True):
        assert np.array_equal(start, original)
    assert not np.array_equal(frames_of(drawn.files[0])[0][2], frames_of(drawn.files[4])[0][2]), "z counts as well"


def test_a_clip_that_is_named_goes_on_from_the_frames_of_its_number(tmp_path: Path) -> None:
    run, videos = save_run(tmp_path / "run", given=2), save_videos(tmp_path / "videos", num=3)
    whole = [frames_of(file)[0] for file in api.sample(run, num=6, out=tmp_path / "whole", given=videos).files[::2]]
    named = api.sample(run, seeds="0:5,0:1", out=tmp_path / "named", given=videos).files[::2]
    around = [frames_of(file)[0] for file in api.sample(run, like="0:5", num=2, out=tmp_path, given=videos).files[::2]]
    for found, i in ((frames_of(named[0])[0], 5), (frames_of(named[1])[0], 1), (around[0], 5)):
        assert abs(found.astype(int) - whole[i]).max() <= 1
    assert np.array_equal(around[1][:2], whole[5][:2]) and not np.array_equal(around[1][2], whole[5][2])


def test_only_the_videos_are_decoded_with_which_clips_begin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run, videos = save_run(tmp_path / "run", given=2), save_videos(tmp_path / "videos", num=5)
    whole = api.sample(run, num=9, out=tmp_path / "whole", given=videos).files
    decoded = []
    prepare = dataset.prepare

    def counted(source: Source, *how: Any) -> Any:
        decoded.append(len(source))
        return prepare(source, *how)

    monkeypatch.setattr(dataset, "prepare", counted)
    some = api.sample(run, num=2, out=tmp_path / "some", given=videos).files
    assert decoded == [2]
    assert all(np.array_equal(frames_of(a)[0], frames_of(b)[0]) for a, b in zip(some[::2], whole[:4:2], strict=True))
    (videos / "000.gif").write_bytes(b"GIF89a")
    decoded.clear()
    with pytest.raises(UserError, match="1 of 5 clips cannot be read"):  # else clips would begin with others
        api.sample(run, num=2, out=tmp_path / "mended", given=videos)
    assert decoded == [2, 5]


def test_clips_that_go_on_are_truncated_as_well(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gannet.generation.load.STANDING_BATCH", 4)
    run, videos = save_run(tmp_path / "run", given=2), save_videos(tmp_path / "videos", num=2)
    plain, _, *_ = api.sample(run, num=2, out=tmp_path / "a", given=videos).files
    near, _, *_ = api.sample(run, num=2, out=tmp_path / "b", given=videos, truncation=0.1).files
    one, two = frames_of(plain)[0], frames_of(near)[0]
    assert np.array_equal(one[:2], two[:2]) and not np.array_equal(one[2], two[2])


def test_given_frames_have_the_stride_of_the_training(tmp_path: Path) -> None:
    run, videos = save_run(tmp_path / "run", given=2), save_videos(tmp_path / "videos", num=1)
    config = run / "generator" / "config.json"
    config.write_text(json.dumps({**json.loads(config.read_text()), "data": {"stride": 2}}))
    (webp, _) = api.sample(run, num=1, out=tmp_path / "out", given=videos).files
    assert np.array_equal(frames_of(webp)[0][:2], frames_of(videos / "000.gif")[0][::2])


def test_the_probability_of_several_logits_is_their_mean() -> None:
    class Two(torch.nn.Module):
        def forward(self, x: torch.Tensor, c: torch.Tensor) -> torch.Tensor:
            return torch.tensor([[0.0, 100.0], [-100.0, -100.0]])

    rated = Discriminator(Two(), True).realness(torch.zeros(2, 9, 4, 4), torch.zeros(2, 0))
    assert rated.tolist() == [0.75, 0.0]

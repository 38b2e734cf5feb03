"""Clips: as many frames of a video as a network sees at once, from GIF, WebP, MP4 or numbered frames."""

import re
import threading
from abc import abstractmethod
from collections.abc import Generator, Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO

from PIL import Image

from gannet.data.cut import Cut
from gannet.data.names import Names
from gannet.data.sources import Files, Several, Source, class_folders, first_of, is_image, natural, open_source
from gannet.errors import UserError

VIDEOS = (".mp4", ".mov", ".webm", ".mkv")  # that PyAV decodes
ANIMATED = (".gif", ".webp")
NUMBERED = re.compile(r"(.*?)\d+")


class Videos(Source):
    """Videos by number; as images, their first frames."""

    @abstractmethod
    def length(self, i: int) -> int:
        """How many frames video `i` has. Raises whatever a bad file makes its decoder raise."""

    @abstractmethod
    def video(self, i: int) -> Generator[Image.Image, None, None]:
        """All frames of video `i`, each only until the next is asked for."""

    def open(self, i: int) -> Image.Image:
        """The first frame."""
        return first_of(self.video(i))


class VideoFiles(Videos):
    """The videos in a folder or zip: files of moving pictures, and folders whose images are numbered alike."""

    def __init__(self, files: Files):
        self.files = files
        found = sorted(_videos(files.names), key=lambda video: natural(video[0]))
        self._members = [members for _, members in found]
        self.name = files.name
        self.names = Names([name or files.name for name, _ in found])
        self.classes, self.labels, _ = class_folders([name for name, _ in found])
        self.ignored, self.empty, self.loose = files.ignored, files.empty, files.loose

    def length(self, i: int) -> int:
        """How many frames there are, by the file's header where it tells."""
        first, *more = self._members[i]
        if more:
            return len(more) + 1
        if self._needs_av(first):
            return _num_frames(self.files.file(first))
        with self.files.open(first) as image:
            return _num_images(image)

    def video(self, i: int) -> Generator[Image.Image, None, None]:
        """All frames. Raises `UserError` where they need PyAV, which is not there."""
        first, *more = self._members[i]
        if more:
            for number in (first, *more):
                yield from self.files.frames(number)
        elif self._needs_av(first):
            yield from _decoded(self.files.file(first))
        else:
            with self.files.open(first) as image:
                for number in range(_num_images(image)):
                    image.seek(number)
                    yield image.copy()

    def key(self, i: int) -> str:
        """Those of all its files."""
        return "|".join(self.files.key(number) for number in self._members[i])

    def _needs_av(self, number: int) -> bool:
        return _extension(self.files.names[number]) in VIDEOS


class _Playing(threading.local):
    """The video that a thread has played last, and how far."""

    video = -1
    at = 0
    images: Iterator[Image.Image] = iter(())

    def play(self, video: int, images: Iterator[Image.Image]) -> None:
        self.video, self.at, self.images = video, 0, images

    def next(self) -> Image.Image:
        video, self.video = self.video, -1  # until the frame is there: a video that broke is not gone on with
        image = next(self.images, None)
        if image is None:
            raise ValueError(f"ends after {self.at} frames")
        self.video, self.at = video, self.at + 1
        return image


class Clips(Cut, Several):
    """Clips of `num_frames` frames, each `stride` frames of the video after the last; no two overlap.

    A video of F frames gives `floor(F / span)`, where `span = (num_frames - 1) * stride + 1`. One that is too
    short cannot be read.
    """

    def __init__(self, videos: Videos, num_frames: int, stride: int = 1):
        self.videos, self.num_frames, self.stride = videos, num_frames, stride
        self.span = (num_frames - 1) * stride + 1
        self._lengths = [_length(videos, i) for i in range(len(videos))]
        super().__init__(videos, [max(1, length // self.span) for length in self._lengths])
        self._playing = _Playing()

    @property
    def how(self) -> str:
        return f"{self.num_frames} frames by {self.stride}"

    def frames(self, i: int) -> Generator[Image.Image, None, None]:
        """The frames in order; the video is played on from the clip before, where this thread had that one."""
        video, start, playing = self.owners[i], self.places[i] * self.span, self._playing
        if self._lengths[video] < self.span:
            raise ValueError(f"has {self.videos.length(video)} frames, and a clip needs {self.span}")
        if playing.video != video or playing.at > start:
            playing.play(video, self.videos.video(video))
        for number in range(playing.at, start + self.span):
            image = playing.next()
            if number >= start and (number - start) % self.stride == 0:
                yield image


def open_videos(name: str, cache: Path) -> Videos:
    """The videos that `name` stands for: a data set, a folder or a zip.

    Raises `UserError` where there is no such thing, or no video in it.
    """
    source = open_source(name, cache, is_video_or_frame)
    if isinstance(source, Files):
        return VideoFiles(source)
    if isinstance(source, Videos):
        return source
    raise UserError(
        f"{source.name} holds single images, and clips come from a folder or zip of GIF, WebP, MP4 or numbered frames"
    )


def is_video_or_frame(name: str) -> bool:
    """Whether the extension says that the file is a video, an animation, or an image that may be a frame."""
    return _extension(name) in VIDEOS or is_image(name)


def _videos(names: Sequence[str]) -> Iterator[tuple[str, list[int]]]:
    """Name and files of each video."""
    folders: dict[str, list[int]] = {}
    for i, name in enumerate(names):
        folders.setdefault(name.rpartition("/")[0], []).append(i)
    for folder, members in folders.items():
        if _are_frames([names[i].rpartition("/")[2] for i in members]):
            yield folder, members
        else:
            yield from ((names[i], [i]) for i in members)


def _are_frames(names: Sequence[str]) -> bool:
    """Whether files are still images whose names differ in a number at their end."""
    if len(names) < 2 or any(_extension(name) in (*VIDEOS, *ANIMATED) for name in names):
        return False
    matches = [NUMBERED.fullmatch(PurePosixPath(name).stem) for name in names]
    return None not in matches and len({match[1] for match in matches if match}) == 1


def _extension(name: str) -> str:
    return PurePosixPath(name).suffix.lower()


def _length(videos: Videos, i: int) -> int:
    """How many frames there are; 0 where the file is bad, which is told when it is read."""
    try:
        return videos.length(i)
    except UserError:
        raise
    except Exception:  # Pillow's plugins raise nearly anything for a bad file
        return 0


def _num_images(image: Image.Image) -> int:
    return getattr(image, "n_frames", 1)


def _num_frames(file: Path | BinaryIO) -> int:
    """Frames of a video file, by its header; counted where that does not tell."""
    with _opened(file) as container:
        stream = _first_stream(container)
        return stream.frames or sum(packet.size > 0 for packet in container.demux(stream))


def _decoded(file: Path | BinaryIO) -> Iterator[Image.Image]:
    """Its frames, upright: telephones write how they were held beside the frames, in degrees to the left."""
    with _opened(file) as container:
        for frame in container.decode(_first_stream(container)):
            yield frame.to_image().rotate(frame.rotation, expand=True)


def _opened(file: Path | BinaryIO) -> Any:
    try:
        import av
    except ImportError as error:
        raise UserError(
            "MP4, MOV, WebM and MKV need the package av: pip install 'gannet-gan[video]', or give GIF, WebP or "
            "numbered frames"
        ) from error
    return av.open(str(file) if isinstance(file, Path) else file)


def _first_stream(container: Any) -> Any:
    if not container.streams.video:
        raise ValueError("no video in the file")
    return container.streams.video[0]

"""Mirrors of stats.jsonl for those who look at runs elsewhere: TensorBoard and Weights & Biases.

The lines are read from the file rather than taken from the loop, so that events, findings and
metrics arrive too, and a mirror that begins late is filled up from the start.
"""

import contextlib
import io
import json
import secrets
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from PIL import Image

from gannet.errors import UserError, nearest
from gannet.files import write_text
from gannet.parts import Table
from gannet.training.run import Snapshot

TRACKERS = Table("tracker", ("tensorboard", "gannet.track:TensorBoard"), ("wandb", "gannet.track:Wandb"))
SECONDS = 5.0  # between two looks at the file
UNMIRRORED = ("type", "kimg")
NUMBERS = ("stats", "metric")  # the types of lines that hold numbers; others are told as text


class Tracker(ABC):
    """A listener that hands on every line of a run's stats.jsonl, and the grid of each tick."""

    def __init__(self, run: Path, known: bool):
        """Lines up to the last statistics are left out where the mirror holds them (`known`)."""
        path = run / "stats.jsonl"
        path.touch()
        self._file = path.open("rb")
        self._nimg = 0  # of the newest line that was handed on
        self._next = 0.0
        if known:
            self._skip()

    def on_stats(self, line: Mapping[str, Any]) -> None:
        """Hands on what stats.jsonl has since the last call, every few seconds."""
        if time.monotonic() >= self._next:
            self._mirror()
            self._next = time.monotonic() + SECONDS

    def on_tick(self, snapshot: Snapshot) -> None:
        """Hands on the grid."""
        self._mirror()
        self.picture(snapshot.cur_nimg, snapshot.grid)

    def close(self) -> None:
        """Hands on the rest."""
        self._mirror()
        self._file.close()

    @abstractmethod
    def numbers(self, nimg: int, values: Mapping[str, float]) -> None:
        """One line's numbers, after so many images."""

    @abstractmethod
    def text(self, nimg: int, kind: str, text: str) -> None:
        """An event or finding, with the details as JSON."""

    @abstractmethod
    def picture(self, nimg: int, grid: Path) -> None:
        """A grid of samples."""

    def back(self, nimg: int) -> None:
        """The run goes on from here: what was told of later images no longer counts, for those who can say so."""
        return

    def _mirror(self) -> None:
        for line in self._lines():
            nimg = round(line.get("kimg", 0) * 1000)
            if nimg < self._nimg:
                self.back(nimg)
            self._nimg = nimg
            if line.get("type") in NUMBERS:
                self.numbers(nimg, _numbers(line))
            else:
                details = {name: value for name, value in line.items() if name not in UNMIRRORED}
                self.text(nimg, str(line.get("type")), json.dumps(details))

    def _lines(self) -> Iterator[dict[str, Any]]:
        while (text := self._file.readline()).endswith(b"\n"):
            with contextlib.suppress(ValueError):  # what a crash has left
                yield json.loads(text)
        self._file.seek(-len(text), io.SEEK_CUR)  # a line that is not yet whole

    def _skip(self) -> None:
        """To after the last statistics: events that follow may be of this session."""
        place = 0
        for line in self._lines():
            if line.get("type") == "stats":
                place, self._nimg = self._file.tell(), round(line["kimg"] * 1000)
        self._file.seek(place)


class TensorBoard(Tracker):
    """Scalars, text and images in RUN/tensorboard, at steps that count images.

    `SummaryWriter` would put the host's name into the name of its file, and a run folder holds none;
    so the records are written here, by TensorBoard's own writer.
    """

    def __init__(self, run: Path):
        try:
            from tensorboard.compat.proto import event_pb2, summary_pb2
            from tensorboard.plugins.text.summary_v2 import text_pb
            from tensorboard.summary.writer.record_writer import RecordWriter
        except ImportError as error:
            raise _missing("tensorboard") from error
        # Protobuf makes these classes when it is imported.
        self._event: Any = vars(event_pb2)["Event"]
        self._log: Any = vars(event_pb2)["SessionLog"]
        self._summary: Any = vars(summary_pb2)["Summary"]
        self._text = text_pb
        folder = run / "tensorboard"
        known = folder.is_dir()
        folder.mkdir(parents=True, exist_ok=True)
        file = (folder / f"events.out.tfevents.{time.time_ns()}.gannet").open("xb")
        self._writer = RecordWriter(file)
        self._write(file_version="brain.Event:2")
        super().__init__(run, known)
        if known:
            self.back(self._nimg)

    def numbers(self, nimg: int, values: Mapping[str, float]) -> None:
        made = [self._summary.Value(tag=name, simple_value=value) for name, value in values.items()]
        self._write(step=nimg, summary=self._summary(value=made))
        self._writer.flush()

    def text(self, nimg: int, kind: str, text: str) -> None:
        self._write(step=nimg, summary=self._text(kind, f"`{text}`"))

    def picture(self, nimg: int, grid: Path) -> None:
        with Image.open(grid) as image:
            width, height = image.size
            channels = len(image.getbands())
        picture = self._summary.Image(
            width=width, height=height, colorspace=channels, encoded_image_string=grid.read_bytes()
        )
        self._write(step=nimg, summary=self._summary(value=[self._summary.Value(tag="samples", image=picture)]))
        self._writer.flush()

    def back(self, nimg: int) -> None:
        self._write(step=nimg + 1, session_log=self._log(status=self._log.START))

    def close(self) -> None:
        super().close()
        self._writer.close()

    def _write(self, **what: Any) -> None:
        self._writer.write(self._event(wall_time=time.time(), **what).SerializeToString())


class Wandb(Tracker):
    """A run of the project `gannet` that has the name of the folder, with kimg as its horizontal axis.

    The run's id stays in RUN/wandb/id.txt, so that a resumed run goes on in the same place.
    """

    def __init__(self, run: Path):
        try:
            import wandb
        except ImportError as error:
            raise _missing("wandb") from error
        kept = run / "wandb" / "id.txt"
        known = kept.is_file()
        name = kept.read_text("utf-8").strip() if known else secrets.token_hex(4)
        (run / "wandb").mkdir(parents=True, exist_ok=True)
        # Wandb would else copy what the terminal shows, which a live display repaints ten times a second.
        settings = wandb.Settings(console="off")
        try:
            self._run = wandb.init(
                project="gannet", dir=str(run), name=run.resolve().name, id=name, resume="allow", settings=settings
            )
        except wandb.errors.Error as error:
            said = " ".join(str(error).split())
            raise UserError(f"wandb: {said}; log in with 'wandb login', or set WANDB_MODE=offline") from error
        write_text(kept, name)
        self._picture = wandb.Image
        self._run.define_metric("kimg", hidden=True)
        self._run.define_metric("*", step_metric="kimg")
        super().__init__(run, known)

    def numbers(self, nimg: int, values: Mapping[str, float]) -> None:
        self._run.log({"kimg": nimg / 1000, **values})

    def text(self, nimg: int, kind: str, text: str) -> None:
        self._run.log({"kimg": nimg / 1000, kind: text})

    def picture(self, nimg: int, grid: Path) -> None:
        self._run.log({"kimg": nimg / 1000, "samples": self._picture(str(grid))})

    def close(self) -> None:
        super().close()
        self._run.finish()


def track(name: str, run: Path) -> Tracker:
    """A listener that mirrors a run to `tensorboard` or `wandb`; call its `close` at the end.

    Raises `UserError` for another name, without the package, and where wandb does not let in.
    """
    if name not in TRACKERS.rows:
        raise UserError(f"there is no tracker '{name}'{nearest(name, TRACKERS.rows)}")
    return TRACKERS.find(name)(run)


def _numbers(line: Mapping[str, Any]) -> dict[str, float]:
    """The numbers of a line, by name; of a metric its value and interval."""
    if line["type"] == "metric":
        name = line["metric"]
        line = {name: line["value"], f"{name} low": line["low"], f"{name} high": line["high"]}
    return {name: value for name, value in line.items() if name not in UNMIRRORED and _is_number(value)}


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _missing(package: str) -> UserError:
    return UserError(f"--track {package} needs the package {package}: pip install 'gannet-gan[track]'")

"""A generator in an ONNX file: loaded and sampled with onnxruntime and NumPy, without torch."""

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np

from gannet.errors import UserError, one_line
from gannet.generation.sampler import Sampler, check_shares

SUFFIX = ".onnx"
KEY = "gannet"  # of the facts in the file's metadata, as JSON
FORMAT = 1  # of those facts
GRAPH = 7  # the number of a field of ModelProto
VARINT, COUNTED = 0, 2  # kinds of protobuf's fields: a number, and bytes after their number
SIZES = {1: 8, 5: 4}  # bytes of the other kinds
NEEDED = "ONNX files need the package onnxruntime: pip install 'gannet-gan[onnx]'"


@dataclass(frozen=True)
class OnnxGenerator(Sampler):
    """A G that onnxruntime computes on the CPU, in float32."""

    session: Any
    is_styled: bool = False

    @property
    def has_w(self) -> bool:
        return self.is_styled

    def truncated(self, truncation: float) -> "OnnxGenerator":
        """A copy whose z has no larger values; batch norm keeps the statistics of training, unlike in a run's G.

        Raises `UserError` for numbers out of range, and where G has a w.
        """
        if self.is_styled:
            raise UserError("an ONNX file knows no psi, as its w is within: leave --truncation out, or sample the run")
        return replace(self, truncation=self.bounded(truncation))

    def as_input(self, values: np.ndarray) -> np.ndarray:
        return values

    def w(self, z: np.ndarray, c: np.ndarray) -> np.ndarray:
        """Raises `UserError`: the file goes from z to images."""
        raise self.no_w()

    def images_of(self, w: np.ndarray) -> np.ndarray:
        """Raises `UserError`: the file goes from z to images."""
        raise self.no_w()

    def no_w(self) -> UserError:
        return UserError(f"{self.folder} goes from z to images and shows no w: name a run of stylegan2 instead")

    def images(self, z: np.ndarray, c: np.ndarray, start: int | Sequence[int] = 0) -> np.ndarray:
        """G(z, c): `[N, C, R, R]`, of clips `[N, frames * C, R, R]`. Raises `UserError` where it fails."""
        made = run(self.session, {"z": z, "c": c} if self.classes else {"z": z}, self.folder)
        size = self.frames * self.channels, self.resolution, self.resolution
        if made.size != len(z) * np.prod(size):
            raise unfit(self.folder, f"of {len(z)} z it makes {list(made.shape)}")
        return made.reshape(len(z), *size)

    def joined(self, parts: Sequence[np.ndarray]) -> np.ndarray:
        return np.concatenate(parts) if parts else np.empty(0, np.float32)

    def discriminator(self) -> Any:
        """Raises `UserError`: an ONNX file holds G alone."""
        raise UserError(
            "an ONNX file holds no D to rate images with: leave --min-realness and --rejection out, or sample the run"
        )


def load_onnx(path: str | os.PathLike[str], device: str = "cpu", threads: int = 0) -> OnnxGenerator:
    """The generator in a file that `gannet export --to onnx` wrote. `threads` of 0 are as many as there are cores.

    Raises `UserError` for files of others or of newer versions, for damaged ones, and for devices other than the CPU.
    """
    file = Path(path)
    if device not in ("cpu", "auto"):
        raise UserError(f"an ONNX file is computed on the CPU here, not on '{device}': leave --device out")
    if not file.is_file():
        raise UserError(f"there is no file {file}: gannet export RUN --to onnx makes one")
    session = open_session(str(file), threads)
    facts = facts_of(session.get_modelmeta().custom_metadata_map, file)
    if "sha256" in facts and facts["sha256"] != checksum(file.read_bytes()):
        raise unfit(file, "the SHA-256 of its weights differs")
    if facts.get("kind") == "translator":
        raise UserError(
            f"{file} makes images of images, not of noise; Gannet translates with the run that it was exported from:"
            " gannet translate RUN FOLDER --out DIR (the file is for other programs)"
        )
    try:
        classes, shares = tuple(map(str, facts["classes"])), tuple(map(float, facts["class_shares"]))
        sizes = {name: int(facts[name]) for name in ("z_dim", "resolution", "channels", "frames")}
        is_styled = bool(facts["has_w"])
    except (KeyError, OverflowError, TypeError, ValueError) as error:
        raise unfit(file, f"its facts: {one_line(error)}") from error
    check_shares(shares, classes, file)
    found = {each.name: each.shape[-1] for each in session.get_inputs()}
    if "given" in found:
        raise UserError(
            f"{file} goes on from first frames, which only a run is given: gannet sample RUN --given VIDEOS"
        )
    if found != {"z": sizes["z_dim"], **({"c": len(classes)} if classes else {})} or min(sizes.values()) < 1:
        raise unfit(file, "its inputs are not those that its facts tell of")
    return OnnxGenerator(session, is_styled, classes=classes, folder=file, shares=shares, **sizes)


def open_session(model: str | bytes, threads: int = 0) -> Any:
    """onnxruntime's session for a file or its bytes. Raises `UserError` for what it cannot read."""
    try:
        import onnxruntime
    except ImportError as error:
        raise UserError(NEEDED) from error
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = threads, 4
    try:
        return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # its own kinds have no other base
        name = model if isinstance(model, str) else "the model"
        raise UserError(f"{name} cannot be read as ONNX: {one_line(error)}") from error


def run(session: Any, inputs: Mapping[str, np.ndarray], name: object) -> np.ndarray:
    """The first output. Raises `UserError` where onnxruntime fails."""
    try:
        return session.run(None, dict(inputs))[0]
    except Exception as error:
        raise UserError(f"{name} cannot be computed: {one_line(error)}") from error


def facts_of(metadata: Mapping[str, str], file: Path) -> dict[str, Any]:
    """What the file says of itself. Raises `UserError` where it is not ours, or of another format."""
    if KEY not in metadata:
        raise UserError(f"{file} was not made by Gannet: gannet export RUN --to onnx makes files that it can sample")
    try:
        facts = json.loads(metadata[KEY])
        version = facts["format"]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise unfit(file, "its facts cannot be read") from error
    if version != FORMAT:
        raise UserError(f"{file} is of format {version}, and {FORMAT} is read here: update Gannet, or export it anew")
    return facts


def checksum(data: bytes) -> str:
    """The SHA-256 of the graph in an ONNX file, with all of its weights: of field 7 of the protobuf `ModelProto`.

    What the file says of itself is in other fields, and is left out. `data` is what onnxruntime could read.
    """
    found, at = sha256(), 0
    while at < len(data):
        key, at = varint(data, at)
        size = SIZES.get(key & 7, 0)
        if key & 7 in (VARINT, COUNTED):
            size, at = varint(data, at)
        end = at + size * (key & 7 != VARINT)
        if key >> 3 == GRAPH:
            found.update(memoryview(data)[at:end])
        at = end
    return found.hexdigest()


def varint(data: bytes, at: int) -> tuple[int, int]:
    """A number of protobuf, seven bits a byte and the lowest first, and where the next thing starts."""
    value = shift = 0
    while True:
        byte = data[at]
        value, shift, at = value | (byte & 127) << shift, shift + 7, at + 1
        if byte < 128:
            return value, at


def unfit(file: Path, why: str) -> UserError:
    """The error for a file that contradicts itself."""
    return UserError(f"{file} is damaged or was changed ({why}): export it anew")

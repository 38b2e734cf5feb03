"""A user's own extractor: an ONNX file, or a function in Python."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from traceback import walk_tb
from typing import Any

import numpy as np
import torch
from torch import Tensor

from gannet.errors import UserError, one_line
from gannet.evaluation import EXTRACTORS
from gannet.evaluation.extractors import Extractor, how_resized, resized
from gannet.evaluation.weights import sha256_of, shown

EXTRA = 'pip install "gannet-gan[onnx]"'
KINDS = {"tensor(uint8)": np.uint8, "tensor(float)": np.float32}


class Onnx(Extractor):
    """The network of an ONNX file: one input `[N, 3, H, W]` and one output `[N, d]`, on the CPU.

    The input is RGB, uint8 in [0, 255] or float32 in [0, 1]. Where it declares H and W, images are resized to them,
    bicubic and antialiased; where it does not, they come at their own size. N is free, or 1. All weights lie in the
    file, whose SHA-256 is the protocol's. Raises `UserError` for a file that is none of this, and where the extra
    `onnx` is not installed.
    """

    def __init__(self, file: Path) -> None:
        session, digest = opened(file)
        inputs, outputs = session.get_inputs(), session.get_outputs()
        if len(inputs) != 1 or len(outputs) != 1:
            raise UserError(
                f"{file} has {len(inputs)} inputs and {len(outputs)} outputs: an extractor has one of each, images "
                "[N, 3, H, W] and features [N, d]"
            )
        num, channels, *size = inputs[0].shape if len(inputs[0].shape) == 4 else (0, 0)
        if inputs[0].type not in KINDS or (isinstance(channels, int) and channels != 3):
            raise UserError(
                f"{file} takes {inputs[0].type} {inputs[0].shape}: an extractor takes tensor(uint8) or tensor(float) "
                "[N, 3, H, W]"
            )
        if isinstance(num, int) and num != 1:
            raise UserError(f"{file} takes {num} images at once: export it with a free number of images, or with 1")
        self.session, self.input, self.kind = session, inputs[0].name, KINDS[inputs[0].type]
        self.size = (size[0], size[1]) if all(isinstance(side, int) for side in size) else None
        self.batch = 1 if num == 1 else Extractor.batch
        resize = how_resized(self.size) if self.size else "none"
        super().__init__(file.name, "cpu", weights=shown(digest), layer=outputs[0].name, resize=resize)

    def forward(self, x: Tensor) -> tuple[Tensor, None]:
        levels = resized(x, self.size) if self.size else x / 255
        if self.kind == np.uint8:
            levels = levels.mul(255).round_()
        with told_of(self.name):
            found = self.session.run(None, {self.input: levels.numpy().astype(self.kind)})
        return torch.from_numpy(np.array(found[0])), None


class Code(Extractor):
    """A function of your own, `module:callable`: RGB uint8 `[N, 3, H, W]` on the device to features `[N, d]`.

    What it resizes and which weights it takes is not known here: the protocol has the SHA-256 of the module's file
    alone, and nothing of what was seen is kept.
    """

    repeatable = False

    def __init__(self, name: str, function: Callable[[Tensor], Any], device: torch.device | str) -> None:
        file = getattr(sys.modules[name.partition(":")[0]], "__file__", None)
        weights = f"code {shown(sha256_of(Path(file)))}, and what it loads" if file else "not known"
        super().__init__(name, device, weights=weights, layer="what it gives", resize="its own")
        self.function, self.file = function, file

    def forward(self, x: Tensor) -> tuple[Tensor, None]:
        with told_of(self.name, self.file):
            return torch.as_tensor(self.function(x)), None


def imported(name: str, allow_code: bool) -> Callable[..., Any]:
    """Your own code. Raises `UserError` where it cannot be imported, or there is nothing of that name."""
    try:
        return EXTRACTORS.find(name, allow_code)
    except UserError:
        raise
    except Exception as error:
        frame, line = list(walk_tb(error.__traceback__))[-1]
        file = frame.f_code.co_filename
        where = "its module" if file.startswith("<") else f"{file}:{line}"  # a syntax error says where it is
        raise UserError(
            f"extractor {name} cannot be imported: {where} fails with {type(error).__name__}: {one_line(error)}"
        ) from error


def opened(file: Path) -> tuple[Any, str]:
    """A session of onnxruntime, and the SHA-256 of what it runs."""
    try:
        import onnxruntime
    except ImportError as error:
        raise UserError(f"ONNX files are run by one more package: {EXTRA}") from error
    try:
        data = file.read_bytes()
    except OSError as error:
        raise UserError(f"cannot read {file}: {error.strerror or error}") from error
    options = onnxruntime.SessionOptions()
    # Weights in other files are looked for below the file, where nothing can be: else they come from any folder.
    options.add_session_config_entry("session.model_external_initializers_file_folder_path", str(file))
    try:
        session = onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # its errors have no class in common
        raise UserError(
            f"{file} cannot be run as ONNX ({one_line(error)}); weights in a second file are not read: export it as "
            "one (torch: external_data=False)"
        ) from error
    return session, sha256(data).hexdigest()


@contextmanager
def told_of(name: str, file: str | None = None) -> Iterator[None]:
    """Raises `UserError` where what is not ours fails; it says in which line of `file`, where that had a part in it."""
    try:
        yield
    except Exception as error:
        lines = [line for frame, line in walk_tb(error.__traceback__) if frame.f_code.co_filename == file]
        where = f" at {file}:{lines[-1]}" if lines else ""
        raise UserError(f"extractor {name} fails{where} with {type(error).__name__}: {one_line(error)}") from error

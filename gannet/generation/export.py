"""A trained G as one file: ONNX, compared with torch before it is written, or safetensors that say what they hold.

The ONNX comes from torch's exporter by tracing (`dynamo=False`). The newer one, by `torch.export`, writes no opset
below 18, needs another package, and took 2 to 13 s for networks that this one writes in 0.05 to 1 s (torch 2.15).
"""

import contextlib
import importlib
import io
import json
import math
import os
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import Any, Literal, cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize
from torch.overrides import TorchFunctionMode

from gannet import __version__
from gannet.errors import UserError, one_line
from gannet.files import size_of, write_with
from gannet.generation.onnx import FORMAT, KEY, checksum, open_session, run
from gannet.generation.sampler import hot, in_turn
from gannet.networks import GENERATORS, TRANSLATORS
from gannet.networks.folder import generator_folder, load_network, save_file
from gannet.networks.translator import Translator
from gannet.noise import Stream, normal

To = Literal["onnx", "safetensors"]
Opset = Literal[18, 15]

TOLERANCE = 1e-4  # of values in [-1, 1]
BATCHES = (1, 2, 7)
LARGEST = 2**31 - 2**20  # bytes of one protobuf
COLOUR = {1: "grey", 3: "RGB", 4: "RGB premultiplied with alpha, then alpha"}


@dataclass(frozen=True)
class Exported:
    """What was written."""

    file: Path
    num_bytes: int
    difference: float | None = None
    """The largest one between torch's values in [-1, 1] and those of the ONNX file."""

    def __str__(self) -> str:
        compared = "" if self.difference is None else f", at most {self.difference:.1g} from torch's values"
        return f"{self.file}: {size_of(self.num_bytes)}{compared}"


def export(
    run: str | os.PathLike[str], *, to: To, out: str | os.PathLike[str] | None = None, opset: Opset = 18
) -> Exported:
    """Writes G of a run, or of a generator's folder, to the file `out`, or to model.onnx or model.safetensors here.

    The weights are those that sample. ONNX holds what `Traced` says, with spectral norm folded into them, and facts
    about itself in its metadata. Raises `UserError` where the packages are missing, G cannot be expressed, or a
    value differs by more than 1e-4 from torch's on one of several batch sizes: nothing is written then.
    """
    file = Path(out or f"model.{to}")
    if file.suffix != f".{to}" or file.is_dir():
        raise UserError(f"--out is {file}, and must name a file that ends in .{to}")
    network, config = load_network(generator_folder(Path(run)), GENERATORS | TRANSLATORS)
    if to == "safetensors":
        save_file(file, network, config)
        return Exported(file, file.stat().st_size)
    data, difference = to_onnx(network, config, opset)
    write_with(file, lambda opened: opened.write(data))
    return Exported(file, len(data), difference)


class Traced(nn.Module):
    """G as the file has it: float32 in, and images within [-1, 1] out.

    A generator takes z `[N, z_dim]`, with classes c `[N, num_classes]` (one-hot, or shares of several), and
    where it goes on from first frames those, `given` `[N, given * C, R, R]`; it makes `[N, C, R, R]`, or clips
    `[N, frames, C, R, R]`. Noise within G is fixed, as in all samples. A translator makes images of a `[N, C, H, W]`.
    """

    def __init__(self, G: nn.Module, config: Mapping[str, Any]):
        super().__init__()
        self.G: Any = G
        self.frames = config.get("frames", 1)
        self.is_translator = isinstance(G, Translator)
        self.num_classes, self.channels = len(config["classes"]), config["channels"]
        self.resolution, self.given = config["resolution"], getattr(G, "given_channels", 0)
        names = {"z": True, "c": self.num_classes, "given": self.given}
        self.inputs = ["a"] if self.is_translator else [name for name, is_there in names.items() if is_there]
        self.free = {0: "N", 2: "H", 3: "W"} if self.is_translator else {0: "N"}

    def forward(self, *inputs: Tensor) -> Tensor:
        with Plain() if torch.jit.is_tracing() else contextlib.nullcontext():
            if not self.is_translator and not self.num_classes:
                inputs = inputs[0], inputs[0][:, :0], *inputs[1:]
            images = self.G(*inputs).clamp(-1, 1)
            return images.unflatten(1, (self.frames, -1)) if self.frames > 1 else images

    def example(self, num: int, start: int = 0) -> tuple[Tensor, ...]:
        """Inputs for `num` images, the first number `start`; a translator's are of other sizes for 3 and more."""

        def like_images(channels: int, height: int, width: int) -> Tensor:
            values = normal(1, Stream.SAMPLE, start, num, channels * height * width)
            return torch.from_numpy(values).reshape(num, channels, height, width).tanh()

        side = self.resolution
        if isinstance(self.G, Translator):
            side //= self.G.scale
            return (like_images(self.channels, side + (num > 2) * self.G.multiple, side),)
        c = hot(in_turn(start, num, self.num_classes), self.num_classes)
        made = {"z": torch.from_numpy(normal(0, Stream.SAMPLE, start, num, self.G.z_dim)), "c": torch.from_numpy(c)}
        if self.given:
            made["given"] = like_images(self.given, side, side)
        return tuple(made[name] for name in self.inputs)

    def facts(self, config: Mapping[str, Any]) -> dict[str, Any]:
        """What the file says of itself."""
        channels = self.channels // self.frames
        facts = {
            "format": FORMAT,
            "gannet": __version__,
            "network": config["name"],
            "resolution": self.resolution,
            "channels": channels,
            "range": [-1, 1],
            "colour": COLOUR[channels],
            "pixels": "round(127.5 * x + 127.5), cut off at 0 and 255",
        }
        if isinstance(self.G, Translator):
            return facts | {"kind": "translator", "scale": self.G.scale, "multiple": self.G.multiple}
        shares = {"classes": config["classes"], "class_shares": config.get("class_shares", [])}
        has_w = hasattr(self.G, "w_avg")
        return facts | {"kind": "generator", **shares, "z_dim": self.G.z_dim, "frames": self.frames, "has_w": has_w}


class Plain(TorchFunctionMode):
    """While G is traced for two images: nothing hangs on their number, and labels of no classes are left out.

    Sizes but the first are numbers and the first follows from them, so that a file has one Reshape of a constant
    shape where torch's exporter computes one; what is the same for each image is left to broadcasting.
    """

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if func is torch.cat:
            parts = [x for x in args[0] if x.numel()]
            return parts[0] if len(parts) == 1 else func(parts, *args[1:], **kwargs)
        if func in (Tensor.flatten, Tensor.unflatten):
            sizes = func(torch.empty(numbers(args[0].shape), device="meta"), *numbers(args[1:]), **kwargs).shape
            return args[0].reshape(-1, *sizes[1:])
        if func is Tensor.new_zeros:
            return func(args[0], (1, *numbers(args[1])[1:]), **kwargs)
        if func is Tensor.expand and int(args[0].shape[0]) == 1:
            return func(args[0], -1, *args[2:])
        return func(*args, **kwargs)


def numbers(values: Any) -> Any:
    """Sizes that are being traced, as mere numbers."""
    return [numbers(value) for value in values] if isinstance(values, list | tuple) else int(values)


def fold(G: nn.Module) -> None:
    """Makes spectral norm a part of the weights."""
    for module in list(G.modules()):
        if parametrize.is_parametrized(module):
            for name in list(getattr(module, "parametrizations", ())):
                parametrize.remove_parametrizations(module, name)


def to_onnx(network: nn.Module, config: Mapping[str, Any], opset: int) -> tuple[bytes, float]:
    """The file of a G in eval mode, and how much its values differ from torch's at most.

    Spectral norm is folded into the network itself. Raises `UserError` as `export`.
    """
    onnx = needed("onnx")
    size = sum(value.nbytes for value in network.state_dict().values())
    if size > LARGEST:
        raise UserError(f"G has weights of {size_of(size)}, and an ONNX file holds 2.1 GB: use --to safetensors")
    traced, name, buffer = Traced(network, config).eval(), config["name"], io.BytesIO()
    starts = accumulate(BATCHES, initial=0)
    made = [(inputs, made_by(traced, inputs)) for inputs in map(traced.example, BATCHES, starts)]
    fold(network)
    try:
        with warnings.catch_warnings(), torch.no_grad():
            warnings.simplefilter("ignore")  # of tracing: what it warns of is compared below
            options = {"input_names": traced.inputs, "output_names": ["images"], "opset_version": opset}
            torch.onnx.export(traced, traced.example(2), cast(Any, buffer), dynamo=False, **options)
    except RuntimeError as error:
        raise UserError(f"'{name}' cannot be written as ONNX of opset {opset}: {one_line(error)}") from error
    model = onnx.load_from_string(buffer.getvalue())
    for value in [*model.graph.input, *model.graph.output]:
        for i, free in traced.free.items():
            value.type.tensor_type.shape.dim[i].dim_param = f"{free}_out" if i and value.name == "images" else free
    facts = traced.facts(config) | {"sha256": checksum(model.SerializeToString())}
    onnx.helper.set_model_props(model, {KEY: json.dumps(facts)})
    data = model.SerializeToString()
    difference = compared(data, traced.inputs, made)
    if not difference <= TOLERANCE:
        raise UserError(
            f"'{name}' as ONNX makes values that differ by {difference:.1g} from torch's, and {TOLERANCE:g} is the most"
            " that is written: use --to safetensors"
        )
    return data, difference


@torch.inference_mode()
def made_by(traced: Traced, inputs: Sequence[Tensor]) -> np.ndarray:
    return traced(*inputs).numpy()


def needed(name: str) -> Any:
    """A package of the extra. Raises `UserError` where it is missing."""
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise UserError(f"--to onnx needs the package {name}: pip install 'gannet-gan[onnx]'") from error


def compared(data: bytes, names: Sequence[str], made: Sequence[tuple[Sequence[Tensor], np.ndarray]]) -> float:
    """The largest difference of onnxruntime's values from those that torch made; inf for other shapes, nan for nan."""
    session, worst = open_session(data, threads=1), 0.0
    for inputs, expected in made:
        found = run(session, {name: x.numpy() for name, x in zip(names, inputs, strict=True)}, "the model")
        if found.shape != expected.shape:
            return math.inf
        worst = np.maximum(worst, np.abs(found - expected).max())  # which keeps nan, unlike max
    return float(worst)

"""What an extractor sees in a set of images: one pass, shared by all ranks, and kept beside the decoded images."""

import hashlib
import json
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from gannet.data.pool import Progress
from gannet.errors import UserError
from gannet.evaluation.estimate import places
from gannet.evaluation.extractors import Extractor
from gannet.evaluation.frechet import SOME, Gaussian, Space
from gannet.files import write_with
from gannet.training.ranks import ALONE, Ranks

BATCH = Extractor.batch  # images that each rank takes at once
MOST_REALS = 50_000  # real images that are looked at
VERSION = 1  # of what lies in a file; a change makes all of them new
FILES = "features-*.safetensors"

Images = Callable[[int, int], np.ndarray]
"""Images number `start` to `stop` of a set, uint8 `[stop - start, C, R, R]`."""


@dataclass(frozen=True)
class Seen:
    """The features of `num` images: all of them, or their Gaussian and some of them."""

    num: int
    features: Tensor
    """float32 `[n, d]`: of all images, or of n that are spread evenly over them."""
    streamed: Gaussian | None = None
    """Of all images, where `features` has some only."""
    logits: Tensor | None = None
    """float32 `[num, K]`, where they were asked for."""

    @property
    def is_whole(self) -> bool:
        """Whether `features` has all images."""
        return len(self.features) == self.num

    @cached_property
    def gaussian(self) -> Gaussian:
        """That of all images."""
        return self.streamed or Gaussian.of(self.features)


NOTHING = Seen(0, torch.empty(0, 0))


def look(
    images: Images,
    num: int,
    extract: Extractor,
    *,
    keep: bool = False,
    keep_logits: bool = False,
    ranks: Ranks = ALONE,
    progress: Progress | None = None,
) -> Seen:
    """One pass over `num` images, each rank at its share of every batch; the first rank alone gets what was seen.

    Without `keep` and `keep_logits` the memory does not grow with the number of images. Raises `UserError` where
    the extractor does.
    """
    space = None if keep or num <= SOME else Space(num, SOME)
    kept, classed = [], []
    for start in range(0, num, BATCH * ranks.num):
        size = min(BATCH * ranks.num, num - start)
        features, logits = shared(images, num, start, size, extract, keep_logits, ranks)
        if not ranks.first:
            continue
        if space:
            space.add(features)
        else:
            kept.append(features)
        if logits is not None:
            classed.append(logits)
        if progress:
            progress(start + size, num)
    if not ranks.first:
        return NOTHING
    extract.refuse_constant()
    logits = torch.cat(classed) if classed else None
    return Seen(num, space.some, space.gaussian, logits) if space else Seen(num, torch.cat(kept), None, logits)


def shared(
    images: Images, num: int, start: int, size: int, extract: Extractor, with_logits: bool, ranks: Ranks
) -> tuple[Tensor, Tensor | None]:
    """Features of images `start` to `start + size`, and logits where asked for, each rank having made its share."""
    share = -(-size // ranks.num)
    # Every rank takes as many: one whose share goes over the end takes images before it again, which are left out.
    first = [min(start + rank * share, num - share) for rank in range(ranks.num)]
    batch = images(first[ranks.rank], first[ranks.rank] + share)
    features, logits = extract.both(batch) if with_logits else (extract(batch), None)

    def together(values: Tensor) -> Tensor:
        if ranks.num == 1:
            return values
        every = ranks.gather(values)
        return torch.cat([every[rank][start + rank * share - first[rank] :] for rank in range(ranks.num)])[:size]

    return together(features), None if logits is None else together(logits)


def look_once(
    images: np.ndarray,
    chosen: np.ndarray,
    extract: Extractor,
    *,
    facts: Mapping[str, Any],
    cache: Path | None,
    keep: bool,
    ranks: Ranks = ALONE,
    progress: Progress | None = None,
) -> Seen:
    """As `look` at the images `chosen`, from `cache` where that was done before, else kept there.

    `facts` tell the images from all others; what the extractor's protocol says is added. `cache` is the folder of
    the decoded images, with which `gannet cache clear` removes what is kept; with None nothing is written, nor for
    an extractor that is not repeatable.
    """
    num = len(chosen)
    text = json.dumps({**facts, "version": VERSION, "num": num, **extract.protocol}, sort_keys=True)
    path = None
    if cache and extract.repeatable:
        path = cache / FILES.replace("*", hashlib.sha256(text.encode()).hexdigest()[:24])
    found = restored(path, text, num, keep) if path and ranks.first else None
    if ranks.any(found is not None):
        return found or NOTHING
    seen = look(lambda start, stop: images[chosen[start:stop]], num, extract, keep=keep, ranks=ranks, progress=progress)
    if path and ranks.first:
        with suppress(UserError):  # a cache that others have made may be read-only
            keep_at(path, text, seen)
    return seen


def keep_at(path: Path, text: str, seen: Seen) -> None:
    """Writes what was seen, whole or not at all; `text` says of what."""
    tensors = {"features": seen.features}
    if seen.streamed:
        tensors |= {"mean": seen.streamed.mean, "scatter": seen.streamed.scatter}
    data = save(tensors, {"of": text, "digest": digest(tensors)})
    write_with(path, lambda file: file.write(data))


def restored(path: Path, text: str, num: int, keep: bool) -> Seen | None:
    """What was kept at `path`; None where it is not there, is damaged, or `keep` asks for more than is there."""
    try:
        with safe_open(path, "pt") as file:
            metadata, names = file.metadata() or {}, file.keys()
            tensors = {name: file.get_tensor(name) for name in names}
    except (OSError, SafetensorError):
        return None
    if metadata.get("of") != text or metadata.get("digest") != digest(tensors):
        return None
    features, streamed = tensors["features"], None
    if len(features) < num:
        if keep:
            return None
        streamed = Gaussian()
        streamed.num, streamed.mean, streamed.scatter = num, tensors["mean"], tensors["scatter"]
    return Seen(num, features, streamed)


def digest(tensors: Mapping[str, Tensor]) -> str:
    """SHA-256 of the names, shapes and bytes of all of them."""
    found = hashlib.sha256()
    for name, tensor in sorted(tensors.items()):
        found.update(f"{name} {tensor.dtype} {list(tensor.shape)}".encode())
        found.update(tensor.numpy().tobytes())
    return found.hexdigest()


def refuse_nan(images: Tensor, what: str) -> Tensor:
    """The images `[N, C, R, R]`, before they become uint8. Raises `UserError` where one of them is not finite."""
    if bad := (~images.isfinite()).flatten(1).any(1).sum().item():
        raise UserError(
            f"{what} makes NaN or infinity in {bad} of {len(images)} images, of which no measure is true: it has "
            "diverged, or its weights are damaged"
        )
    return images


def spread(images: np.ndarray, num: int) -> np.ndarray:
    """`num` of the images, evenly spread over them; all where they are no more."""
    return images if num >= len(images) else images[places(len(images), num)]

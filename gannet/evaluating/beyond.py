"""What no distance tells: whether G copies, and whether its images are of use."""

from dataclasses import replace

import numpy as np
import torch
from PIL.Image import Image

from gannet.errors import UserError
from gannet.evaluating.reals import BATCH, MOST_REALS, Images, Seen
from gannet.evaluating.sides import Sides, progress_of
from gannet.evaluation.classifier import Labelled
from gannet.evaluation.copying import Copying, Pair, copying, picture_of_pairs
from gannet.evaluation.estimate import places
from gannet.evaluation.usefulness import Usefulness, usefulness
from gannet.training.ranks import ALONE

SHOWN = 16  # pairs


def copies(sides: Sides, fake: Seen, train: Seen, held_out: Seen, images: Images) -> tuple[Copying, Image]:
    """Whether G copies, with the nearest pairs by their place among all images trained on, and the picture of these.

    Of each training image only its nearest sample: one that is near to everything would fill the picture.
    """
    asked = {"grouped": sides.grouped, "num_trained_on": len(sides.real.images), "num_pairs": len(fake.features)}
    found = copying(fake.features, train.features, held_out.features, **asked)
    taken = places(len(sides.real.images), MOST_REALS)
    nearest: dict[int, Pair] = {}
    for pair in found.pairs:
        nearest.setdefault(pair.training, pair)
    pairs = tuple(replace(pair, training=int(taken[number])) for number, pair in nearest.items())[:SHOWN]
    samples = np.concatenate([images(pair.sample, pair.sample + 1) for pair in pairs])
    originals = np.stack([sides.real.images[pair.training] for pair in pairs])
    in_order = [replace(pair, sample=i, training=i) for i, pair in enumerate(pairs)]
    return replace(found, pairs=pairs), picture_of_pairs(samples, originals, in_order)


def use(sides: Sides, images: Images, num: int, device: torch.device) -> Usefulness:
    """What `num` generated images are worth to a classifier of the run's classes."""
    generated = np.concatenate([images(start, min(start + BATCH, num)) for start in range(0, num, BATCH)])
    real = sides.real
    is_known = real.held_out_labels >= 0
    with progress_of("training classifiers, steps", ALONE) as progress:
        return usefulness(
            Labelled(real.images, real.labels),
            Labelled(generated, sides.fake_labels(num)),
            Labelled(real.held_out[is_known], real.held_out_labels[is_known]),
            sides.classes,
            flips=sides.flips,
            device=device,
            progress=progress,
        )


def check_use(sides: Sides) -> None:
    """Raises `UserError` where nobody can say whether samples are of use."""
    if sides.reals == "given" or not len(sides.real.held_out):
        raise UserError(
            "--useful tests classifiers on images that the run has held out: measure a run that was trained with "
            "--data.held-out 0.1, without DATA"
        )
    if not sides.classes:
        raise UserError(f"--useful needs classes, and {sides.what} was trained without: train with --data.labels")

"""The drawn sets of pairs, of two unpaired sets and of clips."""

import hashlib
from pathlib import Path

import numpy as np
import pytest

from gannet.config import Data
from gannet.data.clips import Clips, open_videos
from gannet.data.dataset import opened, prepare
from gannet.data.drawn import KINDS, Moving, Outlines, bounced
from gannet.data.shapes import NUM, Shapes, distance, inradius
from gannet.data.sources import open_source

COLOURS = {tuple(colour): kind for colour, kind in zip(Outlines.COLOURS.tolist(), KINDS, strict=True)}
# Of the bytes of all images, SHA-256: the shapes are those with which the recipes were measured.
SHAPES, LABELLED = "985921c99bd2d215", "9705ed9a250acda4"


def halves(i: int) -> tuple[np.ndarray, np.ndarray]:
    outlines, filled = np.asarray(Outlines().open(i)).reshape(64, 2, 64, 3).swapaxes(0, 1)
    return outlines, filled


@pytest.mark.parametrize("kind", KINDS)
def test_shapes_of_a_radius_have_the_area_of_its_circle(kind: str) -> None:
    inside = distance(kind, 400, 200, 200) <= inradius(kind, 60)
    assert inside.sum() == pytest.approx(np.pi * 60**2, rel=0.01)


def test_outlines_are_those_of_the_filled_shapes() -> None:
    seen = set()
    for i in range(60):
        outlines, filled = halves(i)
        white, coloured = np.all(outlines, axis=-1), np.any(filled, axis=-1)
        assert (outlines[white] == 255).all() and not outlines[~white].any()
        assert coloured[white].all() and white.sum() < 0.75 * coloured.sum()
        # The edge of all that is filled is outlined: a filled pixel with a black neighbour.
        inner = coloured[1:-1, 1:-1]
        edge = inner & ~(coloured[:-2, 1:-1] & coloured[2:, 1:-1] & coloured[1:-1, :-2] & coloured[1:-1, 2:])
        assert white[1:-1, 1:-1][edge].all()
        found = {tuple(colour) for colour in np.unique(filled[coloured], axis=0).tolist()}
        assert found <= set(COLOURS) and found
        seen |= found
    assert seen == set(COLOURS)


def test_pairs_of_outlines_are_prepared_as_pairs(tmp_path: Path) -> None:
    settings = Data(source="outlines", kind="pairs", resolution=64, cache="off")
    source = opened(settings, tmp_path)
    source.names = list(source.names)[:8]
    dataset = prepare(source, settings, 3)
    assert dataset.images.shape == (8, 6, 64, 64)
    outlines, filled = halves(5)
    assert np.array_equal(dataset.images[5], np.concatenate([outlines, filled], axis=2).transpose(2, 0, 1))


def test_circles_and_squares_are_two_sets_of_their_own(tmp_path: Path) -> None:
    circles, squares = (open_source(name, tmp_path) for name in ("circles", "squares"))
    assert (len(circles), len(squares)) == (NUM, 1500)
    assert circles.classes == squares.classes == ()
    colours = [{tuple(np.asarray(s.open(i)).reshape(-1, 3).max(0)) for i in range(300)} for s in (circles, squares)]
    assert len(colours[0] & colours[1]) <= 2
    square = np.any(np.asarray(squares.open(7)), axis=-1)
    assert square.sum() == np.any(square, axis=0).sum() * np.any(square, axis=1).sum()
    assert circles.open(7) == Shapes("shapes", ("circle",)).open(7)


def test_the_shapes_of_the_lesson_are_as_ever(tmp_path: Path) -> None:
    for name, expected in (("shapes", SHAPES), ("shapes-labelled", LABELLED)):
        source, digest = open_source(name, tmp_path), hashlib.sha256()
        for i in range(len(source)):
            digest.update(source.open(i).tobytes())
        assert digest.hexdigest()[:16] == expected


def test_something_that_bounces_stays_between_the_walls() -> None:
    way = np.array([2.0, 7.5, 9.0, 10.0, 14.0, 19.0, -1.0, 1.0])
    assert bounced(way, 2.0, 8.0).tolist() == [2.0, 7.5, 7.0, 6.0, 2.0, 7.0, 5.0, 3.0]


@pytest.mark.parametrize("number", [0, 600, 1400])
def test_moving_shapes_keep_their_size_and_speed(number: int) -> None:
    moving = Moving()
    frames = np.stack([np.asarray(image) for image in moving.video(number)])
    assert frames.shape == (24, 32, 32, 3)
    shade = frames.astype(float).sum(-1)
    area = shade.sum((1, 2))
    assert area.min() > 0.93 * area.max()  # none leaves the image
    places = np.arange(32) + 0.5
    x, y = ((shade.sum(axis) * places).sum(1) / area for axis in (1, 2))
    steps = np.hypot(np.diff(x), np.diff(y))
    speed = np.median(steps)
    assert 1 < speed < 2.5
    assert np.mean(abs(steps - speed) < 0.1) > 0.7  # all but those in which it bounces
    assert moving.classes[moving.labels[number]] == KINDS[number // 500]


def test_moving_shapes_are_prepared_as_clips(tmp_path: Path) -> None:
    clips = Clips(open_videos("moving", tmp_path), 16)
    assert (len(clips), clips.num_frames, clips.classes) == (1500, 16, KINDS)
    assert np.bincount(clips.labels).tolist() == [500, 500, 500]
    frames = [np.asarray(image) for image in clips.frames(3)]
    assert np.array_equal(frames, [np.asarray(image) for image in Moving().video(3)][:16])
    assert len(Clips(Moving(), 8)) == 4500 and len(Clips(Moving(), 8, 3)) == 1500


@pytest.mark.parametrize("make", [Outlines, Moving])
def test_drawings_are_the_same_every_time(make: type[Outlines] | type[Moving]) -> None:
    assert make().open(3).tobytes() == make().open(3).tobytes() != make().open(4).tobytes()
    assert len({make().key(i) for i in range(100)}) == 100

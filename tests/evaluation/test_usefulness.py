"""What images are worth to a classifier, where it is known: good ones, wrong ones, and many beside few."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from gannet.data.shapes import draw
from gannet.errors import UserError
from gannet.evaluation.classifier import Labelled, classifier, in_turn, predicted, prepared, shifted, trained
from gannet.evaluation.estimate import Estimate
from gannet.evaluation.usefulness import Usefulness, accuracy, interval, usefulness, verdict

CLASSES = ("circle", "square", "triangle")
CPU = torch.device("cpu")


def shapes(num: int, start: int) -> Labelled:
    """Drawn shapes of the three classes in turn, in grey on 16 pixels, which is small enough to be quick."""
    labels = np.arange(num) % 3
    images = np.stack([draw(CLASSES[label], start + i) for i, label in enumerate(labels)])
    grey = images.reshape(num, 16, 2, 16, 2, 3).mean((2, 4, 5))
    return Labelled(grey.round().astype(np.uint8)[:, None], labels)


HELD_OUT = shapes(240, 5000)


def measured(real: Labelled, generated: Labelled, **more: Any) -> Usefulness:
    settings: dict[str, Any] = {"seeds": 3, "steps": 60, **more}
    return usefulness(real, generated, HELD_OUT, CLASSES, **settings)


def test_generated_images_as_good_as_real_ones_are_worth_as_much() -> None:
    result = measured(shapes(300, 0), shapes(300, 1000))
    assert result.real.accuracy.value > 0.8
    assert result.generated.accuracy.value == pytest.approx(result.real.accuracy.value, abs=0.06)
    assert result.verdict != "harm"


def test_wrong_labels_teach_nothing() -> None:
    wrong = shapes(300, 1000)
    wrong = Labelled(wrong.images, np.random.Generator(np.random.Philox(1)).permutation(wrong.labels))
    result = measured(shapes(300, 0), wrong)
    assert result.generated.accuracy.value == pytest.approx(1 / 3, abs=0.12)
    assert result.verdict == "harm"


def test_good_samples_help_where_real_images_are_few() -> None:
    result = measured(shapes(12, 0), shapes(600, 1000))
    assert result.verdict == "help" and result.gain.accuracy.low > 0.05
    assert result.gain.accuracy.value == pytest.approx(result.both.accuracy.value - result.real.accuracy.value)
    assert result.sentence.startswith("The samples help: +")
    assert result.to_dict()["gain"]["balanced"]["low"] == result.gain.balanced.low


def test_the_same_again_is_the_same_and_says_how_far_it_is() -> None:
    said: list[tuple[int, int]] = []
    one = measured(shapes(30, 0), shapes(30, 100), seeds=2, steps=5, progress=lambda *how_far: said.append(how_far))
    torch.manual_seed(7)
    assert measured(shapes(30, 0), shapes(30, 100), seeds=2, steps=5) == one
    assert said == [(i + 1, 30) for i in range(30)]


def test_the_verdict_follows_from_the_interval() -> None:
    assert verdict(Estimate(0.02, 0.01, 0.03)) == "help"
    assert verdict(Estimate(-0.02, -0.03, -0.01)) == "harm"
    assert verdict(Estimate(0, -0.02, 0.009)) == "do not help"
    assert verdict(Estimate(0, -0.02, 0.011)) == "cannot be told"


def test_balanced_accuracy_counts_each_class_alike() -> None:
    """Nine of ten circles and one of two squares."""
    labels = np.repeat([0, 1], [10, 2])
    right = np.array([[1] * 9 + [0] + [1, 0]] * 2, float)
    found = accuracy(right, labels)
    assert found.accuracy.value == pytest.approx(10 / 12) and found.balanced.value == pytest.approx(0.7)


def test_an_interval_of_seeds_alone_by_hand() -> None:
    """Images all alike within a seed, 1000 of them: 0.4, 0.5, 0.9 have the mean 0.6, a deviation of 0.2646, and
    t(0.975, 2) = 4.303; what the rule of three adds is small."""
    right = np.repeat([[0.4], [0.5], [0.9]], 10**6, axis=1)
    found = interval(right, [np.arange(10**6)], -1)
    reach = 4.30265 * 0.26458 / 3**0.5
    assert (found.value, found.low) == pytest.approx((0.6, 0.6 - reach), abs=1e-4) and found.high == 1


def test_an_interval_of_images_alone_by_hand() -> None:
    """Seeds that agree: 30 of 100 images right, sqrt(0.3 * 0.7 / 99) = 0.04606, and t(0.975, 99) = 1.98422."""
    right = np.tile(np.repeat([1.0, 0.0], [30, 70]), (3, 1))
    found = interval(right, [np.arange(100)], 0)
    assert (found.low, found.high) == pytest.approx((0.3 - 1.98422 * 0.04606, 0.3 + 1.98422 * 0.04606), abs=1e-4)


def test_no_error_in_few_images_leaves_room_for_some() -> None:
    found = interval(np.ones((5, 20)), [np.arange(20)], 0)
    assert found.value == found.high == 1 and found.low == pytest.approx(1 - 3 / 20, abs=0.01)


def test_the_true_accuracy_is_in_the_interval_as_often_as_said() -> None:
    """Seeds that are better and worse, images that are easy and hard, and chance: 95% is said."""
    random, inside = np.random.Generator(np.random.Philox(1)), 0
    for _ in range(400):
        ease = random.normal(0.9, 1, 150) + random.normal(0, 0.15, (5, 1))
        right = (ease + random.normal(0, 1, (5, 150)) > 0).astype(float)
        found = interval(right, [np.arange(150)], 0)
        inside += found.low < 0.7341 < found.high  # that of a normal of mean 0.9 and variance 2.0225
    assert 0.93 < inside / 400 < 0.995


@pytest.mark.parametrize("chances", [(0.9, 0.9), (0.9, 0.7), (0.7, 0.4)])
def test_the_true_balanced_accuracy_is_in_the_interval_of_unequal_classes_too(chances: tuple[float, float]) -> None:
    """60 images of one class and 3 of the other, which in many cases are all right: then they seem to be sure."""
    random, inside = np.random.Generator(np.random.Philox(1)), 0
    labels = np.repeat([0, 1], [60, 3])
    for _ in range(200):
        right = np.tile(random.random(63) < np.array(chances)[labels], (5, 1)).astype(float)
        balanced = accuracy(right, labels).balanced
        inside += balanced.low <= np.mean(chances) <= balanced.high
    assert inside / 200 >= 0.9


def test_a_gain_of_two_images_is_none_however_many_others_there_are() -> None:
    """200 images that are as right as before, and both images of the other class, which were wrong."""
    gained = np.repeat([[0.0, 1.0]] * 5, [200, 2], axis=1)
    gain = accuracy(gained, np.repeat([0, 1], [200, 2]), least=-1).balanced
    assert gain.value == 0.5 and gain.low < 0 and verdict(gain) == "cannot be told"


@pytest.mark.parametrize(("channels", "side"), [(1, 8), (3, 28), (4, 64), (3, 100)])
def test_images_of_all_kinds_are_classified(channels: int, side: int) -> None:
    images = np.random.Generator(np.random.Philox(1)).integers(0, 256, (6, channels, side, side), np.uint8)
    network = trained([Labelled(images, np.arange(6) % 5)], 5, 0, 2, True, CPU, lambda: None)
    assert predicted(network, images, CPU).shape == (6,)


def test_the_last_map_has_four_pixels_or_less_whatever_the_size() -> None:
    for side, expected in ((16, 4), (32, 4), (28, 4), (64, 4), (256, 4), (8, 4)):
        network = classifier(1, side, 2)
        features = network[:-3](prepared(np.zeros((2, 1, side, side), np.uint8), CPU))
        assert max(features.shape[2:]) == expected


def test_each_image_has_its_turn() -> None:
    order = in_turn(7, 30, np.random.Generator(np.random.Philox(1)))
    assert len(order) == 30 and np.bincount(order).tolist().count(5) == 2 and set(np.bincount(order)) == {4, 5}
    assert order[:7].tolist() != order[7:14].tolist() and sorted(order[:7]) == list(range(7))


def test_both_sets_have_half_of_each_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    """Three real images, black, and 500 generated ones, white: the mean of what is seen is grey."""
    sets = [
        Labelled(np.full((num, 1, 8, 8), level, np.uint8), np.arange(num) % 2) for num, level in ((3, 0), (500, 255))
    ]
    seen: list[float] = []

    def look(images: np.ndarray, device: torch.device) -> torch.Tensor:
        seen.append(images.mean())
        return prepared(images, device)

    monkeypatch.setattr("gannet.evaluation.classifier.prepared", look)
    trained(sets, 2, 0, 3, False, CPU, lambda: None)
    assert seen == [127.5] * 3


def test_flips_are_left_to_right_and_only_where_asked_for() -> None:
    """Classes that mirror each other: told apart without flips, and not with them."""
    images = np.zeros((64, 1, 8, 8), np.uint8)
    labels = np.arange(64) % 2
    images[labels == 0, :, :, :4] = 255
    images[labels == 1, :, :, 4:] = 255
    right = []
    for flips in (False, True):
        network = trained([Labelled(images, labels)], 2, 0, 20, flips, CPU, lambda: None)
        right.append((predicted(network, images, CPU) == labels).mean())
    assert right == [1, 0.5]


def test_shifts_move_each_image_by_whole_pixels_and_draw_out_its_edges() -> None:
    """In 32 pixels by two at most, up, down, left and right; in 8 by none."""
    image = torch.from_numpy(np.random.Generator(np.random.Philox(1)).random((1, 3, 32, 32)))
    moved = shifted(image.expand(400, -1, -1, -1), np.random.Generator(np.random.Philox(2)))
    around = torch.nn.functional.pad(image, (2, 2, 2, 2), mode="replicate")[0]
    places = [[around[:, y : y + 32, x : x + 32] for x in range(5)] for y in range(5)]
    counts = [sum(torch.equal(place, one) for one in moved) for row in places for place in row]
    assert sum(counts) == 400 and min(counts) > 4
    small = image[..., :8, :8]
    assert torch.equal(shifted(small, np.random.Generator(np.random.Philox(2))), small)


def one_class() -> Usefulness:
    return usefulness(shapes(30, 0), shapes(30, 0), HELD_OUT, CLASSES[:1])


def class_not_held_out() -> Usefulness:
    known = HELD_OUT.labels < 2
    return usefulness(shapes(30, 0), shapes(30, 0), Labelled(HELD_OUT.images[known], HELD_OUT.labels[known]), CLASSES)


def nothing_generated() -> Usefulness:
    return measured(shapes(30, 0), Labelled(HELD_OUT.images[:0], HELD_OUT.labels[:0]))


def one_seed() -> Usefulness:
    return measured(shapes(30, 0), shapes(30, 0), seeds=1)


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (one_class, "is seen by telling classes apart, and here are 1"),
        (class_not_held_out, "class 'triangle' has 0 held-out images, and two are needed"),
        (nothing_generated, "there are no generated images"),
        (one_seed, "1 seed has no spread"),
    ],
)
def test_what_cannot_be_measured_is_one_line(wrong: Callable[[], Usefulness], words: str) -> None:
    with pytest.raises(UserError, match=words):
        wrong()


def test_a_loss_that_is_not_finite_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "gannet.evaluation.classifier.prepared", lambda images, device: torch.full((64, 1, 16, 16), torch.nan)
    )
    with pytest.raises(UserError, match="the classifier's loss came to nan"):
        measured(shapes(30, 0), shapes(30, 0), steps=2)


@pytest.mark.parametrize("channels", [3])
def test_unlike_images_are_refused(channels: int) -> None:
    other = Labelled(np.zeros((30, channels, 16, 16), np.uint8), np.arange(30) % 3)
    with pytest.raises(ValueError, match="images are"):
        measured(shapes(30, 0), other)
    with pytest.raises(ValueError, match="labels 0 to 3, and 3 classes"):
        measured(shapes(30, 0), Labelled(shapes(30, 0).images, np.arange(30) % 4))

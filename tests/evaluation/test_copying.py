"""Copies are caught, and what is no copy is not: on points whose kind is known, on drawn shapes, on real images."""

from typing import Any

import numpy as np
import pytest
import torch
from scipy import stats
from torch import Tensor

from gannet.errors import UserError
from gannet.evaluation.copying import (
    TITLE,
    Copying,
    Pair,
    copying,
    enough,
    mann_whitney,
    nearness,
    picture_of_pairs,
    precedence,
    sides,
)
from gannet.evaluation.neighbours import nearest

DIM = 6


def random(seed: int) -> np.random.Generator:
    return np.random.Generator(np.random.Philox(seed))


def points(num: int, seed: int, spread: float = 1) -> Tensor:
    """Features in which there are as many kinds of images as directions."""
    return torch.from_numpy(random(seed).standard_normal((num, DIM)) * spread).float()


TRAIN, HELD_OUT = points(500, 1), points(200, 2)


def found(samples: Tensor, train: Tensor = TRAIN, held_out: Tensor = HELD_OUT, **more: Any) -> Copying:
    return copying(samples, train, held_out, **{"grouped": False, **more})


@pytest.mark.parametrize("seed", range(5))
def test_ranks_are_those_of_scipy_ties_and_all(seed: int) -> None:
    one, other = random(seed).integers(0, 12, 40), random(seed + 9).integers(1, 14, 25)
    z, p = mann_whitney(one, other)
    expected = stats.mannwhitneyu(one, other, alternative="less", method="asymptotic")
    assert p == pytest.approx(expected.pvalue, rel=1e-10)
    assert stats.norm.cdf(z) == pytest.approx(expected.pvalue, rel=1e-10)


def test_values_all_alike_say_nothing() -> None:
    assert mann_whitney(np.ones(5), np.ones(7)) == (0, 1)


@pytest.mark.parametrize(
    ("below", "kth", "num", "num_other"), [(0, 1, 30, 9), (3, 1, 30, 9), (12, 4, 15, 20), (15, 2, 15, 5)]
)
def test_precedence_is_the_hypergeometric_distributions(below: int, kth: int, num: int, num_other: int) -> None:
    expected = stats.hypergeom.cdf(kth - 1, num + num_other, num_other, below + kth - 1)
    assert precedence(below, kth, num, num_other) == pytest.approx(expected, rel=1e-10)


def test_precedence_by_hand() -> None:
    """Of three values and two others, all three come before the two others in one of ten orders; before the second of
    these all three come in four of ten."""
    assert precedence(3, 1, 3, 2) == pytest.approx(1 / 10)
    assert precedence(3, 2, 3, 2) == pytest.approx(4 / 10)


def test_with_a_threshold_of_few_held_out_images_no_more_false_alarms_than_allowed() -> None:
    """2,000 samples as good as 200 held-out images: a binomial test is wrong in more than a fifth of the cases."""
    exact = binomial = 0
    for seed in range(300):
        near, reference = random(seed).random(2000), np.sort(random(1000 + seed).random(200))
        below = int((near < reference[1]).sum())
        exact += precedence(below, 2, 2000, 200) < 0.05
        binomial += stats.binomtest(below, 2000, 0.01, alternative="greater").pvalue < 0.05
    assert exact <= 25 and binomial > 60


def test_nearness_by_hand() -> None:
    """At 1, with training images at 0, 3 and 9: 1 over 2; a copy of 9; and near 3.1, which 3 is a near-duplicate of."""
    train = torch.tensor([[3.0], [0.0], [9.0], [3.1]])
    found = nearest(torch.tensor([[1.0], [9.0], [3.2]]), train, 4)
    assert nearness(*found, train, 0.2).tolist() == pytest.approx([1 / 2, 0, 0.1 / 3.2], abs=1e-6)
    assert nearness(*found, train, 0.01).tolist() == pytest.approx([1 / 2, 0, 0.1 / 0.2], abs=1e-6)


@pytest.mark.parametrize("num_held_out", [5, 12])
def test_sides_of_samples_with_a_real_image_each_are_hypergeometric(num_held_out: int) -> None:
    """18 samples near to 18 of 40 training images and of those held out, two of these."""
    nearest_real = np.append(np.arange(16), [40, 41])
    expected = stats.hypergeom.cdf(2, 40 + num_held_out, num_held_out, 18)
    assert sides(nearest_real, 40, num_held_out) == pytest.approx(expected, abs=0.015)


def test_many_samples_near_to_one_image_are_one_hit() -> None:
    """That image is a training image in 9 of 10 cases."""
    assert sides(np.zeros(1000, int), 90, 10) == pytest.approx(0.9, abs=0.01)
    assert sides(np.arange(60), 90, 10) < 0.01
    assert sides(np.zeros(0, int), 90, 10) == 1


def test_what_is_as_good_as_held_out_images_is_no_copy() -> None:
    """20 sets: at p < 0.05 one in twenty is expected, at the verdict's p < 0.01 one in a hundred."""
    results = [found(points(400, 100 + 3 * i), points(500, 101 + 3 * i), points(200, 102 + 3 * i)) for i in range(20)]
    assert sum(result.p < 0.05 for result in results) <= 3
    assert sum(result.verdict != "no sign" for result in results) <= 1


@pytest.mark.parametrize("noise", [0, 0.05, 0.2])
def test_copies_are_caught_with_noise_too(noise: float) -> None:
    result = found(TRAIN[:300] + noise * points(300, 3))
    assert result.verdict == "copies" and result.p < 0.001 and result.z < -5
    assert result.sentence.startswith("G copies training images: ")


def test_poor_copies_are_caught_that_are_no_nearer_than_held_out_images() -> None:
    """Each training image, far away in a direction that none has: distances say the opposite."""
    apart = torch.tensor([[5.0]])
    train, held_out = (torch.nn.functional.pad(some, (0, 1)) for some in (TRAIN, HELD_OUT))
    samples = torch.cat([TRAIN[:300] + 0.2 * points(300, 3), apart.expand(300, 1)], dim=1)
    result = found(samples, train, held_out)
    assert result.verdict == "copies" and result.z > 5 and result.near == 0
    assert result.nearest_held_out < result.expected_held_out / 3


def test_copies_now_and_then_are_caught() -> None:
    """A tenth of the samples; and a tenth among bad ones, behind which they hide from the ranks."""
    copies = TRAIN[:40] + 0.05 * points(40, 3)
    assert found(torch.cat([points(360, 4), copies])).verdict == "copies"
    hidden = found(torch.cat([points(360, 4, spread=3), copies]))
    assert hidden.verdict == "copies" and hidden.p_ranks > 0.5 and hidden.near >= 35 and hidden.p_near < 0.001


@pytest.mark.parametrize("spread", [0.0, 0.3, 3.0])
def test_bad_samples_are_no_copies(spread: float) -> None:
    """All alike, all near the middle, where everything is near, and far outside."""
    assert found(points(400, 5, spread)).verdict != "copies"


def test_one_mode_alone_is_no_copy() -> None:
    """Where images lie denser, samples are nearer to training images than held-out images of all kinds are."""
    far = torch.tensor([100.0] * DIM)
    train, held_out = (torch.cat([0.1 * points(n, s), far + points(n, s + 1)]) for n, s in ((250, 10), (100, 12)))
    result = found(0.1 * points(300, 14), train, held_out)
    assert result.verdict == "no sign" and result.p_ranks < 1e-6


def test_copies_of_an_image_that_the_data_hold_three_times_are_caught() -> None:
    train = torch.cat([TRAIN, TRAIN[:50], TRAIN[:50]])
    assert found(TRAIN[:50] + 0.01 * points(50, 3), train).verdict == "copies"


def test_pairs_name_what_was_copied() -> None:
    samples = torch.cat([points(300, 4), TRAIN[[7, 450]], TRAIN[[33]] + 0.1])
    result = found(samples, num_pairs=3)
    assert [(pair.sample, pair.training) for pair in result.pairs] == [(300, 7), (301, 450), (302, 33)]
    assert [pair.distance for pair in result.pairs] == pytest.approx([0, 0, 0.1 * DIM**0.5], rel=1e-5)
    assert [pair.held_out for pair in result.pairs] == [0, 0, 1 / 200]


def test_held_out_share_of_a_pair_is_that_of_held_out_images_as_near() -> None:
    """Samples that are the held-out images themselves: their shares are 1, 2, ... 200 of 200, near-duplicates aside."""
    result = found(HELD_OUT, num_pairs=200)
    shares = [pair.held_out for pair in result.pairs]
    assert shares == sorted(shares) and len(shares) == result.num_samples > 190
    assert set(shares) <= {(i + 1) / 200 for i in range(200)}


def test_a_collapsed_generator_shows_and_is_no_copy() -> None:
    """400 samples of five images: five are tested, which says nothing."""
    samples = points(5, 6).repeat(80, 1) + 0.001 * points(400, 7)
    result = found(samples)
    assert result.num_samples == 5 and result.verdict == "too few"
    assert (result.repeated, result.compared, result.largest_group) == (395, 400, 80)
    assert result.repeated_real < 5
    assert result.repetition == (
        f"395 of 400 samples are near-duplicates of an earlier one, as are {result.repeated_real} of as many training "
        "images; the largest group has 80."
    )
    assert result.sentence.startswith("Too few images to say whether G copies: 5 different samples.")


def test_a_generator_that_makes_training_images_again_and_again_copies() -> None:
    result = found(TRAIN[:50].repeat(8, 1))
    assert result.verdict == "copies" and result.num_samples == 50 and result.largest_group == 8


def test_more_samples_than_training_images_are_compared_with_as_many() -> None:
    result = found(points(700, 8))
    assert result.compared == 500 and result.repeated < 25 and result.repeated_real < 25


def test_groups_of_repetitions_are_counted_among_the_samples_that_were_looked_through() -> None:
    result = found(points(1, 8).repeat(700, 1))
    assert (result.compared, result.repeated, result.largest_group) == (500, 499, 500)


def test_too_few_held_out_images_are_said_to_be() -> None:
    result = found(points(400, 4), held_out=HELD_OUT[:20])
    assert result.verdict == "too few" and 20 < result.needed < 100
    assert result.sentence.startswith(
        f"Too few images to say whether G copies: 20 are held out, and {result.needed} are needed with "
        f"{result.num_samples} different samples."
    )
    assert found(points(400, 4), held_out=HELD_OUT[: result.needed]).verdict == "no sign"
    assert found(TRAIN[:300], held_out=HELD_OUT[:20]).verdict == "copies"  # which they do show


@pytest.mark.parametrize(("num", "num_train"), [(400, 500), (2000, 3000)])
def test_as_many_as_are_needed_show_it_where_a_tenth_are_copies(num: int, num_train: int) -> None:
    """One held-out image less, and one test or the other does not."""
    needed, copies = enough(num, num_train), num // 10
    shown = [
        2 * precedence(copies, 1, num, m) < 0.01 and 2 * (num_train / (num_train + m)) ** copies < 0.01
        for m in (needed - 1, needed)
    ]
    assert shown == [False, True] and enough(5, num_train) == 0


def test_a_split_that_parts_what_belongs_together_is_said() -> None:
    words = "Related images may straddle the split"
    assert words in found(points(400, 4)).sentence
    assert words not in found(points(400, 4), grouped=True).sentence


@pytest.mark.parametrize("share", [0.1, 0.2])
@pytest.mark.parametrize("num_duplicates", [0, 2, 10])
def test_held_out_images_that_are_training_images_hide_no_copies(share: float, num_duplicates: int) -> None:
    train = points(900, 20)
    held_out = torch.cat([points(100 - num_duplicates, 21), train[:num_duplicates]])
    copied = int(share * 1000)
    result = found(torch.cat([points(1000 - copied, 22), train[300 : 300 + copied]]), train, held_out)
    assert result.verdict == "copies" and result.num_duplicates == num_duplicates
    words = f"{num_duplicates} of 100 held-out images are near-duplicates of training images"
    assert (words in result.sentence) == (num_duplicates > 0)


def test_held_out_images_that_are_training_images_accuse_nobody() -> None:
    for seed in range(30, 50, 4):
        train = points(900, seed)
        held_out = torch.cat([points(98, seed + 1), train[:2]])
        assert found(points(1000, seed + 2), train, held_out).verdict == "no sign"


def test_without_any_other_held_out_image_it_is_not_told() -> None:
    result = found(points(400, 4), held_out=TRAIN[:150])
    assert result.verdict == "too few" and result.num_duplicates == 150
    assert "0 are held out that are no near-duplicates of training images, and " in result.sentence


def of_groups(centres: Tensor, each: int, seed: int) -> Tensor:
    """`each` images of each group, which are nearer to each other than to those of other groups."""
    return centres.repeat_interleave(each, 0) + points(len(centres) * each, seed, 0.2)


@pytest.mark.parametrize("seed", range(200, 280, 10))
def test_new_images_of_the_groups_trained_on_are_not_called_copies(seed: int) -> None:
    groups = points(50, seed)
    train, held_out = of_groups(groups[:40], 15, seed + 1), of_groups(groups[40:], 15, seed + 2)
    honest = found(of_groups(groups[:40], 10, seed + 3), train, held_out, grouped=True)
    assert honest.verdict == "copies or groups" and honest.replayed == 0
    assert honest.sentence.startswith("G copies, or keeps to the groups that it was trained on: look at the pairs")
    assert found(of_groups(groups[:1], 400, seed + 4), train, held_out, grouped=True).verdict != "copies"
    replayed = torch.cat([of_groups(groups[:40], 8, seed + 3), train[::8]])
    assert found(replayed, train, held_out, grouped=True).verdict == "copies"


def along(starts: Tensor, each: int, seed: int) -> Tensor:
    """`each` images of each group at random places on a line, as the frames of a film are."""
    way = torch.from_numpy(random(seed).random((len(starts), each, 1))).float()
    return (starts[:, None] + way * torch.nn.functional.normalize(starts)[:, None]).flatten(0, 1)


@pytest.mark.parametrize("num_groups", [1, 40])
def test_new_frames_between_those_trained_on_are_not_called_copies(num_groups: int) -> None:
    starts = points(50, 300)
    train, held_out = along(starts[:40], 15, 301), along(starts[40:], 15, 302)
    samples = along(starts[:num_groups], 400 // num_groups, 303)
    assert found(samples, train, held_out, grouped=True).verdict != "copies"


def test_training_images_that_nobody_looked_at_are_said() -> None:
    words = "looked at 500 of 70,000 training images"
    for samples, held_out, verdict in (
        (points(400, 4), HELD_OUT, "no sign"),
        (TRAIN[:300], HELD_OUT, "copies"),
        (points(400, 4), HELD_OUT[:20], "too few"),
    ):
        result = found(samples, held_out=held_out, num_trained_on=70_000)
        assert result.verdict == verdict and words in result.sentence
        assert "looked at" not in found(samples, held_out=held_out).sentence
    assert found(points(400, 4), num_trained_on=70_000).sentence.startswith(f"No sign of copying ({words}): ")


def test_everything_goes_into_json() -> None:
    result = found(points(300, 4), num_pairs=2).to_dict()
    assert result["verdict"] == "no sign" and result["sentence"].startswith("No sign of copying: ")
    assert [set(pair) for pair in result["pairs"]] == [{"sample", "training", "distance", "nearness", "held_out"}] * 2


def test_without_held_out_images_one_line_says_what_to_do() -> None:
    with pytest.raises(UserError, match=r"train with --data\.held-out 0\.1"):
        found(TRAIN, held_out=TRAIN[:0])


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_pairs_are_pictures_side_by_side(channels: int) -> None:
    """10, 20, 30 beside training images of 110, 120, 130: two pairs in the first column, one in the next."""
    samples, train = (np.full((40, channels, 256, 256), 255, np.uint8) for _ in range(2))
    for i in (10, 20, 30):
        samples[i, :3], train[i, :3] = i, 100 + i
    pairs = [Pair(i, i, 0, 0, 0) for i in (10, 20, 30)]
    picture = np.asarray(picture_of_pairs(samples, train, pairs).convert("L"))
    at = [(130, 130), (130, 390), (390, 130), (390, 390), (130, 666), (130, 920)]
    assert [int(picture[TITLE + y, x]) for y, x in at] == [10, 110, 20, 120, 30, 130]
    assert picture_of_pairs(samples, train, pairs[:1]).size == (518, TITLE + 260)

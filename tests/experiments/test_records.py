"""Which runs belong together, what differs between them, and what their lines say."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from gannet.errors import UserError
from gannet.experiments.records import (
    Measured,
    at_the_same_moments,
    differences,
    find_runs,
    grouped,
    read_run,
    said,
)
from gannet.training.pictures import read_stats

Make = Callable[..., Path]
WIDER = {"D.width": 128}


def test_a_run_that_ends_when_it_is_measured_came_so_far(by_hand: Make) -> None:
    run = by_hand("run", kid={1.0: 2.0, 4.0: 1.0})
    lines = (run / "stats.jsonl").read_bytes().splitlines(keepends=True)
    (run / "stats.jsonl").write_bytes(b"".join(line for line in lines if b'"stats", "kimg": 4.0' not in line))
    assert (read_run(run).kimg, read_run(run).state) == (4.0, "finished")


def test_runs_that_differ_in_their_seed_alone_are_one_group(by_hand: Make) -> None:
    runs = [by_hand(f"plain/seed{seed}", seed) for seed in (10, 2)]
    runs += [by_hand("wide", 2, settings=WIDER), by_hand("wide-seed1", 1, settings=WIDER)]
    plain, wide = grouped([read_run(run) for run in runs])
    assert plain.seeds == [2, 10] and wide.seeds == [1, 2]
    assert (plain.label, wide.label) == ("D.width 32", "D.width 128")
    assert differences([plain.records[0].settings, wide.records[0].settings]) == {"D.width": [32, 128]}


@pytest.mark.parametrize(
    ("settings", "facts"),
    [
        ({"samples.when": "every 1 kimg"}, {}),
        ({"train.device": "cuda"}, {}),
        ({"train.evaluate_every": 1.0, "train.evaluate_num": 500}, {}),
        ({"data.source": "../elsewhere/images"}, {}),
        ({"stats.every": 5}, {"threads": 2}),
    ],
)
def test_what_does_not_change_the_training_does_not_part_runs(by_hand: Make, settings: dict, facts: dict) -> None:
    runs = [by_hand("one", 0), by_hand("other", 1, settings=settings, facts=facts)]
    (group,) = grouped([read_run(run) for run in runs])
    assert group.label == "one"


def test_other_images_are_another_group(by_hand: Make) -> None:
    runs = [by_hand("one", 0), by_hand("other", 0, facts={"data_fingerprint": "abcdef0123"})]
    groups = grouped([read_run(run) for run in runs])
    assert [group.label for group in groups] == ["images 01234567", "images abcdef01"]


def test_much_that_differs_is_named_by_the_folder(by_hand: Make) -> None:
    other = {"D.width": 16, "G.width": 16, "train.batch": 16}
    runs = [
        by_hand("a/seed0"),
        by_hand("a-seed0", settings=other),
        by_hand("b", settings={**other, **WIDER}),
    ]
    assert [group.label for group in grouped([read_run(run) for run in runs])] == ["a", "a (2)", "b"]


def test_the_same_run_twice_is_refused(by_hand: Make) -> None:
    runs = [read_run(by_hand("one", 3)), read_run(by_hand("again", 3))]
    with pytest.raises(UserError, match=r"one and .*again have the same settings and the same seed, 3"):
        grouped(runs)


def test_of_another_part_only_what_both_have_is_told() -> None:
    first = {"D.name": "dcgan", "D.width": 64, "D.norm": "batch", "objective.real_label": 1.0}
    second = {
        "D.name": "resnet",
        "D.width": 32,
        "D.pool": "sum",
        "objective.real_label": 1.0,
        "penalties.r1.gamma": 1.0,
    }
    assert differences([first, second]) == {
        "D.name": ["dcgan", "resnet"],
        "D.width": [64, 32],
        "penalties.r1.gamma": [None, 1.0],
    }
    assert differences([first, first]) == {}


def test_values_are_said_as_a_person_writes_them() -> None:
    assert [said(v) for v in (2e-4, 64, True, [16, 32], [], None, "hinge")] == [
        *("0.0002", "64", "on", "16 32", "none", "none", "hinge")
    ]


def test_a_folder_counts_as_its_runs(by_hand: Make, tmp_path: Path) -> None:
    runs = [by_hand("swept/trial000/seed0"), by_hand("swept/trial000/seed1", 1), by_hand("swept/trial001/seed0")]
    alone = by_hand("alone")
    by_hand("alone/best")  # what lies in a run is not looked at
    assert find_runs([tmp_path / "runs" / "swept", alone]) == [*runs, alone]
    assert find_runs([tmp_path / "runs" / "swept" / "trial000"]) == runs[:2]
    assert find_runs([alone, alone]) == [alone]


def test_no_run_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"there is no run at .*nowhere, nor in it"):
        find_runs([tmp_path / "nowhere"])
    with pytest.raises(UserError, match="there is no run at"):
        read_run(tmp_path)


def test_a_recipe_that_cannot_be_read_names_its_run(by_hand: Make) -> None:
    run = by_hand("one")
    (run / "recipe.toml").write_text("seed =", "utf-8")
    with pytest.raises(UserError, match=r"one: recipe\.toml is not TOML"):
        read_run(run)


def test_the_best_and_the_first_that_is_good_enough(by_hand: Make) -> None:
    kid = {1.0: 0.5, 2.0: 0.2, 3.0: None, 4.0: 0.3}
    lower = read_run(by_hand("lower", kid=kid)).metrics["KID"]
    assert (lower.values.tolist(), lower.best) == ([0.5, 0.2, 0.3], 1)
    assert [lower.reached(quality) for quality in (0.6, 0.3, 0.1)] == [1.0, 2.0, None]
    higher = read_run(by_hand("higher", kid=kid, better="higher")).metrics["KID"]
    assert higher.best == 0
    assert [higher.reached(quality) for quality in (0.6, 0.3, 0.1)] == [None, 1.0, 1.0]


def test_seconds_are_those_of_the_moment(by_hand: Make) -> None:
    record = read_run(by_hand("one"))
    assert (record.kimg, record.seconds, record.seconds_at(1.25)) == (4.0, 40.0, 12.5)


def test_seconds_are_those_of_training_alone(by_hand: Make) -> None:
    """Each of the eight lines comes after 15 seconds more that went into measuring."""
    path = by_hand("a")
    lines = [json.loads(line) for line in (path / "stats.jsonl").read_text("utf-8").splitlines()]
    for i, line in enumerate(lines, 1):
        line |= {"seconds": line["seconds"] + 15 * i, "evaluation seconds": 15 * i}
    (path / "stats.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines), "utf-8")
    record = read_run(path)
    assert (record.seconds, record.seconds_at(1.25), record.evaluation_seconds) == (40.0, 12.5, 120.0)


def test_a_run_that_has_just_begun_has_no_curves(by_hand: Make) -> None:
    run = by_hand("one")
    (run / "stats.jsonl").unlink()
    record = read_run(run)
    assert (record.kimg, record.seconds, record.seconds_at(1.0), record.metrics) == (0.0, 0.0, 0.0, {})


def test_the_mean_is_over_moments_that_all_runs_have(by_hand: Make) -> None:
    runs = [by_hand("a", 0, kid={1.0: 4.0, 2.0: 2.0, 3.0: 1.0}), by_hand("b", 1, kid={1.0: 6.0, 3.0: 3.0})]
    (group,) = grouped([read_run(run) for run in runs])
    kimg, values = group.curve("KID")
    assert kimg.tolist() == [1.0, 3.0] and values.tolist() == [[4.0, 1.0], [6.0, 3.0]]


def test_runs_without_a_common_moment_have_no_mean(by_hand: Make) -> None:
    runs = [by_hand("a", 0, kid={1.0: 4.0, 2.0: 2.0}), by_hand("b", 1, kid={1.5: 6.0})]
    (group,) = grouped([read_run(run) for run in runs])
    kimg, values = group.curve("KID")
    assert kimg.shape == (0,) and values.shape == (2, 0)


def test_batches_of_another_size_come_to_the_same_moments(by_hand: Make) -> None:
    kid = [{0.5: 4.0, 1.0: 3.0, 1.5: 2.0}, {0.5: 9.0, 1.0: 8.0, 1.5: 7.0, 2.0: 6.0}]
    a, b = (read_run(by_hand(str(i), i, kid=each)).metrics["KID"] for i, each in enumerate(kid))
    b = Measured(b.kimg + np.array([0.012, 0.0, 0.1, 0.2]), b.scores)
    found = at_the_same_moments([a, b])
    assert [each.values.tolist() for each in found] == [[4.0, 3.0, 2.0], [9.0, 8.0, 7.0]]
    late = Measured(b.kimg + np.array([0.0, 0.2, 0.0, 0.0]), b.scores)
    assert [each.values.tolist() for each in at_the_same_moments([a, late])] == [[4.0, 2.0], [9.0, 7.0]]


def test_what_a_return_took_back_does_not_count(by_hand: Make) -> None:
    """A run of 4 kimg, 10 seconds each, went back to 2 kimg: what it was like after that, the second time counts."""
    path = by_hand("again", kid={1.0: 5.0, 3.0: 1.0, 4.0: 9.0})
    lines: list[dict] = [{"type": "event", "event": "autopilot", "change": "lower rates", "kimg": 2.0}]
    for i in range(5, 9):
        kimg = i / 2
        lines.append({"type": "stats", "kimg": kimg, "seconds": 10 * kimg + 20, "loss D": 2.0})
    lines.append(
        {
            **next(line for line in read_stats(path / "stats.jsonl") if line["type"] == "metric"),
            "kimg": 4.0,
            "value": 2.0,
        }
    )
    with (path / "stats.jsonl").open("a", encoding="utf-8") as file:
        file.write("".join(json.dumps(line) + "\n" for line in lines))
    record = read_run(path)
    kid = record.metrics["KID"]
    assert (kid.kimg.tolist(), kid.values.tolist()) == ([1.0, 4.0], [5.0, 2.0])
    assert (kid.reached(1.5), kid.reached(3.0)) == (None, 4.0)
    assert [record.seconds_at(kimg) for kimg in (1.5, 2.0, 2.25, 3.0, 4.0)] == [15.0, 20.0, 32.5, 50.0, 60.0]
    assert [line["kimg"] for line in record.stats] == [i / 2 for i in range(1, 9)]

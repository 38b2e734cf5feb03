"""What `gannet evaluate` says of generators of noise and of folders, with faults put in on purpose."""

import json
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from measured import SIDE, Counting, a_run, evaluate, generator, noise, save, values
from PIL import Image
from pixels import Pixels
from runs import untrained
from torch import Tensor

from gannet import __version__, evaluating
from gannet.cli import main
from gannet.config import Data
from gannet.data.dataset import opened, prepare
from gannet.data.entries import entries, remove
from gannet.errors import UserError
from gannet.evaluating import beyond, generated, measures, reals, sides
from gannet.evaluating.judge import Judge, resized, too_few
from gannet.evaluating.reals import look
from gannet.evaluation.estimate import places
from gannet.evaluation.frechet import Gaussian, frechet_distance
from gannet.evaluation.kid import kid
from gannet.evaluation.protocol import Score
from gannet.evaluation.usefulness import usefulness


@pytest.fixture
def eyes(monkeypatch: pytest.MonkeyPatch, cache: Path) -> Counting:
    """The extractor of a command, and few images in place of many."""
    extract = Counting()
    monkeypatch.setattr(evaluating, "open_extractor", lambda *asked: extract)
    monkeypatch.setattr(generated, "FEWEST", 24)
    return extract


def test_a_folder_against_itself_is_perfect_and_against_another_is_not(tmp_path: Path, eyes: Counting) -> None:
    one, same = (save(tmp_path / name, noise(1, 24)) for name in ("one", "same"))
    other = save(tmp_path / "other", noise(2, 30, dark=4))
    alike, apart = values(evaluate(one, same, force=True)), values(evaluate(one, other, force=True))
    assert list(alike) == ["Frechet distance (pixels)", "KID (pixels)", "precision", "recall", "density", "coverage"]
    assert alike["Frechet distance (pixels)"] == pytest.approx(0, abs=1e-6) and alike["KID (pixels)"] < 0
    assert [alike[name] for name in ("precision", "recall", "coverage")] == [1, 1, 1]
    assert apart["Frechet distance (pixels)"] > 1000 and apart["KID (pixels)"] > 1
    assert [apart[name] for name in ("precision", "recall", "density", "coverage")] == [0, 0, 0, 0]


def test_every_number_says_how_it_was_had(tmp_path: Path, eyes: Counting) -> None:
    one, other = save(tmp_path / "one", noise(1, 24)), save(tmp_path / "other", noise(2, 30))
    score = evaluate(one, other, metrics=["kid"]).scores[0]
    pixels = sides.of_folders(str(one), str(other), None, evaluating.Ranks()).real.pixels
    assert {**score.protocol} == {
        **Pixels().protocol,
        "size": "16x16",
        "reals": "given",
        "data": pixels[:16],
        "real images": 30,
        "generated images": 24,
        "subsets": "100 of 24",
        "gannet": __version__,
        "torch": torch.__version__,
    }
    assert score.low <= score.value <= score.high and score.better == "lower"


def test_the_numbers_are_those_of_the_metrics_themselves(tmp_path: Path, eyes: Counting) -> None:
    real, fake = noise(1, 80), noise(2, 70, dark=2)
    found = evaluate(
        save(tmp_path / "fake", fake), save(tmp_path / "real", real), metrics=["frechet", "kid"], force=True
    )
    one, other = Pixels()(real), Pixels()(fake)
    assert values(found)["Frechet distance (pixels)"] == pytest.approx(
        frechet_distance(Gaussian.of(one), Gaussian.of(other)), rel=1e-6
    )
    assert values(found)["KID (pixels)"] == pytest.approx(kid(one, other).value, rel=1e-6)


def test_a_frechet_distance_of_few_images_is_printed_by_force_alone(tmp_path: Path, eyes: Counting) -> None:
    one, other = save(tmp_path / "one", noise(1, 24)), save(tmp_path / "other", noise(2, 30))
    found = evaluate(one, other, metrics=["frechet"])
    assert list(values(found)) == ["KID (pixels)"]
    assert "No FID" in found.notes[0] and "24 generated and 30 real" in found.notes[0] and "--force" in found.notes[0]
    forced = evaluate(one, other, metrics=["frechet"], force=True)
    assert list(values(forced)) == ["Frechet distance (pixels)"] and "far too large" in forced.notes[0]
    assert not too_few(2048, 2048) and too_few(2047, 2048) and too_few(2048, 2047)
    with pytest.raises(UserError, match="take the metric kid"):
        Judge(sides.of_folders(str(one), str(other), None, evaluating.Ranks()).real, eyes, 24, ["frechet"])


class Blind(Counting):
    """Gives the same features whatever it sees."""

    def forward(self, x: Tensor) -> tuple[Tensor, None]:
        return super().forward(torch.zeros_like(x))


def test_an_extractor_that_sees_nothing_gives_no_number(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(evaluating, "open_extractor", lambda *asked: Blind())
    one, other = save(tmp_path / "one", noise(1, 24)), save(tmp_path / "other", noise(2, 30))
    with pytest.raises(UserError, match="pixels gives the same features of every image"):
        evaluate(one, other)


def test_memory_does_not_grow_where_fid_alone_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reals, "SOME", 20)
    images = noise(1, 130)
    seen = look(lambda start, stop: images[start:stop], 130, Pixels())
    assert len(seen.features) == 20 and seen.num == 130 and not seen.is_whole
    whole = Pixels()(images)
    torch.testing.assert_close(seen.features, whole[places(130, 20)])
    torch.testing.assert_close(seen.gaussian.mean, whole.double().mean(0))
    torch.testing.assert_close(seen.gaussian.covariance, whole.double().T.cov())


def test_reals_are_looked_at_once_and_go_with_the_decoded_images(tmp_path: Path, eyes: Counting, cache: Path) -> None:
    one, other = save(tmp_path / "one", noise(1, 24)), save(tmp_path / "other", noise(2, 30))
    first = evaluate(one, other)
    assert eyes.num == 54
    assert values(evaluate(one, other)) == values(first) and eyes.num == 78
    assert len(list(cache.glob("images/*/features-*"))) == 1
    remove(entries(cache / "images"))
    assert not list(cache.glob("images/*"))


@pytest.mark.parametrize("private", [False, True])
def test_a_run_is_measured_against_what_it_was_trained_on(
    private: bool, tmp_path: Path, eyes: Counting, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    images = save(tmp_path / "images", noise(1, 40))
    run, dataset = a_run(tmp_path, images, private=private)
    monkeypatch.setattr(sides, "load", lambda path, device: generator(dataset.images))
    found = evaluate(run, data=images)
    assert found.scores[0].metric == "KID (pixels)" and found.copying is None
    said = "50 generated images stand against 40 real ones: there are no more of these."
    assert said not in found.notes and said in evaluate(run, data=images, num=50).notes
    how = found.scores[0].protocol
    facts = [how[name] for name in ("reals", "real images", "generated images", "seed", "truncation", "data")]
    assert facts == ["trained on", 40, 40, 0, "none", dataset.pixels[:16]]
    assert len(list(cache.glob("images/*/features-*"))) == 1 - private


def test_a_run_that_replays_its_images_is_caught_and_one_that_does_not_is_not(
    tmp_path: Path, eyes: Counting, monkeypatch: pytest.MonkeyPatch
) -> None:
    images = save(tmp_path / "images", noise(1, 240))
    run, dataset = a_run(tmp_path, images, held_out=0.5)
    for made, verdict in ((dataset.images, "copies"), (noise(2, 60), "others")):
        monkeypatch.setattr(sides, "load", lambda path, device, made=made: generator(made))
        found = evaluate(run, num=60, metrics=["kid"], out=tmp_path / verdict)
        assert found.copying is not None and (found.copying.verdict == "copies") == (verdict == "copies")
        assert "Related images may straddle the split" in found.copying.sentence
        page, told = (
            (tmp_path / verdict / "report.md").read_text(),
            json.loads((tmp_path / verdict / "report.json").read_text()),
        )
        assert found.copying.sentence in page and told["copying"]["verdict"] == found.copying.verdict
        with Image.open(tmp_path / verdict / "pairs.png") as picture:
            assert picture.width > 2 * SIDE
    against = evaluate(run, num=60, metrics=["kid"], reals="held-out").scores[0]
    assert against.protocol["reals"] == "held out" and against.protocol["real images"] == len(dataset.held_out)


def test_the_pairs_are_the_sample_and_the_image_that_it_copies(
    tmp_path: Path, eyes: Counting, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, dataset = a_run(tmp_path, save(tmp_path / "images", noise(1, 100)), held_out=0.3)
    monkeypatch.setattr(sides, "load", lambda path, device: generator(np.roll(dataset.images, 5, axis=0)))
    found = evaluate(run, num=40, metrics=["kid"])
    assert found.copying is not None
    assert all(pair.training == (pair.sample - 5) % len(dataset.images) for pair in found.copying.pairs)
    assert len({pair.training for pair in found.copying.pairs}) == len(found.copying.pairs)


def test_classes_are_measured_by_themselves(tmp_path: Path, eyes: Counting, monkeypatch: pytest.MonkeyPatch) -> None:
    images = noise(1, 40)
    images[1::2] //= 4
    one = save(tmp_path / "one", images, ("bright", "dark"))
    images[1::2] = noise(2, 20)
    other = save(tmp_path / "other", images, ("bright", "dark"))
    found = evaluate(other, one, metrics=["kid"])
    assert found.classes is not None and found.classes.names == ("bright", "dark")
    bright, dark = found.classes.found
    assert (bright.num_real, bright.num_fake, dark.num_real) == (20, 20, 20)
    assert bright.distance.value < 0 < 1 < dark.distance.value and dark.diversity_fake > dark.diversity_real
    mean = found.scores[-1]
    assert mean.metric == "KID (pixels), mean of the classes"
    assert mean.value == pytest.approx((bright.distance.value + dark.distance.value) / 2)
    assert mean.protocol["classes"] == 2


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        ({"num": 31}, "has 30 images, and --num asks for 31"),
        ({"metrics": ["fod"]}, "there is no metric 'fod': choose from frechet, kid, .* ppl, fid, fd-dinov2"),
        (
            {"metrics": ["FID"]},
            "FID is the Frechet distance with --extractor inception alone: with pixels ask for f",
        ),
        ({"metrics": ["fd-dinov2"]}, "FD-DINOv2 is the Frechet distance with --extractor dinov2 alone"),
        ({"metrics": ["fd-dinov2", "frechet"]}, "FD-DINOv2 is the Frechet distance with --extractor dinov2 alone"),
        ({"metrics": ["is"]}, "take --extractor inception"),
        ({"metrics": ["ppl"]}, "the path length in w, which .* has not"),
        ({"useful": True}, "images that the run has held out"),
        ({"truncation": 0.0}, "is a folder of images: leave --truncation out"),
        ({"reals": "held-out"}, "the real images are those in DATA: leave --reals out"),
        ({"data": "there"}, "the real images are those in DATA: leave --data out"),
        ({"resolution": 0}, "--resolution is 0, and must be at least 1"),
    ],
)
def test_what_cannot_be_is_said_in_one_line(asked: dict[str, Any], says: str, tmp_path: Path, eyes: Counting) -> None:
    one, other = save(tmp_path / "one", noise(1, 30)), save(tmp_path / "other", noise(2, 30))
    with pytest.raises(UserError, match=says) as error:
        evaluate(one, other, **asked)
    assert "\n" not in str(error.value)


def test_mixed_sizes_are_no_silent_number(tmp_path: Path, eyes: Counting) -> None:
    one, other = save(tmp_path / "one", noise(1, 10)), save(tmp_path / "other", noise(2, 10, side=24))
    with pytest.raises(UserError, match=r"those in .*one are 16x16 and those in .*other are 24x24.*--resolution"):
        evaluate(one, other)
    assert evaluate(one, other, resolution=20).scores[0].protocol["size"] == "20x20"
    save(tmp_path / "one" / "more", noise(3, 2, side=20))
    with pytest.raises(UserError, match=r"those in .*one are 16x16 to 20x20"):
        evaluate(one, tmp_path / "one")


def test_a_damaged_file_is_no_silent_number(tmp_path: Path, eyes: Counting) -> None:
    one, other = save(tmp_path / "one", noise(1, 10)), save(tmp_path / "other", noise(2, 10))
    whole = (one / "004.png").read_bytes()
    (one / "004.png").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(UserError, match=r"1 of the 10 images in .*one cannot be read, such as 004.png \("):
        evaluate(one, other)
    with pytest.raises(UserError, match=r"1 of the 10 images in .*one cannot be read, such as 004.png \("):
        evaluate(other, one)


def test_nothing_to_measure_is_said(tmp_path: Path, eyes: Counting, capsys: pytest.CaptureFixture[str]) -> None:
    one, empty = save(tmp_path / "one", noise(1, 10)), tmp_path / "empty"
    empty.mkdir()
    for words, says in (
        ([one, empty], "there are no images in"),
        ([empty, one], "there are no images in"),
        ([one], "is no run: say against which images"),
        ([tmp_path / "none"], "there is no run at"),
        ([tmp_path / "none", one], "there is no folder, zip or data set"),
        ([one, one, "--out", one / "000.png"], "is a file: name a folder with --out"),
    ):
        assert main(["evaluate", *map(str, words)]) == 2
        told = capsys.readouterr()
        assert says in told.err and told.err.count("\n") == 1 and not told.out


def test_nan_of_an_extractor_of_ones_own_is_no_silent_number(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "spoilt_eyes.py").write_text(
        "def look(x):\n    x = x.float().mean((2, 3))\n    x[3] = float('nan')\n    return x\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    one, other = save(tmp_path / "one", noise(1, 10)), save(tmp_path / "other", noise(2, 10))
    command = ["evaluate", str(one), str(other), "--extractor", "spoilt_eyes:look", "--device", "cpu"]
    assert main([*command, "--allow-code"]) == 2
    told = capsys.readouterr()
    assert "NaN" in told.err and "spoilt_eyes:look" in told.err and told.err.count("\n") == 1 and not told.out
    assert not list(cache.glob("images/*/features-*"))
    assert main(command) == 2
    assert "--allow-code" in capsys.readouterr().err


def test_the_command_tells_a_table_or_json(tmp_path: Path, eyes: Counting, capsys: pytest.CaptureFixture[str]) -> None:
    one, other = save(tmp_path / "one", noise(1, 24)), save(tmp_path / "other", noise(2, 30))
    command = ["evaluate", str(one), str(other), "--device", "cpu", "--metrics", "kid", "recall"]
    assert main([*command, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert [score["metric"] for score in told["scores"]] == ["KID (pixels)", "recall"]
    assert told["scores"][0]["protocol"]["extractor"] == "pixels" and told["copying"] is None
    assert main(command) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "95% interval" in said and "extractor pixels" in said and "recall: neighbours 3" in said


def test_an_interruption_leaves_no_half_report(tmp_path: Path, eyes: Counting, monkeypatch: pytest.MonkeyPatch) -> None:
    one, other = save(tmp_path / "one", noise(1, 24)), save(tmp_path / "other", noise(2, 30))

    def interrupted(x: Tensor) -> tuple[Tensor, None]:
        raise KeyboardInterrupt

    monkeypatch.setattr(eyes, "forward", interrupted)
    assert main(["evaluate", str(one), str(other), "--device", "cpu", "--out", str(tmp_path / "out")]) == 130
    assert not (tmp_path / "out").exists()


def test_a_judge_measures_one_generator_after_another_with_one_look_at_the_reals(tmp_path: Path, cache: Path) -> None:
    settings = Data(source=str(save(tmp_path / "images", noise(1, 40))), resolution=SIDE)
    dataset, extract = prepare(opened(settings, tmp_path), settings, 3), Counting()
    judge = Judge(replace(dataset, cache=None), extract, 30, ["kid", "recall"])
    good, bad = judge(generator(dataset.images)), judge(generator(noise(5, 30, dark=8)))
    assert extract.num == 40 + 30 + 30
    assert [score.metric for score in good] == ["KID (pixels)", "recall"]
    assert good[0].value < bad[0].value and good[1].value > 0.5 > bad[1].value == 0
    assert judge.compared.kid is judge.compared.kid  # the kernel of the reals among themselves, once


def test_samples_are_brought_to_the_size_of_the_reals(
    tmp_path: Path, eyes: Counting, monkeypatch: pytest.MonkeyPatch
) -> None:
    flat = np.repeat(np.arange(30, dtype=np.uint8)[:, None, None, None], 3 * 32 * 32, axis=1).reshape(30, 3, 32, 32)
    assert (resized(flat, SIDE) == flat[:, :, :SIDE, :SIDE]).all()
    bright = noise(1, 3, side=32)
    reference = np.stack(
        [
            np.asarray(Image.fromarray(x.transpose(1, 2, 0)).resize((SIDE, SIDE), Image.Resampling.BICUBIC))
            for x in bright
        ]
    )
    assert abs(resized(bright, SIDE).astype(int) - reference.transpose(0, 3, 1, 2)).max() <= 1
    see_through = np.concatenate([bright // 2, bright[:, :1] // 2 + 100], axis=1)
    small = resized(see_through, SIDE)
    assert (small[:, :3] <= small[:, 3:]).all()


def test_scores_go_into_a_line_of_stats() -> None:
    line = json.loads(json.dumps(Score("KID", 0.1, 0.0, 0.2, "lower", {"size": "16x16"}).to_dict()))
    assert line == {
        "metric": "KID",
        "value": 0.1,
        "low": 0,
        "high": 0.2,
        "better": "lower",
        "protocol": {"size": "16x16"},
    }


def test_the_generator_of_a_run_is_measured_against_other_images(tmp_path: Path, eyes: Counting) -> None:
    run, other = untrained(tmp_path / "run", "dcgan"), save(tmp_path / "other", noise(2, 30))
    found = evaluate(run, other, metrics=["kid"])
    assert [found.scores[0].protocol[name] for name in ("size", "made at", "reals")] == ["16x16", "16x16", "given"]
    larger = evaluate(run, other, metrics=["kid"], resolution=20, seed=3).scores[0].protocol
    assert [larger[name] for name in ("size", "made at", "seed")] == ["20x20", "16x16", 3]
    truncated = evaluate(run, other, metrics=["kid"], truncation=0.1).scores[0]
    assert truncated.value != found.scores[0].value and truncated.protocol["truncation"] == "0.1"
    with pytest.raises(UserError, match="is no run: say against which images"):
        evaluate(run)


def test_samples_are_tried_on_classifiers_where_that_is_asked(
    tmp_path: Path, eyes: Counting, monkeypatch: pytest.MonkeyPatch
) -> None:
    images = save(tmp_path / "images", noise(1, 40), ("bright", "dark"))
    run, dataset = a_run(tmp_path, images, held_out=0.4, labels=True)
    G = generator(dataset.images, ("bright", "dark"))
    monkeypatch.setattr(sides, "load", lambda path, device: G)
    monkeypatch.setattr(beyond, "usefulness", partial(usefulness, seeds=2, steps=2))
    found = evaluate(run, num=30, metrics=["kid"], useful=True, out=tmp_path / "out")
    assert found.usefulness is not None and found.classes is not None
    nums = [found.usefulness.num_real, found.usefulness.num_generated, found.usefulness.num_held_out]
    assert nums == [len(dataset.images), 30, len(dataset.held_out)]
    assert found.usefulness.sentence in (tmp_path / "out" / "report.md").read_text()
    monkeypatch.setattr(sides, "load", lambda path, device: generator(dataset.images))
    with pytest.raises(UserError, match=r"--useful needs classes, and .* was trained without"):
        evaluate(run, num=30, useful=True)


def test_the_path_length_is_that_of_the_network_that_has_w(
    tmp_path: Path, eyes: Counting, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Tensor] = []

    def squared(one: Tensor, other: Tensor) -> Tensor:
        seen.append(one)
        return (one - other).double().square().sum((1, 2, 3))

    monkeypatch.setattr(measures, "Lpips", lambda device: squared)
    run, other = untrained(tmp_path / "run", "stylegan2"), save(tmp_path / "other", noise(2, 30))
    whole, still = (evaluate(run, other, metrics=["ppl"], num=20, truncation=psi).scores[0] for psi in (1.0, 0.0))
    assert whole.metric == "PPL" and whole.low <= whole.value <= whole.high and whole.value > 0
    assert still.value == 0
    assert list(whole.protocol) == [
        *(
            "generated images",
            "made at",
            "seed",
            "truncation",
            "perceptual distance",
            "space",
            "step",
            "gannet",
            "torch",
        )
    ]
    assert str(whole.protocol["perceptual distance"]).endswith(", VGG-16 397923af")
    assert [len(images) for images in seen] == [16, 4, 16, 4] and seen[0].shape[1:] == (3, SIDE, SIDE)


def test_the_path_length_alone_looks_at_no_image(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cache: Path) -> None:
    monkeypatch.setattr(measures, "Lpips", lambda device: lambda one, other: (one - other).square().sum((1, 2, 3)))
    monkeypatch.setattr(evaluating, "open_extractor", lambda *asked: pytest.fail("the extractor is loaded"))
    run, other = untrained(tmp_path / "run", "stylegan2"), save(tmp_path / "other", noise(2, 30))
    found = evaluate(run, other, metrics=["PPL"], num=20)
    assert list(values(found)) == ["PPL"] and str(found).startswith(f"# {run}\n")
    with pytest.raises(UserError, match=r"the path length in w, which .* has not"):
        evaluate(other, other, metrics=["ppl"])
    with pytest.raises(UserError, match="there is no metric 'none'"):
        evaluate(run, other, metrics=["none"])


def test_a_set_that_is_too_small_for_a_metric_is_named(tmp_path: Path, eyes: Counting) -> None:
    few, many = save(tmp_path / "few", noise(1, 3)), save(tmp_path / "many", noise(2, 30))
    with pytest.raises(UserError, match=r"/few: 3 images, and the metric precision takes 4 or more"):
        evaluate(few, many)
    with pytest.raises(UserError, match=r"/few: 3 images, and the metric coverage takes 6 or more"):
        evaluate(many, few, metrics=["kid", "coverage"])
    assert values(evaluate(few, many, metrics=["kid", "coverage"]))["coverage"] <= 1


def test_only_the_extractors_of_the_papers_have_their_names(monkeypatch: pytest.MonkeyPatch) -> None:
    extract = Pixels()
    named = {}
    for name in ("inception", "dinov2", "efficientnet-lite0"):
        monkeypatch.setattr(extract, "name", name)
        named[name] = [measures.title(metric, extract) for metric in ("frechet", "kid", "recall")]
    assert named == {
        "inception": ["FID", "KID", "recall"],
        "dinov2": ["FD-DINOv2", "KID (dinov2)", "recall"],
        "efficientnet-lite0": ["Frechet distance (efficientnet-lite0)", "KID (efficientnet-lite0)", "recall"],
    }


def test_a_private_run_gets_no_real_images(tmp_path: Path, eyes: Counting) -> None:
    images = save(tmp_path / "images", noise(1, 40))
    run, _ = a_run(tmp_path, images, private=True)
    with pytest.raises(UserError, match="is private, and the report shows real images"):
        evaluate(run, data=images, out=run / "report")


def test_images_none_of_which_can_be_read_are_no_silent_number(tmp_path: Path, eyes: Counting) -> None:
    one, spoilt = save(tmp_path / "one", noise(1, 10)), save(tmp_path / "spoilt", noise(2, 3))
    for path in spoilt.iterdir():
        path.write_bytes(b"none")
    for pair in ((one, spoilt), (spoilt, spoilt)):
        with pytest.raises(UserError, match="none of the 3 images can be read"):
            evaluate(*pair)


def test_the_best_weights_of_a_run_are_measured_against_what_it_was_trained_on(tmp_path: Path, eyes: Counting) -> None:
    run, dataset = a_run(tmp_path, save(tmp_path / "images", noise(1, 40)))
    score = evaluate(untrained(run / "best", "dcgan"), metrics=["kid"]).scores[0]
    assert (score.protocol["reals"], score.protocol["data"]) == ("trained on", dataset.pixels[:16])


@pytest.mark.parametrize("part", ["generator", "best", "best/generator"])
def test_a_part_of_a_private_run_gets_no_real_images(part: str, tmp_path: Path, eyes: Counting) -> None:
    images = save(tmp_path / "images", noise(1, 40))
    run, _ = a_run(tmp_path, images, private=True)
    untrained(run / "best" if "best" in part else run, "dcgan")
    for out in (run / "report", run / part / "report"):
        with pytest.raises(UserError, match="is private, and the report shows real images"):
            evaluate(run / part, data=images, out=out, metrics=["kid"])
        assert not out.exists()


def test_nan_of_a_generator_is_no_silent_number(tmp_path: Path) -> None:
    settings = Data(source=str(save(tmp_path / "images", noise(1, 40))), resolution=SIDE)
    dataset = replace(prepare(opened(settings, tmp_path), settings, 3), cache=None)
    judge, G = Judge(dataset, Counting(), 30, ["kid"]), generator(dataset.images)
    network: Any = G.network
    network.made[3, 0, 0, 0] = float("nan")
    with pytest.raises(UserError, match="makes NaN or infinity in 1 of 30 images") as caught:
        judge(G)
    assert "\n" not in str(caught.value)

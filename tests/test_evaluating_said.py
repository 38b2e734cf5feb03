"""What `gannet evaluate` says beside its numbers: protocols, why something was not tested, what looks wrong."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from measured import SIDE, Counting, a_run, evaluate, generator, noise, save
from pixels import Pixels
from runs import untrained

from gannet import __version__, display, evaluating
from gannet.config import Data
from gannet.data.dataset import opened, prepare
from gannet.errors import UserError
from gannet.evaluating import beyond, generated, reals, sides
from gannet.evaluating.judge import Judge
from gannet.evaluating.measures import names_of
from gannet.evaluation.protocol import refuse_unlike
from gannet.evaluation.usefulness import usefulness

CLASSES = ("bright", "dark")


@pytest.fixture(autouse=True)
def eyes(monkeypatch: pytest.MonkeyPatch, cache: Path) -> None:
    """The extractor of a command, and few images in place of many."""
    monkeypatch.setattr(evaluating, "open_extractor", lambda *asked: Counting())
    monkeypatch.setattr(generated, "FEWEST", 24)


def made_by(monkeypatch: pytest.MonkeyPatch, images: np.ndarray, classes: tuple[str, ...] = ()) -> None:
    monkeypatch.setattr(sides, "load", lambda path, device: generator(images, classes))


def test_runs_on_the_same_images_with_labels_and_without_can_be_compared(tmp_path: Path, cache: Path) -> None:
    folder = save(tmp_path / "images", noise(1, 40), CLASSES)
    scores = []
    for labels in (False, True):
        settings = Data(source=str(folder), resolution=SIDE, labels=labels)
        dataset = prepare(opened(settings, tmp_path), settings, 3)
        scores += [(str(labels), score) for score in Judge(dataset, Pixels(), 20, ["kid"])(generator(noise(2, 20)))]
    refuse_unlike(scores)
    settings = Data(source=str(folder), resolution=SIDE, held_out=0.3)
    dataset = prepare(opened(settings, tmp_path), settings, 3)
    others = [("fewer", score) for score in Judge(dataset, Pixels(), 20, ["kid"])(generator(noise(2, 20)))]
    with pytest.raises(UserError, match=r"KID .* cannot be compared: of False the protocol has data "):
        refuse_unlike(scores + others)


def test_classes_copying_and_use_have_whole_protocols(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run, dataset = a_run(tmp_path, save(tmp_path / "images", noise(1, 80), CLASSES), held_out=0.3, labels=True)
    made_by(monkeypatch, noise(2, 30), CLASSES)

    def quick(*sets: Any, **how: Any) -> Any:
        return usefulness(*sets, **how, seeds=2, steps=2)

    monkeypatch.setattr(beyond, "usefulness", quick)
    found = evaluate(run, num=30, metrics=["kid"], useful=True)
    told = found.to_dict()
    num, num_held_out = len(dataset.images), len(dataset.held_out)
    both = {"size": "16x16", "data": dataset.pixels[:16], "generated images": 30, "made at": "16x16", "seed": 0}
    both |= {"truncation": "none", "gannet": __version__}
    expected = {
        "classes": {**Pixels().protocol, "real images": num, "classes": 2, "labels": dataset.fingerprint[:16]},
        "copying": {**Pixels().protocol, "trained on": num, "looked at": num, "held out": num_held_out},
        "usefulness": {"trained on": num, "held out": num_held_out, "steps": 2, "classifier seeds": "0 to 1"},
    }
    for what, facts in expected.items():
        assert facts.items() | both.items() <= told[what]["protocol"].items(), what
    assert "trained on " in str(found) and "classifier residual" in str(found)


@pytest.mark.parametrize(
    ("held_out", "against", "says"),
    [
        (0.0, None, "and this one holds out none: train with --data.held-out 0.1."),
        (0.001, None, "and this one holds out 1: train with a larger --data.held-out."),
        (0.3, "images", "so name the run alone, without DATA."),
    ],
)
def test_why_copying_was_not_tested_is_said(held_out: float, against: str | None, says: str, tmp_path: Path) -> None:
    run, _ = a_run(tmp_path, save(tmp_path / "images", noise(1, 40)), held_out=held_out)
    asked = [untrained(run, "dcgan"), *([tmp_path / against] if against else [])]
    found = evaluate(*asked, num=30, metrics=["kid"])
    assert found.copying is None and found.copying_not_tested.endswith(says)
    assert found.to_dict()["copying_not_tested"] == found.copying_not_tested
    assert f"## Does it copy?\n\n{found.copying_not_tested}" in str(found)


def test_a_generator_that_makes_one_image_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run, dataset = a_run(tmp_path, save(tmp_path / "images", noise(1, 100)), held_out=0.3)
    said = "All 30 generated images look alike"
    for images, is_told in ((noise(2, 1), True), (dataset.images[:1], True), (noise(2, 2), False)):
        made_by(monkeypatch, images)
        found = evaluate(run, num=30, force=True)
        assert any(said in note for note in found.notes) == is_told
        assert all(np.isfinite([score.value, score.low, score.high]).all() for score in found.scores)
        assert found.copying and found.copying.verdict == "too few"
        assert is_told == ("whether G copies: 1 different sample." in found.copying.sentence)


def test_the_names_of_the_field_are_known(monkeypatch: pytest.MonkeyPatch) -> None:
    extract = Pixels()
    for extractor, name in (("inception", "FID"), ("dinov2", "fd-dinov2"), ("pixels", "Frechet")):
        monkeypatch.setattr(extract, "name", extractor)
        assert names_of([name, "KID", "frechet"], extract) == ("frechet", "kid")


def test_a_folder_against_itself_is_warned_of(tmp_path: Path) -> None:
    one, same = (save(tmp_path / name, noise(1, 24)) for name in ("one", "same"))
    other = save(tmp_path / "other", noise(2, 24))
    for against, is_told in ((one, True), (same, True), (other, False)):
        notes = evaluate(one, against, metrics=["kid"]).notes
        assert any(note.startswith("Warning: both sides are the very same images") for note in notes) == is_told


def test_what_holds_no_images_is_said(tmp_path: Path) -> None:
    images = save(tmp_path / "images", noise(1, 24))
    run, _ = a_run(tmp_path, images)
    run.rename(tmp_path / "seed0")
    (tmp_path / "G.onnx").touch()
    for asked, says in (
        ([tmp_path], f"is a folder of runs: measure one, as in gannet evaluate {tmp_path}/seed0, or see"),
        ([tmp_path, images], "is a folder of runs"),
        ([images, tmp_path / "seed0"], "seed0 is a run, and its pictures are no data to measure against"),
        ([tmp_path / "G.onnx"], f"gannet sample {tmp_path}/G.onnx --num 2048 --out samples, and measure these"),
    ):
        with pytest.raises(UserError, match=says) as caught:
            evaluate(*asked)
        assert "\n" not in str(caught.value)


def test_a_log_says_what_is_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run, _ = a_run(tmp_path, save(tmp_path / "images", noise(1, 90)), held_out=0.4)
    made_by(monkeypatch, noise(2, 40))
    monkeypatch.setattr(reals, "BATCH", 16)
    monkeypatch.setattr(display, "SECONDS_BETWEEN_LINES", 0.0)
    evaluate(run, num=40, metrics=["kid"])
    said = [line.partition(":")[0] for line in capsys.readouterr().err.splitlines() if line.startswith("measuring")]
    assert list(dict.fromkeys(said)) == [
        "measuring the real images",
        "measuring the generated images",
        "measuring the images held out",
    ]

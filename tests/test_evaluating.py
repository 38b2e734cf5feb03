"""What `gannet evaluate` measures: networks whose worth is known, on runs of each kind."""

import json
import math
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from pixels import Pixels
from runs import train
from torch import Tensor, nn

from gannet import __version__, evaluating
from gannet.cli import main
from gannet.config import Data, Recipe, part, to_toml
from gannet.data.dataset import Dataset, opened, prepare
from gannet.errors import UserError
from gannet.evaluating import Evaluation, translated
from gannet.evaluating.reals import spread
from gannet.evaluation.video import Clips, frame_distance, motion_distance
from gannet.games.pix2pix import enlarged
from gannet.generation.load import Generator
from gannet.images import grid
from gannet.training import measure

SIDE = 16


class Negative(nn.Module):
    def forward(self, a: Tensor) -> Tensor:
        return -a


class Enlarging(nn.Module):
    scale = 2

    def forward(self, a: Tensor) -> Tensor:
        return enlarged(a, self.scale)


class Standing(nn.Module):
    """Is given the first frame of four, and holds it."""

    given_channels = 3

    def forward(self, z: Tensor, c: Tensor, a: Tensor) -> Tensor:
        return a.repeat(1, 4, 1, 1)


@pytest.fixture(autouse=True)
def pixels(monkeypatch: pytest.MonkeyPatch, cache: Path) -> None:
    monkeypatch.setattr(evaluating, "open_extractor", lambda *asked: Pixels())


@pytest.fixture
def given(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Puts networks in the place of those that runs have trained."""

    def put(b: nn.Module, a: nn.Module | None = None) -> None:
        networks = {"b": b, "a": a}
        monkeypatch.setattr(
            translated, "load_translator", lambda path, device, to: SimpleNamespace(network=networks[to])
        )

    return put


def save(path: Path, pixels: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


def noise(seed: int, height: int = SIDE, width: int = SIDE) -> np.ndarray:
    return np.random.Generator(np.random.Philox(seed)).integers(0, 256, (height, width, 3), np.uint8)


def a_run(folder: Path, G: str, held_out: float = 0.4, **data: Any) -> tuple[Path, Dataset]:
    """A run folder that says on what it was trained, and that data."""
    settings = Data(resolution=SIDE, held_out=held_out, **data)
    recipe, dataset = Recipe("it", "", data=settings, G=part(G)), prepare(opened(settings, folder), settings, 3)
    facts = {"data_fingerprint": dataset.fingerprint, "channels": 3}
    (folder / "run").mkdir()
    (folder / "run" / "recipe.toml").write_text(to_toml(recipe, facts), "utf-8")
    return folder / "run", dataset


def negatives(folder: Path, num: int = 20) -> Path:
    """Pairs side by side: noise, and its negative."""
    for i in range(num):
        save(folder / "pairs" / f"{i:02}.png", np.concatenate([noise(i), 255 - noise(i)], axis=1))
    return folder / "pairs"


def evaluate(run: Path, **asked: Any) -> Evaluation:
    found = evaluating.evaluate(run, **asked)
    assert isinstance(found, Evaluation)
    return found


def by_metric(found: Evaluation) -> dict[str, tuple[float, float]]:
    return {score.metric: (score.value, score.baseline) for score in found.scores}


def test_a_network_that_makes_the_target_is_perfect_on_pairs(tmp_path: Path, given: Callable[..., None]) -> None:
    run, dataset = a_run(tmp_path, "unet", source=str(negatives(tmp_path)), kind="pairs")
    given(Negative())
    found = evaluate(run, device="cpu")
    scores = by_metric(found)
    assert list(scores) == ["L1", "PSNR", "SSIM", "feature distance"]
    assert [value for value, _ in scores.values()] == pytest.approx([0, 10 * math.log10(12 * 255**2), 1, 0], abs=1e-3)
    inputs, targets = np.split(dataset.held_out.astype(float), 2, axis=1)
    assert scores["L1"][1] == pytest.approx(abs(inputs - targets).mean() / 255)
    assert scores["SSIM"][1] < 0 and scores["feature distance"][1] > 100
    for score in found.scores:
        assert score.protocol["images"] == len(dataset.held_out)
        assert score.protocol["data"] == dataset.pixels[:16] and score.protocol["torch"] == torch.__version__
    l1 = found.scores[0]
    own = abs(inputs - targets).mean((1, 2, 3)) / 255
    assert (l1.low, l1.high) == (0, 0)
    assert l1.baseline_high - l1.baseline_low == pytest.approx(3.92 * own.std() / len(own) ** 0.5, rel=0.1)
    assert (found.measured, found.baseline) == ("output", "input as it is")


def test_only_so_many_are_measured(tmp_path: Path, given: Callable[..., None]) -> None:
    run, dataset = a_run(tmp_path, "unet", source=str(negatives(tmp_path)), kind="pairs")
    given(Negative())
    found = evaluate(run, num=3, device="cpu")
    chosen = dataset.held_out[[0, round((len(dataset.held_out) - 1) / 2), -1]].astype(float)
    assert found.scores[0].protocol["images"] == 3
    assert found.scores[0].baseline == pytest.approx(abs(chosen[:, :3] - chosen[:, 3:]).mean() / 255)
    with pytest.raises(UserError, match=f"holds out {len(dataset.held_out)} pairs, and --num asks for 3,000$"):
        evaluate(run, num=3000, device="cpu")


def test_an_extractor_that_sees_nothing_gives_no_number(
    tmp_path: Path, given: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    run, _ = a_run(tmp_path, "unet", source=str(negatives(tmp_path)), kind="pairs")
    given(Negative())
    blind = Pixels()
    monkeypatch.setattr(blind, "forward", lambda x: (torch.ones(len(x), 4), None))
    monkeypatch.setattr(evaluating, "open_extractor", lambda *asked: blind)
    with pytest.raises(UserError, match="pixels gives the same features of every image"):
        evaluate(run, device="cpu")


def test_what_enlarges_is_measured_beside_bicubic(tmp_path: Path, given: Callable[..., None]) -> None:
    for i in range(12):
        save(tmp_path / "large" / f"{i:02}.png", noise(i))
    run, _ = a_run(tmp_path, "srresnet", source=str(tmp_path / "large"))
    given(Enlarging())
    found = evaluate(run, device="cpu")
    assert (found.measured, found.baseline) == ("output, x2", "bicubic, x2")
    assert all(value == baseline for value, baseline in by_metric(found).values())
    assert 8 < by_metric(found)["PSNR"][0] < 20  # noise loses its finer half


def test_each_way_of_unpaired_sets_is_measured_with_its_own_network(tmp_path: Path, given: Callable[..., None]) -> None:
    for i in range(30):
        save(tmp_path / "a" / f"{i:02}.png", noise(i) // 4)
    for i in range(20):
        save(tmp_path / "b" / f"{i:02}.png", 255 - noise(100 + i) // 4)
    data = {"source": str(tmp_path / "a"), "other": str(tmp_path / "b"), "kind": "unpaired", "swap": False}
    run, dataset = a_run(tmp_path, "resnet-blocks", **data)
    given(Negative(), nn.Identity())
    there, back = evaluate(run, device="cpu").scores
    assert (there.metric, back.metric) == ("feature distance, a to b", "feature distance, b to a")
    assert there.value < 0.01 * there.baseline and back.value == pytest.approx(back.baseline)
    assert dataset.other is not None
    nums = [len(side.held_out) for side in (dataset.other, dataset)]
    assert [there.protocol[name] for name in ("images", "of the other side")] == nums
    assert [back.protocol[name] for name in ("images", "of the other side")] == nums[::-1]


def test_clips_are_measured_beside_those_that_were_trained_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for i in range(20):
        first, *more = [Image.fromarray(noise(4 * i + t)) for t in range(4)]
        (tmp_path / "clips").mkdir(exist_ok=True)
        first.save(tmp_path / "clips" / f"{i:02}.gif", save_all=True, append_images=more)
    run, dataset = a_run(tmp_path, "dvdgan", source=str(tmp_path / "clips"), kind="clips", frames=4)

    facts: dict[str, Any] = {"classes": (), "z_dim": 1, "resolution": SIDE, "channels": 3, "frames": 4}
    standing = Generator(Standing(), torch.device("cpu"), folder=run, **facts)
    monkeypatch.setattr(translated, "load", lambda path, device: standing)
    found = evaluate(run, device="cpu")
    scores = by_metric(found)
    assert list(scores) == ["frame distance", "motion distance"]
    clips = dataset.held_out.reshape(-1, 4, 3, SIDE, SIDE)
    still, later = (Clips(Pixels(), len(clips), 3) for _ in range(2))
    still.add(clips[:, [0, 0, 0]])
    later.add(clips[:, 1:])
    assert scores["frame distance"][0] == pytest.approx(frame_distance(still, later).value)
    assert scores["motion distance"][0] == pytest.approx(motion_distance(still, later).value)
    assert found.scores[1].protocol == {
        "clips": len(dataset.held_out),
        "frames": 3,
        "given frames": 1,
        "seed": 0,
        "size": "16x16",
        "reals": "held out",
        "data": dataset.pixels[:16],
        **Pixels().protocol,
        "red, green, blue": "grey frames t + 0, t + 1, t + 2",
        "gannet": __version__,
        "torch": torch.__version__,
    }
    assert all(score.low <= score.value <= score.high for score in found.scores)
    assert all(score.baseline_low < score.baseline < score.baseline_high for score in found.scores)
    strips = np.stack([clips[:, [0] * 4], clips], axis=1).reshape(-1, 3, SIDE, SIDE)
    assert found.picture is not None and len(clips) <= 12
    assert (np.asarray(found.picture.image) == np.asarray(grid(strips, 4))).all()


@pytest.mark.parametrize(
    ("G", "kind", "held_out", "says"),
    [
        ("unet", "pairs", 0.0, "holds no images out .* --data.held-out 0.1"),
        ("unet", "pairs", 1e-9, "holds out 1 of its images, and two are needed"),
    ],
)
def test_what_cannot_be_measured_is_said(G: str, kind: str, held_out: float, says: str, tmp_path: Path) -> None:
    run, _ = a_run(tmp_path, G, held_out, source=str(negatives(tmp_path)), kind=kind)
    with pytest.raises(UserError, match=says):
        evaluate(run, device="cpu")


def test_a_private_run_is_told_where_its_images_are(tmp_path: Path, given: Callable[..., None]) -> None:
    source = negatives(tmp_path)
    run, _ = a_run(tmp_path, "unet", source=str(source), kind="pairs", private=True)
    text = (run / "recipe.toml").read_text("utf-8")
    (run / "recipe.toml").write_text(text.replace(str(source), ""), "utf-8")
    given(Negative())
    with pytest.raises(UserError, match="name them with --data"):
        evaluate(run)
    assert evaluate(run, data=str(source), device="cpu").scores[0].value == 0


def test_a_run_is_evaluated_by_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(measure, "time_iterations", lambda training: 0.01)
    settings = {"data.resolution": SIDE, "data.held_out": 0.4, "G.width": 4, "G.max_width": 8, "D.width": 4}
    settings |= {"D.patch": 16, "train.batch": 4, "train.length": "2 iterations", "samples.num": 2}
    settings |= {"train.device": "cpu", "train.precision": "float32"}
    train(negatives(tmp_path), tmp_path / "run", settings, "pix2pix")
    capsys.readouterr()
    command = ["evaluate", str(tmp_path / "run"), "--device", "cpu"]
    assert main([*command, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["run"] == str(tmp_path / "run")
    assert [score["metric"] for score in told["scores"]] == ["L1", "PSNR", "SSIM", "feature distance"]
    assert told["scores"][3]["protocol"]["extractor"] == "pixels"
    assert main([*command, "--out", str(tmp_path / "out")]) == 0
    said = capsys.readouterr().out
    assert "PSNR" in said and "extractor pixels" in said and "compare those of equal numbers alone." in said
    row = next(line for line in said.splitlines() if line.strip().startswith("feature distance"))
    assert row.count(" to ") == 2  # through a pipe nothing is cut or wrapped
    assert json.loads((tmp_path / "out" / "report.json").read_text()) == told
    assert "| PSNR |" in (tmp_path / "out" / "report.md").read_text()


def test_the_picture_shows_input_output_and_target(tmp_path: Path, given: Callable[..., None]) -> None:
    run, dataset = a_run(tmp_path, "unet", source=str(negatives(tmp_path)), kind="pairs")
    given(Negative())
    evaluate(run, num=2, device="cpu", out=tmp_path / "out")
    inputs, targets = np.split(dataset.held_out[:1], 2, axis=1)
    last = np.split(dataset.held_out[-1:], 2, axis=1)
    expected = grid(np.concatenate([inputs, targets, targets, last[0], last[1], last[1]]), 6)
    with Image.open(tmp_path / "out" / "images.png") as shown:
        assert (np.asarray(shown) == np.asarray(expected)).all()


@pytest.mark.parametrize(("num", "chosen"), [(1, [0]), (2, [0, 4]), (3, [0, 2, 4]), (9, [0, 1, 2, 3, 4])])
def test_what_is_chosen_is_spread_over_all(num: int, chosen: list[int]) -> None:
    assert spread(np.arange(5), num).tolist() == chosen

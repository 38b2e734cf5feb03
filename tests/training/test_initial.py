"""Starting from another generator: what is copied, what stays fresh, and what a run says of it."""

import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import huggingface_hub
import pytest
import torch
from runs import NOISY, TINY, contents, stopped
from safetensors.torch import load_file
from torch import Tensor, nn
from translation import CYCLEGAN, told_apart

import gannet.api as api
from gannet.cli import main
from gannet.config import read_recipe
from gannet.errors import UserError
from gannet.networks import DISCRIMINATORS, GENERATORS
from gannet.networks.layers import spectrally_normalise
from gannet.training.initial import find_initial, fitting
from gannet.training.run import Run

Pictures = Callable[..., Path]
BUILT = {"G": "G", "D": "D"}


def train(run: Path, init: Any, **settings: Any) -> api.Trained:
    """A run on the pictures beside the finished run, named `run.name`."""
    pictures = run.parents[1] / "pictures"
    return api.train(pictures, recipe="dcgan-shapes", run=run, settings={**TINY, "seed": 3, **settings}, init=init)


def train_on(data: Path, run: Path, settings: dict[str, Any], init: Path | None = None) -> api.Trained:
    return api.train(data, recipe="dcgan-shapes", run=run, settings={**TINY, **settings}, init=init)


def at_the_start(run: Path) -> dict[str, Any]:
    return torch.load(run / "checkpoints" / "kimg000000.000.pt", weights_only=True)


def equal(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(value, other[name]) for name, value in one.items())


def networks(size: int = 16, channels: int = 3, classes: int = 0, **settings: Any) -> dict[str, nn.Module]:
    return {
        "G": GENERATORS.find("dcgan")(size, channels, classes, z_dim=5, width=4),
        "D": DISCRIMINATORS.find("dcgan")(size, channels, classes, width=4, **settings),
    }


def test_g_its_average_and_d_begin_as_the_other_run_ended(run: Path) -> None:
    new = train(run.parent / "new", run, **{"train.length": "1 iterations", "ema.half_life_kimg": 1.0}).path
    start = at_the_start(new)
    G, D = (load_file(run / folder / "model.safetensors") for folder in ("generator", "discriminator"))
    assert equal(start["networks"]["G"], G) and equal(start["ema"]["G"], G) and equal(start["networks"]["D"], D)
    assert not any(start["counters"].values())
    assert not any(optimizer["state"] for optimizer in start["optimizers"].values())
    assert not equal(load_file(new / "generator" / "model.safetensors"), G)


def test_the_run_says_where_it_comes_from_without_a_path(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    new = train(run.parent / "new", run / "generator").path
    said = capsys.readouterr().out
    assert "init    one\n" in said and "G: 13 of 13 tensors" in said and "fresh" not in said
    assert read_recipe(new / "recipe.toml")[1]["init"] == "one"
    event, *_ = api.Trained(new, True).stats
    assert (event["event"], event["kimg"], event["source"]) == ("init", 0, "one")
    assert event["G"]["copied"] == 13 and event["G"]["fresh"] == {}
    assert event["G"]["parameters_copied"] == event["G"]["parameters"] == 5 * 8 * 16 + 8 * 4 * 16 + 4 * 3 * 16 + 24
    assert str(run.parents[1]) not in (new / "stats.jsonl").read_text() + (new / "recipe.toml").read_text()


def test_a_private_run_does_not_say_it(run: Path) -> None:
    new = train(run.parent / "new", run, **{"data.private": True, "train.length": "1 iterations"}).path
    facts = read_recipe(new / "recipe.toml")[1]
    event, *_ = api.Trained(new, True).stats
    assert facts["init"] == event["source"] == "not said: the run is private"


def test_what_has_another_shape_or_no_counterpart_is_fresh(run: Path, cache: Path) -> None:
    found = {copied.network: copied for copied in find_initial(str(run), networks(channels=1), BUILT, cache).copied}
    assert found["G"].fresh == {"blocks.6.weight": "4x1x4x4, there 4x3x4x4"}
    assert found["D"].fresh == {"blocks.0.weight": "4x1x4x4, there 4x3x4x4"}
    found = {copied.network: copied for copied in find_initial(str(run), networks(classes=2), BUILT, cache).copied}
    assert found["G"].fresh == {"blocks.0.weight": "7x8x4x4, there 5x8x4x4"}
    assert found["D"].fresh["label_channel.embed.weight"] == "absent"
    larger = {copied.network: copied for copied in find_initial(str(run), networks(size=32), BUILT, cache).copied}
    assert "blocks.9.weight" in larger["G"].fresh and "to_logit.weight" in larger["D"].fresh
    assert "blocks.0.weight" in larger["D"].tensors and larger["D"].num_parameters < larger["D"].of_parameters


def test_fresh_tensors_are_named_with_the_reason_and_shortened(run: Path, cache: Path) -> None:
    shutil.rmtree(run / "discriminator")
    lines = find_initial(str(run), networks(classes=2), BUILT, cache).lines()
    assert lines[0] == "init    one"
    assert lines[1].strip() == "G: 12 of 13 tensors, 728 of 1,624 parameters"
    assert lines[2].strip() == "fresh: blocks.0.weight (7x8x4x4, there 5x8x4x4)"
    assert lines[3].strip().startswith("D: 0 of ")
    assert lines[4].count("there is no discriminator") == 4 and lines[4].endswith("more")


def test_fresh_ones_keep_what_they_had(run: Path) -> None:
    new = train(run.parent / "new", run, **{"data.channels": 1, "train.length": "1 iterations"}).path
    plain = train(run.parent / "plain", None, **{"data.channels": 1, "train.length": "1 iterations"}).path
    G, fresh, other = at_the_start(new), at_the_start(plain), load_file(run / "generator" / "model.safetensors")
    assert torch.equal(G["networks"]["G"]["blocks.6.weight"], fresh["networks"]["G"]["blocks.6.weight"])
    assert torch.equal(G["networks"]["G"]["blocks.0.weight"], other["blocks.0.weight"])


def test_a_fresh_weight_has_its_own_vectors_of_spectral_norm() -> None:
    """Those of another weight, though of the same shape, would make it too large."""

    def net(channels: int) -> nn.Module:
        made = nn.Sequential(nn.Conv2d(channels, 4, 3), nn.Conv2d(4, 4, 3))
        spectrally_normalise(made)
        return made

    copied = fitting("D", net(3), net(1).state_dict(), "discriminator")
    weight = "0.parametrizations.weight"
    assert copied.fresh == {
        f"{weight}.original": "4x3x3x3, there 4x1x3x3",
        f"{weight}.0._v": "27, there 9",
        f"{weight}.0._u": "its weight is fresh",
    }
    assert {"0.bias", "1.bias", "1.parametrizations.weight.0._u"} <= copied.tensors.keys()


def test_a_stem_and_a_smaller_d_are_fresh_and_all_behind_the_first_halving_is_copied() -> None:
    there = networks()["D"].state_dict()
    copied = fitting("D", networks(stem=6, scales=2)["D"], there, "discriminator")
    assert copied.fresh.pop("blocks.0.weight") == "4x6x4x4, there 4x3x4x4"
    assert copied.fresh.pop("stem.0.weight") == "absent"
    assert copied.fresh and all(name.startswith("smaller.") for name in copied.fresh)
    assert copied.tensors.keys() == there.keys() - {"blocks.0.weight"}


def test_statistics_of_batch_norm_come_along(run: Path) -> None:
    new = train(run.parent / "new", run, **{"train.length": "1 iterations"}).path
    other = load_file(run / "generator" / "model.safetensors")
    means = [name for name in other if name.endswith("running_mean")]
    assert means and all(torch.equal(at_the_start(new)["networks"]["G"][name], other[name]) for name in means)
    assert all(other[name].abs().max() > 0 for name in means)


def test_resume_is_exact_and_needs_the_source_no_more(run: Path) -> None:
    settings = {**NOISY, "train.length": "8 iterations"}
    whole = train(run.parent / "whole", run, **settings).path
    with stopped(5):
        train(run.parent / "parts", run, **settings)
    shutil.rmtree(run)
    assert api.resume(run.parent / "parts").finished
    for what in ("state", "lines", "files"):
        assert contents(run.parent / "parts")[what] == contents(whole)[what], what


def test_killed_before_its_first_checkpoint_it_does_not_go_on_from_nothing(
    run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(self: Run) -> None:
        raise RuntimeError("killed")

    with monkeypatch.context() as patch, pytest.raises(RuntimeError, match="killed"):
        patch.setattr(Run, "save", killed)
        train(run.parent / "new", run)
    with pytest.raises(UserError, match="ended before its first checkpoint: start again with gannet train --init"):
        api.resume(run.parent / "new")


@pytest.mark.parametrize(
    ("init", "says"),
    [
        ("nowhere", "there is no run and no generator at nowhere"),
        ("pictures", "pictures was not written by Gannet: it holds 000.png, and no run and no generator"),
        ("hf://owner", "hf://owner names no repository: write hf://OWNER/NAME"),
        ("hf://owner/name/more", "names no repository"),
    ],
)
def test_a_source_that_is_none_is_one_line(
    run: Path, init: str, says: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(run.parents[1])
    words = ["--recipe", "dcgan-shapes", "--resolution", "16", "--batch", "4", "--device", "cpu", "--init", init]
    assert main(["train", "pictures", "--run", "runs/new", *words]) == 2
    err = capsys.readouterr().err
    assert says in err and err.count("\n") == 1
    assert not (run.parent / "new").exists()


def test_a_dry_run_says_what_would_be_copied(
    run: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(run.parents[1])
    words = ["--recipe", "runs/one", "--init", "runs/one", "--dry-run"]
    assert main(["train", "pictures", *words]) == 0
    out = capsys.readouterr().out
    assert "init    one" in out and "D: 10 of 10 tensors" in out
    assert [path.name for path in run.parent.iterdir()] == ["one"]


def test_where_nothing_fits_it_is_one_line(run: Path, cache: Path) -> None:
    other = {
        "G": GENERATORS.find("mlp")(16, 3, 0, z_dim=5, hidden=(7,)),
        "D": DISCRIMINATORS.find("mlp")(16, 3, 0, hidden=(7,)),
    }
    with pytest.raises(UserError, match="nothing of one fits: its G is 'dcgan' at 16 pixels; choose a recipe"):
        find_initial(str(run), other, BUILT, cache)


def test_nothing_is_run_from_the_folder(run: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (run / "evil.py").write_text("raise SystemExit('run')")
    monkeypatch.syspath_prepend(str(run))
    config = json.loads((run / "generator" / "config.json").read_text())
    (run / "generator" / "config.json").write_text(json.dumps({**config, "name": "evil:Generator"}))
    assert find_initial(str(run), networks(), BUILT, cache).copied[0].fresh == {}
    assert "evil" not in sys.modules


def test_weights_that_are_cut_short_are_one_line(run: Path, cache: Path) -> None:
    path = run / "discriminator" / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-8])
    with pytest.raises(UserError, match="discriminator cannot be read"):
        find_initial(str(run), networks(), BUILT, cache)


def test_the_hub_is_asked_for_the_two_folders_alone(run: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []

    def snapshot(repository: str, **words: Any) -> str:
        asked.append((repository, words["revision"], words["allow_patterns"], words["cache_dir"]))
        return str(run)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot)
    initial = find_initial("hf://owner/name", networks(), BUILT, cache)
    assert initial.name == "hf://owner/name" and not any(copied.fresh for copied in initial.copied)
    files = [
        f"{folder}/{file}"
        for folder in ("generator", "generator_*", "discriminator", "discriminator_*")
        for file in ("config.json", "model.safetensors")
    ]
    files += ["config.json", "model.safetensors"]  # of a generator's folder as it is
    assert asked == [("owner/name", None, files, cache / "hf")]
    find_initial("hf://owner/name@refs/pr/1", networks(), BUILT, cache)
    assert asked[1] == ("owner/name", "refs/pr/1", files, cache / "hf")


def test_a_hub_that_does_not_answer_is_one_line(run: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*args: Any, **words: Any) -> str:
        raise ConnectionError("no route\nto host")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", refused)
    with pytest.raises(UserError, match=r"cannot load hf://owner/name \(no route to host\): mend the name"):
        find_initial("hf://owner/name", networks(), BUILT, cache)
    monkeypatch.setattr(huggingface_hub, "snapshot_download", lambda *args, **words: str(run.parents[1] / "pictures"))
    with pytest.raises(UserError, match="hf://owner/name holds no folder generator/"):
        find_initial("hf://owner/name", networks(), BUILT, cache)
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(UserError, match=r"hf:// needs the package huggingface_hub: pip install 'gannet-gan\[hub\]'"):
        find_initial("hf://owner/name", networks(), BUILT, cache)


def test_both_translators_and_both_judges_begin_as_they_ended(pictures: Pictures, tmp_path: Path) -> None:
    data, settings = told_apart(
        pictures(classes=("a", "b")), {**CYCLEGAN, "train.length": "2 iterations", "ema.half_life_kimg": 1.0}
    )
    first = train_on(data, tmp_path / "first", settings)
    new = train_on(data, tmp_path / "new", {**settings, "seed": 3}, init=first.path)
    start = at_the_start(new.path)
    places = {"G": "generator", "F": "generator_F", "D": "discriminator", "D_X": "discriminator_D_X"}
    for name, folder in places.items():
        saved = load_file(first.path / folder / "model.safetensors")
        assert equal(start["networks"][name], saved), name
        assert name not in start["ema"] or equal(start["ema"][name], saved)
    assert set(start["ema"]) == {"G", "F"}
    shutil.rmtree(first.path / "discriminator_D_X")
    with pytest.raises(UserError, match=r"would keep .* of D_X as it is, .* \(there is no discriminator_D_X\)"):
        train_on(data, tmp_path / "other", {**settings, "train.freeze_d": 1}, init=first.path)


def test_layers_that_come_from_nowhere_are_not_frozen(run: Path, tmp_path: Path) -> None:
    shutil.copytree(run / "generator", tmp_path / "alone" / "generator")
    for source, more in ((tmp_path / "alone", {}), (run, {"data.channels": 1})):
        with pytest.raises(
            UserError, match=r"--train.freeze-d 1 would keep blocks.0.(weight|bias) of D .* has none that fits"
        ):
            train(run.parent / "new", source, **{"train.freeze_d": 1, **more})

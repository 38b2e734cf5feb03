import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from runs import BATCH, TINY, files, newest_checkpoint, train

import gannet.api as api
import gannet.sessions as sessions
from gannet.config import read_recipe
from gannet.data.batch import Batch
from gannet.errors import UserError
from gannet.training import pictures as pictures_module
from gannet.training.pictures import generate, read_stats, save_curves
from gannet.training.run import Run

Pictures = Callable[..., Path]
NAMES = {
    *("loss D", "loss G", "D real", "D fake", "D(x)", "D(G(z))", "D(G(z)) after"),
    *("accuracy real", "accuracy fake", "grad norm D", "grad norm G"),
}


def test_a_run_leaves_the_folder_of_the_contract(run: Path) -> None:
    assert files(run) == {
        "recipe.toml",
        "stats.jsonl",
        "curves.png",
        *(f"samples/kimg000000.0{n:02}.png" for n in (0, 8, 16, 24)),
        *(f"samples/{name}" for name in ("real.png", "real_and_generated.png", "evolution.webp", "z.npy")),
        "checkpoints/kimg000000.012.pt",
        "checkpoints/kimg000000.024.pt",
        *(
            f"{folder}/{name}"
            for folder in ("generator", "discriminator")
            for name in ("model.safetensors", "config.json")
        ),
    }
    for path in [*run.rglob("*.png"), run / "samples" / "evolution.webp"]:
        with Image.open(path) as picture:
            picture.load()
            assert np.asarray(picture.convert("L")).std() > 1, path.name
    with Image.open(run / "samples" / "evolution.webp") as evolution:
        assert getattr(evolution, "n_frames", 1) > 1  # frames that look alike are joined


def test_no_temporary_file_is_left(run: Path) -> None:
    assert not [name for name in files(run) if Path(name).name.startswith(".")]


def test_every_line_of_the_statistics_parses_and_has_its_names(run: Path) -> None:
    lines = [json.loads(line) for line in (run / "stats.jsonl").read_text().splitlines()]
    lines = [line for line in lines if "loss D" in line]
    assert {"update D", "update G"} < set(lines[0]) and lines[0].pop("update D") > 0 and lines[0].pop("update G") > 0
    assert [line["kimg"] for line in lines] == [BATCH * (i + 1) / 1000 for i in range(6)]
    assert [line["iteration"] for line in lines] == [1, 2, 3, 4, 5, 6]
    for line in lines:
        assert line["type"] == "stats"
        assert set(line) == NAMES | {"type", "kimg", "iteration", "seconds"}
        assert line["loss D"] == pytest.approx(line["D real"] + line["D fake"], rel=1e-5)
        assert 0 <= line["accuracy real"] <= 1 and line["grad norm G"] > 0


def test_the_api_sees_the_run(run: Path) -> None:
    trained = api.Trained(run, True)
    assert len([line for line in trained.stats if "loss D" in line]) == 6
    assert trained.grid().tobytes() == Image.open(run / "samples" / "kimg000000.024.png").tobytes()


def test_nothing_in_a_run_tells_where_it_was_made(run: Path, tmp_path: Path) -> None:
    for name in files(run):
        assert str(tmp_path).encode() not in (run / name).read_bytes(), name


def test_a_cache_of_ones_own_is_not_written_down(cache: Path, tmp_path: Path) -> None:
    made = train(
        Path("shapes"), tmp_path / "run", {**TINY, "data.cache": str(tmp_path / "mine"), "train.length": "1 iteration"}
    )
    assert str(tmp_path) not in (made.path / "recipe.toml").read_text()


def test_the_recipe_tells_what_was_trained_and_on_what(run: Path) -> None:
    recipe, facts = read_recipe(run / "recipe.toml")
    assert recipe.name == "dcgan-shapes"
    assert recipe.train.length == "0.024 kimg"
    assert recipe.data.source == "../../pictures"
    assert dict(recipe.G.settings)["width"] == 4 and "max_width" in recipe.G.settings
    assert {"gannet", "torch", "device", "data_fingerprint", "threads"} <= set(facts)
    assert (facts["num_images"], facts["channels"], facts["classes"]) == (16, 3, [])


@pytest.mark.parametrize("whole_folder", [True, False])
def test_a_run_is_a_recipe_for_the_next(run: Path, tmp_path: Path, whole_folder: bool) -> None:
    again = api.train(
        tmp_path / "pictures", recipe=run if whole_folder else run / "recipe.toml", run=tmp_path / "runs" / "two"
    )
    assert again.finished
    for name in ("generator/model.safetensors", "samples/kimg000000.024.png", "discriminator/model.safetensors"):
        assert (again.path / name).read_bytes() == (run / name).read_bytes(), name


def test_a_runs_recipe_finds_its_data_from_anywhere(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert api.train(recipe=run / "recipe.toml", run=tmp_path / "somewhere" / "else" / "two").finished


def test_a_folder_that_holds_a_run_is_not_overwritten(run: Path, tmp_path: Path) -> None:
    before = {name: (run / name).read_bytes() for name in files(run)}
    with pytest.raises(UserError, match=r"holds a run already.*gannet resume"):
        train(tmp_path / "pictures", run)
    assert {name: (run / name).read_bytes() for name in files(run)} == before


def test_runs_get_folders_of_their_own(pictures: Pictures, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    settings = {**TINY, "train.length": "1 iteration"}
    paths = [api.train(pictures(), recipe="dcgan-shapes", settings=settings).path for _ in range(2)]
    assert paths == [Path("runs/pictures-dcgan-shapes"), Path("runs/pictures-dcgan-shapes-2")]


def test_another_seed_ends_elsewhere(run: Path, tmp_path: Path) -> None:
    """So that equality of two runs means something."""
    other = train(tmp_path / "pictures", tmp_path / "other", {**TINY, "seed": 1}).path
    assert (other / "generator/model.safetensors").read_bytes() != (run / "generator/model.safetensors").read_bytes()


def test_only_the_newest_checkpoints_are_kept(pictures: Pictures, tmp_path: Path) -> None:
    made = train(pictures(), tmp_path / "run", {**TINY, "checkpoints.when": "every 1 iterations"})
    names = sorted(path.name for path in (made.path / "checkpoints").iterdir())
    assert names == ["kimg000000.020.pt", "kimg000000.024.pt"]


def test_an_averaged_run_samples_from_the_average(pictures: Pictures, tmp_path: Path) -> None:
    made = train(pictures(), tmp_path / "run", {**TINY, "ema.half_life_kimg": 0.05}).path
    state = newest_checkpoint(made)
    G: Any = api.load(made)
    saved = G.network.state_dict()
    assert all(torch.equal(value, saved[name]) for name, value in state["ema"]["G"].items())
    assert not torch.equal(saved["blocks.0.weight"], state["networks"]["G"]["blocks.0.weight"])
    assert json.loads((made / "generator/config.json").read_text())["ema_half_life_kimg"] == 0.05


def test_the_fixed_noise_is_kept_and_made_the_grids(run: Path) -> None:
    G: Any = api.load(run)
    z = torch.from_numpy(np.load(run / "samples" / "z.npy"))
    assert z.shape == (4, 5)
    images = G.to_uint8(G.images(z, torch.zeros(4, 0))).astype(int)
    with Image.open(run / "samples" / "kimg000000.024.png") as grid:
        scale = grid.width // 38
        first = np.asarray(grid)[::scale, ::scale][2:18, 2:18].transpose(2, 0, 1).astype(int)
    assert abs(first - images[0]).max() <= 1


@pytest.mark.parametrize(("noise", "differ"), [("fixed", False), ("fresh", True)])
def test_fresh_noise_differs_from_grid_to_grid(pictures: Pictures, tmp_path: Path, noise: str, differ: bool) -> None:
    settings = {**TINY, "train.length": "2 iterations", "optim.G.lr": 1e-12, "samples.when": "every 1 iterations"}
    made = train(pictures(), tmp_path / "run", {**settings, "samples.noise": noise, "samples.mode": "train"}).path
    grids = [np.asarray(Image.open(p)).astype(int) for p in sorted((made / "samples").glob("kimg*.png"))]
    assert (abs(grids[0] - grids[1]).max() > 3) == differ


@pytest.mark.parametrize(("name", "classes"), [("skimage_faces25.zip", 2), ("mnist5k.zip", 10)])
def test_real_images_train_without_a_special_step(cache: Path, tmp_path: Path, name: str, classes: int) -> None:
    data = Path(__file__).parents[3] / "shared" / "data" / name
    if not data.exists():
        pytest.skip(f"{name} is not beside the checkout")
    settings = {**TINY, "train.length": "2 iterations", "data.resolution": 32}
    made = api.train(data, run=tmp_path / "run", settings=settings)
    assert made.finished
    assert len(read_recipe(made.path / "recipe.toml")[1]["classes"]) == classes
    G: Any = api.load(made)
    assert G.sample(2).shape == (2, G.channels, 32, 32)


def test_classes_stand_in_columns(pictures: Pictures, tmp_path: Path) -> None:
    data = pictures(num=12, classes=("red", "blue", "green"))
    for path in data.rglob("*.png"):
        Image.new("RGB", (16, 16), path.parent.name).save(path)
    made = train(data, tmp_path / "run", {**TINY, "data.labels": True, "samples.num": 5, "train.length": "1 iteration"})
    with Image.open(made.path / "samples" / "real.png") as picture:
        scale = picture.width // 56
        small = np.asarray(picture)[::scale, ::scale]
    assert small.shape[:2] == (2 + 2 * 18, 2 + 3 * 18)
    rows = [[tuple(small[10 + 18 * row, 10 + 18 * column].tolist()) for column in range(3)] for row in range(2)]
    assert rows == [[(0, 0, 255), (0, 128, 0), (255, 0, 0)]] * 2


@pytest.mark.parametrize(("mode", "channels"), [("L", 1), ("RGBA", 4)])
def test_grey_and_transparent_pictures_train(pictures: Pictures, tmp_path: Path, mode: str, channels: int) -> None:
    made = train(pictures(mode=mode), tmp_path / "run", {**TINY, "data.channels": 0, "train.length": "2 iterations"})
    assert read_recipe(made.path / "recipe.toml")[1]["channels"] == channels
    G: Any = api.load(made)
    assert G.sample(2).shape == (2, channels, 16, 16)


def batch_of(z: torch.Tensor) -> Batch:
    none = z[:, :0]
    return Batch(z=z, c=none, x=none[:, :, None, None], a=none[:, :, None, None])


def samples(network: torch.nn.Module, batch: Batch, mode: str, **more: int) -> np.ndarray:
    return generate([network], lambda b: {"sample": network(b.z, b.c)}, batch, mode, **more)["sample"]


def test_generating_leaves_the_network_as_it_was() -> None:
    torch.manual_seed(0)
    G = torch.nn.Sequential(torch.nn.Unflatten(1, (3, 2, 2)), torch.nn.BatchNorm2d(3))
    before = [b.clone() for b in G.buffers()]

    class WithLabels(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net = G

        def forward(self, z: torch.Tensor, c: torch.Tensor) -> torch.Tensor:
            return self.net(z)

    batch = batch_of(torch.randn(6, 12))
    network = WithLabels().train()
    alone = {mode: samples(network, batch, mode, most=4) for mode in ("eval", "train")}
    assert not np.array_equal(alone["eval"], alone["train"])
    assert network.training
    assert all(torch.equal(b, o) for b, o in zip(G.buffers(), before, strict=True))
    assert np.array_equal(samples(network.eval(), batch, "eval", most=1), alone["eval"])
    assert not network.training


def test_generating_in_train_mode_needs_no_buffers() -> None:
    class Plain(torch.nn.Module):
        def forward(self, z: torch.Tensor, c: torch.Tensor) -> torch.Tensor:
            return z[:, :, None, None]

    assert samples(Plain(), batch_of(torch.zeros(2, 3)), "train").shape == (2, 3, 1, 1)


def test_what_a_game_shows_comes_by_name_and_in_order() -> None:
    """Of what it was given as well, in parts that are joined again."""
    z = torch.arange(5.0)[:, None]
    a = torch.linspace(-1, 1, 5).view(5, 1, 1, 1)
    batch = Batch(z=z, c=z[:, :0], x=-a, a=a)
    network = torch.nn.Identity()
    found = generate([network], lambda b: {"input": b.a, "output": network(b.x)}, batch, "eval", most=2)
    assert list(found) == ["input", "output"]
    assert found["input"].flatten().tolist() == [0, 64, 128, 191, 255]
    assert found["output"].flatten().tolist() == [255, 191, 128, 64, 0]


def test_a_line_that_was_cut_short_is_left_out(tmp_path: Path) -> None:
    path = tmp_path / "stats.jsonl"
    path.write_text('{"type": "stats", "kimg": 1}\n{"type": "event"}\n{"type": "sta')
    assert [line["type"] for line in read_stats(path)] == ["stats", "event"]
    assert read_stats(tmp_path / "none") == []


@pytest.mark.parametrize("num", [0, 1, 5, 2500])
def test_curves_are_drawn_of_any_number_of_lines(tmp_path: Path, num: int) -> None:
    lines = [{"type": "stats", "kimg": i, "loss D": None if i == 3 else 1 / (i + 1), "D(x)": 0.5} for i in range(num)]
    save_curves([*lines, {"type": "event", "kimg": 1}], tmp_path / "curves.png")
    with Image.open(tmp_path / "curves.png") as picture:
        assert picture.width > 500


def test_a_critics_logits_are_drawn_where_it_gives_no_probabilities(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: list[str] = []
    monkeypatch.setattr(pictures_module, "curve", lambda axes, lines, name: drawn.append(name))
    for rating in ("D(x)", "logit real"):
        save_curves([{"type": "stats", "kimg": 1, "loss D": 0.5, rating: 0.5}], tmp_path / "curves.png")
    losses = ["loss D", "loss G"]
    assert drawn[:5] == [*losses, "D(x)", "D(G(z))", "D(G(z)) after"]
    assert drawn[5:] == [*losses, "logit real", "logit fake", "logit fake after"]


def test_listeners_hear_every_line_and_tick(
    pictures: Pictures, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    heard: list[Any] = []

    class Ear:
        def on_stats(self, line: Any) -> None:
            heard.append(line["iteration"])

        def on_tick(self, snapshot: Any) -> None:
            heard.append((snapshot.cur_nimg, snapshot.total_nimg, snapshot.grid.exists()))

        def close(self) -> None:
            heard.append("closed")

    monkeypatch.setattr(sessions, "display_for", lambda total, name: Ear())
    train(pictures(), tmp_path / "run", {**TINY, "train.length": "3 iterations"})
    assert heard == [(0, 12, True), 0, 1, 2, (8, 12, True), 3, (12, 12, True), 3, "closed"]  # looks at 0 and 3


def test_an_event_is_a_line_of_its_own(run: Path) -> None:
    it: Any = object.__new__(Run)
    it.path, it.training, it.first = run, SimpleNamespace(cur_nimg=24), True
    it.event("lr changed", to=0.1)
    assert read_stats(run / "stats.jsonl")[-1] == {"type": "event", "kimg": 0.024, "event": "lr changed", "to": 0.1}

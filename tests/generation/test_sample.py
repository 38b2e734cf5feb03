import json
import re
import sys
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from gannet import api
from gannet.errors import UserError
from gannet.generation import sample as sample_module
from gannet.generation.filter import AtLeast, Filter
from gannet.generation.latents import OfSeed
from gannet.generation.load import Generator, load
from gannet.generation.sample import Drawing, samples
from gannet.images import to_float

Made = Callable[..., Path]
CLASSES = ("ant", "bee", "cat")


def pixels(paths: list[Path]) -> list[np.ndarray]:
    images = []
    for path in paths:
        with Image.open(path) as image:
            images.append(np.asarray(image).astype(int))
    return images


def close(one: torch.Tensor, other: torch.Tensor) -> bool:
    """Whether both are the same pictures, but for a rounding."""
    return bool(abs(Generator.to_uint8(one).astype(int) - Generator.to_uint8(other).astype(int)).max() <= 1)


@pytest.mark.parametrize("classes", [(), CLASSES])
def test_an_image_of_a_seed_is_the_same_whatever_comes_with_it(run: Made, classes: tuple[str, ...]) -> None:
    G = load(run(classes))
    whole = G.sample(30, seed=4)
    assert whole.shape == (30, 3, 16, 16) and whole.dtype == torch.float32
    assert whole.min() >= -1 and whole.max() <= 1
    for start, num, batch in [(0, 30, 7), (0, 1, 64), (11, 5, 2), (29, 1, 1), (3, 20, 20)]:
        assert close(G.sample(num, seed=4, start=start, batch=batch), whole[start : start + num])
    assert not close(whole[:1], whole[1:2])
    assert not close(G.sample(30, seed=5), whole)


def test_files_are_the_same_whatever_their_number(run: Made, tmp_path: Path) -> None:
    folder = run()
    many = api.sample(folder, num=70, seed=3, out=tmp_path / "many").files
    few = api.sample(folder, num=2, seed=3, out=tmp_path / "few").files
    assert [path.name for path in many[:2]] == [path.name for path in few]
    assert all(abs(a - b).max() <= 1 for a, b in zip(pixels(few), pixels(many), strict=False))
    assert load(folder).sample(0).shape == (0, 3, 16, 16)


def test_files_carry_seed_number_and_class(run: Made, tmp_path: Path) -> None:
    plain = api.sample(run(), num=2, seed=9, out=tmp_path / "out")
    assert [path.name for path in plain.files] == ["seed9_000000.png", "seed9_000001.png"]
    labelled = api.sample(run(("a/b", "ç c")), num=2, seed=9, out=tmp_path / "out")
    assert [path.name for path in labelled.files] == ["seed9_000000_a_b.png", "seed9_000001_ç_c.png"]
    assert (labelled.num, labelled.num_drawn) == (2, 2)


@pytest.mark.parametrize(("channels", "mode"), [(1, "L"), (3, "RGB"), (4, "RGBA")])
def test_files_and_grids_have_their_mode(run: Made, tmp_path: Path, channels: int, mode: str) -> None:
    folder = run(channels=channels)
    (path,) = api.sample(folder, num=1, out=tmp_path / "out").files
    (grid,) = api.sample(folder, num=6, out=tmp_path / "grid", grid=True).files
    assert grid == tmp_path / "grid.png"
    with Image.open(path) as image, Image.open(grid) as picture:
        assert (image.mode, image.size) == (mode, (16, 16))
        assert picture.mode == ("L" if mode == "L" else "RGB")
        assert picture.width >= 180 and picture.width % (3 * 18 + 2) == 0


def test_labels_go_by_name_and_number(run: Made, tmp_path: Path) -> None:
    G = load(run(CLASSES))
    by_name, by_number, text = (G.sample(4, labels=label) for label in ("bee", 1, "1"))
    assert torch.equal(by_name, by_number) and torch.equal(by_name, text)
    each = G.sample(4, labels=["ant", 1, "cat", "bee"])
    assert close(each[1], by_name[1]) and close(each[3], by_name[3])
    assert not close(each[2], by_name[2])
    assert close(G.sample(4), G.sample(4, labels=[0, 1, 2, 0]))
    assert close(G.sample(3, start=2), G.sample(3, start=2, labels=[2, 0, 1]))
    names = [path.name for path in api.sample(tmp_path / "run", num=2, label="cat", out=tmp_path / "out").files]
    assert names == ["seed0_000000_cat.png", "seed0_000001_cat.png"]


def test_so_many_of_each_class(run: Made, tmp_path: Path) -> None:
    drawn = api.sample(run(CLASSES), num=4, per_class=True, out=tmp_path / "out")
    assert drawn.num == 12
    counts = [sum(name in path.name for path in drawn.files) for name in CLASSES]
    assert counts == [4, 4, 4]


@pytest.mark.parametrize(
    ("classes", "asked", "says"),
    [
        (CLASSES, {"label": "bea"}, "there is no class 'bea'; did you mean 'bee'?"),
        (CLASSES, {"label": 3}, "there is no class '3'; choose from: ant, bee, cat"),
        (CLASSES, {"label": -1}, "there is no class '-1'"),
        ((), {"label": "bee"}, "trained without labels: leave --label out"),
        ((), {"per_class": True}, "trained without labels: leave --per-class out"),
        ((), {"num": 0}, "--num is 0, and must be at least 1"),
    ],
)
def test_what_cannot_be_sampled_is_one_line(
    run: Made, tmp_path: Path, classes: tuple[str, ...], asked: dict[str, Any], says: str
) -> None:
    with pytest.raises(UserError) as caught:
        api.sample(run(classes), out=tmp_path / "out", **asked)
    assert says in str(caught.value) and "\n" not in str(caught.value)
    assert not (tmp_path / "out").exists()


def test_too_few_labels_are_one_line(run: Made) -> None:
    with pytest.raises(UserError, match="2 labels were given for 3 images"):
        load(run(CLASSES)).sample(3, labels=[0, 1])


def test_one_class_and_each_class_do_not_go_together(
    run: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def bounded(*args: Any) -> Any:
        for number, batch in enumerate(samples(*args)):
            assert number < 20, "it draws without end"
            yield batch

    monkeypatch.setattr(sample_module, "samples", bounded)
    with pytest.raises(UserError, match="label"):
        api.sample(run(CLASSES), num=1, per_class=True, label="ant", out=tmp_path / "out")


@pytest.mark.parametrize("classes", [(), CLASSES])
def test_min_realness_keeps_what_d_rates_so(run: Made, tmp_path: Path, classes: tuple[str, ...]) -> None:
    G = load(run(classes))
    D = G.discriminator()
    x = G.sample(300, seed=6)
    rated = D.realness(x, G.one_hot(G.label_numbers(300, None))).numpy()
    bound = float(np.quantile(rated, 0.7))
    drawn = api.sample(tmp_path / "run", num=12, seed=6, min_realness=bound, out=tmp_path / "out")
    numbers = [int(re.findall(r"_(\d{6})", path.name)[0]) for path in drawn.files]
    assert numbers == np.flatnonzero(rated >= bound)[:12].tolist()
    assert drawn.num == 12 and drawn.num_drawn > numbers[-1]
    labels = G.one_hot(G.label_numbers(300, None))[numbers]
    saved = torch.from_numpy(np.stack(pixels(drawn.files)).transpose(0, 3, 1, 2).astype(np.uint8))
    again = D.realness(to_float(saved), labels)
    assert (again > bound - 0.05).all() and again.mean() > rated.mean()


def test_realness_is_the_sigmoid_of_the_logit(run: Made) -> None:
    D = load(run()).discriminator()
    x, c = torch.randn(5, 3, 16, 16), torch.zeros(5, 0)
    logits = D.network(x, c).detach()
    assert torch.allclose(D.realness(x, c), 1 / (1 + torch.exp(-logits)))


def test_every_class_gets_its_number_of_real_ones(run: Made, tmp_path: Path) -> None:
    drawn = api.sample(run(CLASSES), num=3, per_class=True, min_realness=0.5, out=tmp_path / "out")
    assert [sum(name in path.name for path in drawn.files) for name in CLASSES] == [3, 3, 3]


def test_a_hopeless_rate_ends_in_one_line(run: Made, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"D rates only 0 of [\d,]+ images at 0.99 or more") as caught:
        api.sample(run(bias=-1000.0), num=1, min_realness=0.99, out=tmp_path / "out")
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "out").exists()


class Chosen(Filter):
    """A filter that keeps the images with these numbers."""

    def __init__(self, *kept: int):
        self.kept = kept

    def keeps(self, x: torch.Tensor, c: torch.Tensor, first: int) -> np.ndarray:
        return np.isin(np.arange(first, first + len(x)), self.kept)

    def hopeless(self, num_kept: int, num_drawn: int, wanted: int) -> UserError:
        return UserError(f"{num_kept} of {num_drawn}")


def test_nothing_comes_of_a_filter_that_is_hopeless_from_the_beginning(run: Made) -> None:
    latents, came = OfSeed(load(run()), 0), []
    with pytest.raises(UserError, match="3 of 2048"):
        came += Drawing(latents, 5, filter=Chosen(0, 1, 900))
    assert came == []
    assert [each.number for each in Drawing(latents, 3, filter=Chosen(0, 1, 900))] == [0, 1, 900]
    assert len(list(Drawing(latents, 5, filter=Chosen(*range(4), 1900)))) == 5


def test_a_rate_that_all_pass_draws_no_more_than_a_batch(run: Made) -> None:
    G = load(run(bias=1000.0))
    drawing = Drawing(OfSeed(G, 0), 5, filter=AtLeast(G, 0.9))
    assert [sample.number for sample in drawing] == drawing.numbers == [0, 1, 2, 3, 4]
    assert drawing.num_drawn == 5


def test_without_a_discriminator_there_is_no_realness(run: Made, tmp_path: Path) -> None:
    folder = run(d=False)
    assert api.sample(folder, num=1, out=tmp_path / "out").num == 1
    ways: list[dict[str, Any]] = [{"min_realness": 0.5}, {"rejection": True}]
    for more in ways:
        with pytest.raises(UserError, match="discriminator is not there, so nothing can rate"):
            api.sample(folder, num=1, out=tmp_path / "more", **more)


def test_logits_that_are_no_probabilities_rate_nothing(run: Made, tmp_path: Path) -> None:
    """Nor are they, in the folders of older versions, compared with those of reals."""
    folder = run(classifier=False)
    ways: list[dict[str, Any]] = [{"min_realness": 0.5}, {"rejection": True}]
    for more in ways:
        with pytest.raises(UserError, match="gives no probabilities"):
            api.sample(folder, num=1, out=tmp_path / "out", **more)


def test_progress_grows_to_the_number(run: Made) -> None:
    calls: list[tuple[int, int]] = []
    assert len(list(Drawing(OfSeed(load(run()), 0), 100, progress=lambda done, of: calls.append((done, of))))) == 100
    assert calls[-1] == (100, 100)
    assert all(a[0] < b[0] for a, b in pairwise(calls))


def test_code_in_a_config_is_never_run(run: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "evil.py").write_text("raise SystemExit('run')")
    monkeypatch.syspath_prepend(str(tmp_path))
    folder = run()
    for part in ("generator", "discriminator"):
        config = json.loads((folder / part / "config.json").read_text())
        (folder / part / "config.json").write_text(json.dumps({**config, "name": "evil:Generator"}))
    with pytest.raises(UserError, match="evil:Generator"):
        load(folder)
    with pytest.raises(UserError, match="evil:Generator"):
        facts: dict[str, Any] = {"classes": (), "z_dim": 5, "resolution": 16, "channels": 3}
        Generator(torch.nn.Identity(), torch.device("cpu"), folder=folder / "generator", **facts).discriminator()
    assert "evil" not in sys.modules


def test_a_discriminator_whose_config_lacks_something_is_one_line(run: Made, tmp_path: Path) -> None:
    folder = run()
    path = folder / "discriminator" / "config.json"
    config = json.loads(path.read_text())
    del config["logit_is_probability"]
    path.write_text(json.dumps(config))
    with pytest.raises(UserError):
        api.sample(folder, num=1, min_realness=0.5, out=tmp_path / "out")


def test_what_holds_no_generator_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="there is no run"):
        load(tmp_path / "nothing")
    with pytest.raises(UserError, match="holds no generator yet"):
        load(tmp_path)


def test_a_generator_folder_works_alone(run: Made, tmp_path: Path) -> None:
    folder = run(d=False)
    (folder / "generator").rename(tmp_path / "alone")
    assert load(tmp_path / "alone").sample(2).shape == (2, 3, 16, 16)


def test_a_file_in_the_way_is_not_overwritten(run: Made, tmp_path: Path) -> None:
    (tmp_path / "out").write_text("mine")
    with pytest.raises(UserError, match="is a file: name a folder, or add --grid"):
        api.sample(run(), num=1, out=tmp_path / "out")
    assert (tmp_path / "out").read_text() == "mine"


def test_a_grid_has_a_column_for_each_class(run: Made, tmp_path: Path) -> None:
    (even,) = api.sample(run(CLASSES), num=6, out=tmp_path / "even", grid=True).files
    (odd,) = api.sample(tmp_path / "run", num=4, out=tmp_path / "odd", grid=True).files
    sizes = []
    for path in (even, odd):
        with Image.open(path) as picture:
            sizes.append(picture.width / picture.height)
    assert sizes == pytest.approx([(3 * 18 + 2) / (2 * 18 + 2), 1])


def test_samples_stand_beside_the_reals(run: Made, tmp_path: Path) -> None:
    folder = run()
    with pytest.raises(UserError, match="add --grid"):
        api.sample(folder, num=4, out=tmp_path / "out", beside_real=True)
    with pytest.raises(UserError, match="leave --beside-real out"):
        api.sample(folder, num=4, out=tmp_path / "out", grid=True, beside_real=True)
    (folder / "samples").mkdir()
    Image.new("L", (50, 40), 7).save(folder / "samples" / "real.png")
    (alone,) = api.sample(folder, num=4, out=tmp_path / "alone", grid=True).files
    (both,) = api.sample(folder, num=4, out=tmp_path / "both", grid=True, beside_real=True).files
    (right,), (whole,) = pixels([alone]), pixels([both])
    assert (whole[:40, :50] == 7).all()
    assert (whole[: right.shape[0], -right.shape[1] :] == right).all()


def shared(run: Path, shares: list[float]) -> Generator:
    """The generator, of a run that says how often each class was in its data."""
    config = run / "generator" / "config.json"
    config.write_text(json.dumps({**json.loads(config.read_text()), "class_shares": shares}))
    return load(run)


def test_classes_come_as_often_as_in_the_data(run: Made, tmp_path: Path) -> None:
    G = shared(run(CLASSES), [0.6, 0.3, 0.1])
    for start in (0, 12345):
        counts = np.bincount(G.label_numbers(1000, None, start), minlength=3)
        assert np.abs(counts - [600, 300, 100]).max() <= 3
    assert G.label_numbers(10, None, 7).tolist() == G.label_numbers(17, None)[7:].tolist()
    assert sum(sample.label == 0 for sample in Drawing(OfSeed(G, 0), 60)) in range(34, 39)


def test_grids_and_nearly_equal_classes_go_through_them_in_turn(run: Made, tmp_path: Path) -> None:
    G = shared(run(CLASSES), [0.6, 0.3, 0.1])
    equally = OfSeed(G, 0, equally=True)
    assert [sample.label for sample in Drawing(equally, 7)] == [0, 1, 2, 0, 1, 2, 0]
    assert [sample.label for sample in Drawing(equally, 2, per_class=True)] == [0, 1, 2, 0, 1, 2]
    assert shared(G.folder.parent, [0.3, 0.3, 0.4]).label_numbers(4, None).tolist() == [0, 1, 2, 0]


class WithoutOneClass(Filter):
    def keeps(self, x: Any, c: Any, first: int) -> Any:
        return c.argmax(1).numpy() != 2

    def hopeless(self, num_kept: int, num_drawn: int, wanted: int) -> UserError:
        return UserError(f"{num_kept} of {num_drawn}, {wanted} wanted")


def test_of_each_class_nothing_is_made_where_the_filter_keeps_none_of_one(run: Made, tmp_path: Path) -> None:
    G = load(run(CLASSES))
    drawing = Drawing(OfSeed(G, 0, equally=True), 10, per_class=True, filter=WithoutOneClass())
    with pytest.raises(UserError, match=r"20 of .* 30 wanted"):
        next(iter(drawing))


@pytest.mark.parametrize("shares", [[0.5, 0.5], [0.5, 0.5, 0.0], [0.5, 0.6, -0.1]])
def test_shares_that_cannot_be_are_one_line(run: Made, shares: list[float]) -> None:
    with pytest.raises(UserError, match="class_shares"):
        shared(run(CLASSES), shares)

"""Which is real? Nothing tells before the choice, and the rate is told with its exact interval."""

import io
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from scipy.stats import binomtest
from starlette.testclient import TestClient
from studios import ORIGIN, Ask, Runs, error

from gannet.errors import UserError
from gannet.evaluation.deception import clopper_pearson
from gannet.generation.load import load
from gannet.images import grid, png
from gannet.studio.data import Folders
from gannet.studio.play import Player
from gannet.studio.rate import SEED, Pairs, cells
from gannet.studio.rating import Ratings
from gannet.studio.runs import Runs as Shown


@pytest.fixture
def run(trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the trained run, to be rated."""
    monkeypatch.setenv("GANNET_CACHE", str(trained.parent / "cache"))
    return Path(shutil.copytree(trained / "small", tmp_path / "runs" / "small"))


def choose(client: TestClient, pair: str, choice: str, rater: str = "ann", ms: float = 900) -> Any:
    body = {"pair": pair, "choice": choice, "rater": rater, "ms": ms}
    return client.post("/api/rate/small", json=body, headers=ORIGIN)


def shown(client: TestClient, pair: dict[str, Any]) -> dict[str, np.ndarray]:
    answers = {side: client.get(pair[side]) for side in ("left", "right")}
    return {side: np.asarray(Image.open(io.BytesIO(answer.content))) for side, answer in answers.items()}


def test_ten_pairs_are_rated_and_the_interval_is_right(run: Path, ask: Ask) -> None:
    client, G = ask(), load(run)
    correct = []
    for i in range(10):
        pair = client.get("/api/rate/small/pair?rater=ann&seconds=2").json()
        pictures = shown(client, pair)
        label = i % 2
        fake = G.to_uint8(G.images(G.z(SEED, i, 1), G.one_hot(np.array([label]))))[0].transpose(1, 2, 0)
        real = next(side for side, picture in pictures.items() if (picture != fake).any())
        assert (pictures["right" if real == "left" else "left"] == fake).all()
        assert pair["label"] == ("circle", "square")[label] and pair["kimg"] == 0.024
        answer = choose(client, pair["pair"], "left").json()
        assert answer == {"correct": real == "left", "real": real}
        correct.append(answer["correct"])
    found = client.get("/api/rate/small/result").json()
    fooled = 10 - sum(correct)
    interval = binomtest(fooled, 10).proportion_ci(method="exact")
    assert found["deception"]["num"] == 10 and found["deception"]["rate"] == fooled / 10
    assert (found["deception"]["low"], found["deception"]["high"]) == pytest.approx((interval.low, interval.high))
    assert [(each["label"], each["num"]) for each in found["by_label"]] == [("circle", 5), ("square", 5)]
    assert [(each["rater"], each["num"]) for each in found["by_rater"]] == [("ann", 10)]
    assert [each["kimg"] for each in found["by_kimg"]] == [0.024]
    assert len(found["hardest"]) == fooled and all(each["fooled"] == 1 for each in found["hardest"])
    for each in found["hardest"]:
        assert client.get(each["fake"]).status_code == client.get(each["real"]).status_code == 200
    lines = [json.loads(line) for line in (run / "ratings.jsonl").read_text().splitlines()]
    assert [line["correct"] for line in lines] == correct and {line["seconds"] for line in lines} == {2.0}
    assert len(client.get("/api/rate/small/result.csv").text.splitlines()) == 11


@pytest.mark.parametrize(("k", "n"), [(0, 10), (10, 10), (1, 10), (5, 10), (37, 100), (480, 1000), (1, 1)])
def test_the_interval_is_the_exact_one(k: int, n: int) -> None:
    expected = binomtest(k, n).proportion_ci(method="exact")
    assert clopper_pearson(k, n) == pytest.approx((expected.low, expected.high), abs=1e-6)


def test_the_interval_of_none_of_ten_by_hand() -> None:
    assert clopper_pearson(0, 10) == pytest.approx((0, 1 - 0.025**0.1))


def test_nothing_tells_which_is_real_before_the_choice(run: Path, ask: Ask) -> None:
    client, sides = ask(), []
    for _ in range(16):
        answer = client.get("/api/rate/small/pair?rater=ann")
        pair = answer.json()
        assert set(pair) == {"pair", "left", "right", "label", "kimg", "number"} and "fake" not in answer.text
        pictures = [client.get(pair[side]) for side in ("left", "right")]
        assert len({(p.headers["content-type"], *sorted(p.headers)) for p in pictures}) == 1
        assert len({Image.open(io.BytesIO(p.content)).mode for p in pictures}) == 1
        sides.append(choose(client, pair["pair"], "left").json()["real"])
        error(client.get(pair["left"]), 404)  # and after it the address is gone
    assert set(sides) == {"left", "right"}


def test_a_pair_is_judged_once_and_every_rater_sees_the_same_fakes(run: Path, ask: Ask) -> None:
    client = ask()
    pair = client.get("/api/rate/small/pair?rater=ann").json()
    assert choose(client, pair["pair"], "right").status_code == 200
    error(choose(client, pair["pair"], "left"), 409)
    error(choose(client, "nothing", "left"), 409)
    numbers = [client.get(f"/api/rate/small/pair?rater={rater}").json()["number"] for rater in ("ann", "bob")]
    assert numbers == [1, 0]


@pytest.mark.parametrize(
    "body",
    [
        {"choice": "middle", "ms": 1},
        {"choice": "left", "ms": -1},
        {"choice": "left", "ms": "1"},
        {"choice": "left", "ms": 1, "rater": "<script>"},
        {"choice": "left", "ms": 1, "rater": ["x"]},
        {},
    ],
)
def test_what_is_no_choice_is_not_written(run: Path, ask: Ask, body: dict[str, Any]) -> None:
    client = ask()
    pair = client.get("/api/rate/small/pair").json()["pair"]
    error(client.post("/api/rate/small", json={"pair": pair, **body}, headers=ORIGIN), 400)
    assert not (run / "ratings.jsonl").exists()


def test_old_weights_are_rated_by_their_grids(run: Path, ask: Ask) -> None:
    client = ask()
    fakes = cells(run / "samples" / "kimg000000.008.png", 16)
    assert len(fakes) == 4 and fakes[0].shape == (3, 16, 16)
    for number in range(5):
        pair = client.get("/api/rate/small/pair?rater=ann&checkpoint=0.007").json()
        pictures = shown(client, pair)
        real = choose(client, pair["pair"], "left").json()["real"]
        fake = pictures["left" if real == "right" else "right"].transpose(2, 0, 1)
        assert pair["kimg"] == 0.008 and pair["number"] == number and (fake == fakes[number % 4]).all()
        assert not any((pictures[real].transpose(2, 0, 1) == each).all() for each in fakes)
    assert "checkpoint" in error(client.get("/api/rate/small/pair?checkpoint=x"), 400)


def test_without_the_images_reals_come_from_the_grid_of_reals(run: Path, ask: Ask) -> None:
    recipe = run / "recipe.toml"
    recipe.write_text(recipe.read_text().replace('"shapes-labelled"', '"gone"'))
    client = ask()
    pair = client.get("/api/rate/small/pair").json()
    pictures = shown(client, pair)
    real = pictures[choose(client, pair["pair"], "left").json()["real"]].transpose(2, 0, 1)
    assert any((real == each).all() for each in cells(run / "samples" / "real.png", 16)[::2])  # the circles
    (run / "samples" / "real.png").unlink()
    error(client.get("/api/rate/small/pair"), 404)


def test_a_real_of_which_the_grid_does_not_tell_the_class_has_none(run: Path) -> None:
    recipe = run / "recipe.toml"
    recipe.write_text(recipe.read_text().replace('"shapes-labelled"', '"gone"'))
    pairs = Pairs(Ratings(Shown(run.parent)), Player(Shown(run.parent), Folders([], run.parent)))
    settings = pairs.ratings.runs.settings(run)
    for classes, told in (("a", "b"), True), (("a",), True), ((), False), ([str(i) for i in range(17)], False):
        reals = [pairs.real(run, settings, 0, i, 0.024, classes) for i in range(4)]
        assert [name for _, name in reals] == ["a" if told else None] * 4
    assert len({image.tobytes() for image, _ in reals}) == 4  # any of the grid, where the class is not known
    assert pairs.real(run, settings, 2, 0, 0.024, "abcde")[1] is None  # 5 classes have no columns among 4 images


@pytest.mark.parametrize("at_hand", [True, False])
def test_no_real_comes_again_before_all_came_and_other_weights_have_another_order(
    run: Path, ask: Ask, at_hand: bool
) -> None:
    if not at_hand:
        recipe = run / "recipe.toml"
        recipe.write_text(recipe.read_text().replace('"shapes-labelled"', '"gone"'))
    pairs = Pairs(Ratings(Shown(run.parent)), Player(Shown(run.parent), Folders([], run.parent)))
    settings, num = pairs.ratings.runs.settings(run), 60 if at_hand else 2
    orders = []
    for kimg in (0.024, 0.048):
        order = [pairs.real(run, settings, i % 2, i, kimg, ("circle", "square"))[0].tobytes() for i in range(2 * num)]
        assert len(set(order)) == len(order) or not at_hand
        assert set(order[:2]) != set(order[2:4])
        orders.append(order)
    assert orders[0] != orders[1] or not at_hand


def test_a_picture_that_is_too_large_or_no_png_is_not_opened(tmp_path: Path) -> None:
    Image.new("1", (10_000, 10_000)).save(tmp_path / "large.png")
    Image.new("1", (20_000, 20_000)).save(tmp_path / "larger.png")
    Image.new("RGB", (36, 36)).save(tmp_path / "other.png", "GIF")
    for file, line in (("large", "too large"), ("larger", "damaged"), ("other", "damaged")):
        with pytest.raises(UserError, match=line):
            cells(tmp_path / f"{file}.png", 16)


def test_a_private_run_keeps_no_real_image(run: Path, ask: Ask) -> None:
    recipe = run / "recipe.toml"
    recipe.write_text(recipe.read_text().replace("private = false", "private = true"))
    client = ask()
    while not (run / "ratings").exists():
        choose(client, client.get("/api/rate/small/pair").json()["pair"], "left")
    assert [path.name[-9:] for path in (run / "ratings").iterdir()] == ["-fake.png"]


@pytest.mark.parametrize(("num", "columns", "channels"), [(1, 0, 3), (4, 0, 3), (64, 8, 3), (7, 0, 1), (30, 10, 3)])
@pytest.mark.parametrize("side", [4, 16, 32, 64])
def test_a_grid_is_cut_into_what_it_was_made_of(
    tmp_path: Path, num: int, columns: int, channels: int, side: int
) -> None:
    images = np.random.Generator(np.random.Philox(num)).integers(0, 256, (num, channels, side, side), np.uint8)
    (tmp_path / "grid.png").write_bytes(png(grid(images, columns)))
    assert np.array_equal(np.stack(cells(tmp_path / "grid.png", side)), images)


def test_a_damaged_picture_is_told_in_one_line(run: Path, ask: Ask, tmp_path: Path) -> None:
    path = run / "samples" / "kimg000000.008.png"
    path.write_bytes(path.read_bytes()[:200])
    assert "damaged" in error(ask().get("/api/rate/small/pair?checkpoint=0.008"), 400)
    Image.new("RGB", (37, 91)).save(tmp_path / "other.png")
    with pytest.raises(UserError, match="no grid"):
        cells(tmp_path / "other.png", 16)


def test_strange_lines_and_formulas_among_ratings_do_no_harm(runs: Runs, ask: Ask) -> None:
    run = runs("one")
    line = {"time": "", "pair": 0, "rater": "=1+1", "choice": "real", "correct": True, "ms": 1, "seconds": None}
    line |= {"kimg": 1.0, "label": None}
    strange = "\n".join(json.dumps({**line, key: [1]}) for key in ("pair", "rater", "kimg", "label", "correct"))
    (run / "ratings.jsonl").write_text(f'{json.dumps(line)}\n[1]\n{{"pair": 1}}\n{strange}\n{"[" * 100_000}\nhalf a li')
    found = ask().get("/api/rate/one/result").json()
    assert found["deception"]["num"] == 1 and found["by_label"] == [] and found["hardest"] == []
    assert "'=1+1" in ask().get("/api/rate/one/result.csv").text

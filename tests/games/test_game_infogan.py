"""The codes of InfoGAN, against a plain loop as the paper writes it."""

import json
import math
from collections.abc import Callable
from pathlib import Path
from statistics import NormalDist
from typing import Any

import pytest
import torch
from exact import BATCH, DENSE, exact, learn, same, tiny, weights
from runs import TINY
from torch.nn.functional import log_softmax, softplus

from gannet import api
from gannet.data.batch import Batch, Noise
from gannet.errors import UserError
from gannet.games.infogan import CodedDraw, InfoGAN, uniform_codes
from gannet.games.turn import Pieces
from gannet.losses.adversarial import NonSaturating
from gannet.training import measure
from gannet.training.loop import Training, iterate

CDF = NormalDist().cdf
CODES = 4
GAME = {"game": {"name": "infogan", "categories": CODES, "weight": 0.5, "continuous_weight": 0.25}}
PLAIN = {**DENSE, **GAME, "optim.G.lr": 1e-3, "optim.D.lr": 1e-3}


def play_plainly(t: Training, num: int) -> None:
    """Chen et al. 2016, equation 6: both turns bring down their loss minus lambda L_I; Q learns with D."""
    G, Q, loader = t.networks["G"], t.networks["Q"], t.loader
    D: Any = t.networks["D"]
    none = torch.empty(BATCH, 0)

    def information(features: torch.Tensor, numbers: list[int], u: torch.Tensor) -> torch.Tensor:
        said = Q(features)
        category = log_softmax(said[:, :CODES], 1)[range(BATCH), numbers]
        mean, std = said[:, CODES : CODES + 2], said[:, CODES + 2 :].exp()
        return 0.5 * category + 0.25 * torch.distributions.Normal(mean, std).log_prob(u).sum(1)

    for i in range(num):
        x, _ = loader.reals(i * BATCH, BATCH)
        z, other = (loader.noise((2 * i + k) * BATCH, BATCH) for k in range(2))
        numbers = [int(CODES * CDF(value)) for value in other[:, 0].tolist()]
        c = torch.eye(CODES, dtype=torch.float64)[numbers]
        u = torch.tensor([[2 * CDF(value) - 1 for value in row] for row in z[:, :2].tolist()], dtype=torch.float64)
        fake = G(z, c)
        logits, features = D.logits_and_features(fake.detach(), none)
        learn(t, "D", (softplus(-D(x, none)) + softplus(logits) - information(features, numbers, u)).mean())
        logits, features = D.logits_and_features(fake, none)
        learn(t, "G", (softplus(-logits) - information(features, numbers, u)).mean())


def agree(one: Training, other: Training) -> None:
    for name in ("G", "D", "Q"):
        for key, value in one.networks[name].state_dict().items():
            torch.testing.assert_close(other.networks[name].state_dict()[key], value, rtol=1e-9, atol=1e-10)


def test_it_equals_a_plain_loop() -> None:
    ours, plain = exact(tiny(PLAIN)), exact(tiny(PLAIN))
    before = weights(plain.networks["Q"])
    play_plainly(plain, 6)
    for _ in range(6):
        iterate(ours)
    agree(plain, ours)
    assert not same(weights(plain.networks["Q"]), before)


def test_micro_batches_equal_one() -> None:
    """Apart from the batch norm in Q, which has to see its batch."""
    whole, cut = exact(tiny(PLAIN)), exact(tiny({**PLAIN, "train.micro_batch": 2}))
    for t in (whole, cut):
        t.networks["Q"].eval()
        for _ in range(3):
            iterate(t)
    agree(whole, cut)
    lines = [t.means.flush() for t in (whole, cut)]
    assert lines[0] == pytest.approx(lines[1], rel=1e-9)


def test_q_shares_ds_turn() -> None:
    t = tiny(PLAIN)
    assert t.game.players["G"] == [t.networks["G"]] and t.game.players["D"] == [t.networks["D"], t.networks["Q"]]
    iterate(t)
    names = set(t.means.flush())
    assert {"D real", "D fake", "D code", "D continuous code"} <= names
    assert {"G adversarial", "G code", "G continuous code", "code accuracy"} <= names


def test_a_q_that_knows_nothing_pays_the_entropies() -> None:
    """Zeros say 1/K to each category, and N(0, 1) to each u: log K, and K log sqrt(2 pi) + u^2 / 2."""
    t = tiny({**PLAIN, "optim.D.lr": 1e-12})
    for parameter in t.networks["Q"].parameters():
        parameter.data.zero_()
    iterate(t)
    line, u = t.means.flush(), uniform_codes(t.loader.noise(0, BATCH)[:, :2])
    assert line["G code"] == pytest.approx(0.5 * math.log(CODES), rel=1e-5)
    expected = 0.25 * (math.log(2 * math.pi) + u.square().sum(1).mean().item() / 2)
    assert line["G continuous code"] == pytest.approx(expected, rel=1e-5)


def test_continuous_codes_are_uniform() -> None:
    z = torch.tensor([[-8.0, -0.6744897502, 0], [0.6744897502, 8, 1]], dtype=torch.float64)
    expected = [[-1, -0.5, 0], [0.5, 1, 0.682689492]]
    assert torch.allclose(uniform_codes(z), torch.tensor(expected, dtype=torch.float64), atol=1e-9)


class Draws:
    """z of 0, then normal numbers in steps of a percentile."""

    offset = 0

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self) -> Batch:
        noise = self.noise()
        return Batch(z=noise.z, c=noise.c, x=torch.ones(100, 1), a=torch.ones(100, 0))

    def noise(self) -> Noise:
        self.calls += 1
        values = [NormalDist().inv_cdf((i + 0.5) / 100) if self.calls % 2 == 0 else 0.0 for i in range(100)]
        return Noise(z=torch.tensor(values)[:, None], c=torch.zeros(100, 0))


def test_categories_are_uniform_and_independent_of_z() -> None:
    draw = CodedDraw(Draws(), 10)
    for drawn in (draw(), draw.noise()):
        assert drawn.z.abs().max() == 0
        assert drawn.c.sum(0).tolist() == [10] * 10 and drawn.c.sum(1).tolist() == [1] * 100
    assert CodedDraw(Draws(), 3)().x.shape == (100, 1)


def test_the_last_category_holds_whatever_rounds_up_to_it() -> None:
    class Far(Draws):
        def noise(self) -> Noise:
            return Noise(z=torch.tensor([[9.0], [-9.0]]), c=torch.zeros(2, 0))

    assert CodedDraw(Far(), 3).noise().c.tolist() == [[0, 0, 1], [1, 0, 0]]


def test_the_codes_stand_in_for_the_labels_of_the_data() -> None:
    t = tiny({**PLAIN, "data.labels": True}, ("cat", "dog"))
    assert t.loader.dataset.classes == ("0", "1", "2", "3") and t.loader.num_classes == CODES
    assert t.loader.dataset.labels.tolist() == [0, 1, 2, 3] * 2


@pytest.mark.parametrize(
    ("settings", "line"),
    [
        ({"categories": 1}, "game.categories is 1"),
        ({"continuous": 6}, "game.continuous is 6, and must be from 0 to G.z_dim, 5"),
        ({"weight": -1.0}, "must be at least 0"),
        ({"top_k": 0.0}, "game.top_k is 0"),
    ],
)
def test_what_cannot_be_is_one_line(settings: dict[str, Any], line: str) -> None:
    with pytest.raises(UserError, match=line):
        tiny({**DENSE, "game": {"name": "infogan", **settings}})


def test_a_game_without_continuous_codes() -> None:
    t = tiny({**DENSE, "game": {"name": "infogan", "continuous": 0}})
    iterate(t)
    assert "G continuous code" not in t.means.flush()


def test_a_d_without_features_is_one_line() -> None:
    t = tiny(DENSE)
    with pytest.raises(UserError, match="hands out none"):
        InfoGAN(Pieces({"G": t.networks["G"], "D": torch.nn.Linear(1, 1)}, NonSaturating()))


@pytest.mark.parametrize("label", ["channel", "concatenation", "projection"])
def test_a_run_samples_by_code(
    label: str, pictures: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """G's folder lists the codes as classes, and D's has none; the folders of the data are not used."""
    monkeypatch.setattr(measure, "time_iterations", lambda training: 0.01)
    settings = {**TINY, "game": {"name": "infogan", "categories": 3}, "train.length": "2 iterations", "D.label": label}
    run = api.train(pictures(), recipe="dcgan-shapes", run=tmp_path / "run", settings=settings)
    configs = {
        name: json.loads((run.path / name / "config.json").read_text()) for name in ("generator", "discriminator")
    }
    assert configs["generator"]["classes"] == ["0", "1", "2"] and configs["discriminator"]["classes"] == []
    G: Any = api.load(run.path)
    images, c = G.sample(3, labels="2"), torch.eye(3)
    assert torch.equal(images[:1], G.sample(1, labels=2)) and not torch.equal(images[:1], G.sample(1, labels=0))
    assert G.discriminator().realness(images, c).shape == (3,)

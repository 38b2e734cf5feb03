from typing import Any, cast

import pytest
import torch
from exact import BATCH, SMALL, tiny, weights
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from gannet.training.ema import EMA
from gannet.training.loop import iterate


def test_after_a_half_life_the_old_value_counts_half() -> None:
    network = nn.Linear(1, 1, bias=False)
    with torch.no_grad():
        network.weight.fill_(1.0)
    ema = EMA({"G": network}, half_life_kimg=2.0)
    with torch.no_grad():
        network.weight.fill_(3.0)
    average = cast(nn.Linear, ema.networks["G"])
    ema.update(2000)
    assert average.weight.item() == pytest.approx(2.0)
    ema.update(4000)
    assert average.weight.item() == pytest.approx(3 - 0.25)
    assert network.weight.item() == 3.0
    assert not average.weight.requires_grad


def test_many_small_updates_equal_one_big_one() -> None:
    networks = [nn.Linear(3, 2, dtype=torch.float64) for _ in range(2)]
    networks[1].load_state_dict(networks[0].state_dict())
    one, many = (EMA({"G": network}, 0.5) for network in networks)
    for network in networks:
        with torch.no_grad():
            network.weight.copy_(torch.arange(6.0).reshape(2, 3))
    one.update(640)
    for _ in range(10):
        many.update(64)
    assert torch.allclose(
        one.networks["G"].state_dict()["weight"], many.networks["G"].state_dict()["weight"], rtol=1e-12
    )


def test_buffers_are_averaged_and_counters_copied() -> None:
    network = nn.BatchNorm1d(2)
    ema = EMA({"G": network}, 1.0)
    network.running_mean = cast(Tensor, network.running_mean).fill_(4.0)
    cast(Tensor, network.num_batches_tracked).fill_(7)
    ema.update(1000)
    assert cast(Tensor, ema.networks["G"].running_mean).tolist() == [2.0, 2.0]
    assert cast(Tensor, ema.networks["G"].num_batches_tracked).item() == 7


def test_spectral_norm_divides_the_average_by_its_own_largest_singular_value() -> None:
    """The weight turns: its vectors' mean would be too short, its newest vectors those of another weight."""
    network = spectral_norm(nn.Linear(2, 2, bias=False, dtype=torch.float64))
    weight = cast(Any, network).parametrizations.weight.original
    with torch.no_grad():
        weight.copy_(torch.tensor([[3.0, 0.1], [0.0, 1.0]]))
        for _ in range(10):
            network(torch.ones(1, 2, dtype=torch.float64))
        ema = EMA({"G": network}, half_life_kimg=1.0)
        weight.copy_(torch.tensor([[1.0, 0.1], [0.0, 2.5]]))
    for _ in range(100):
        network(torch.ones(1, 2, dtype=torch.float64))
        ema.update(10)
    average = cast(Any, ema.networks["G"]).parametrizations.weight.original
    expected = average / torch.linalg.matrix_norm(average, 2)
    assert average.tolist() == [[pytest.approx(2.0), pytest.approx(0.1)], [0.0, pytest.approx(1.75)]]
    torch.testing.assert_close(cast(nn.Linear, ema.networks["G"].eval()).weight, expected, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("game", [{"name": "gan"}, {"name": "gan", "d_steps": 2}])
def test_the_loop_averages_once_for_the_images_of_an_iteration(game: dict[str, Any]) -> None:
    t = tiny({**SMALL, "game": game, "ema.half_life_kimg": 0.01})
    assert t.ema and t.samplers["G"] is t.ema.networks["G"]
    expected = weights(t.networks["G"])
    for _ in range(3):
        iterate(t)
        new = t.networks["G"].state_dict()
        old_share = 0.5 ** (BATCH * game.get("d_steps", 1) / 10)
        expected = {
            n: old_share * v + (1 - old_share) * new[n] if v.is_floating_point() else new[n]
            for n, v in expected.items()
        }
    for name, value in t.ema.networks["G"].state_dict().items():
        assert torch.allclose(value, expected[name], rtol=1e-5, atol=1e-7), name


def test_without_an_average_g_itself_samples() -> None:
    t = tiny(SMALL)
    assert t.ema is None and t.samplers["G"] is t.networks["G"]


def test_the_average_forgets_its_beginning_while_it_warms_up() -> None:
    """After 100 images a warm-up of 0.1 bounds the half-life to 10 images."""
    network = nn.Linear(1, 1, bias=False)
    average = EMA({"G": network}, half_life_kimg=1.0, warm_up=0.1)
    with torch.no_grad():
        network.weight.fill_(3.0)
        cast(nn.Linear, average.networks["G"]).weight.fill_(1.0)
    average.update(10, 100)
    assert cast(nn.Linear, average.networks["G"]).weight.item() == pytest.approx(2.0)
    average.update(1000, 10**6)
    assert cast(nn.Linear, average.networks["G"]).weight.item() == pytest.approx(2.5)

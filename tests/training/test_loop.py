from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any, cast

import pytest
import torch
from exact import BATCH, DENSE, SMALL, exact, same, tiny, weights
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits as bce

from gannet.config import overridden
from gannet.data.dataset import Dataset
from gannet.errors import DivergedError, UserError
from gannet.games.turn import Loss, Turn
from gannet.plan import random_dataset
from gannet.recipes import recipe
from gannet.training import loop
from gannet.training.build import build_training, completed
from gannet.training.checkpoint import restore, state_of
from gannet.training.engine import Engine, find_device, only, reseed
from gannet.training.loop import GIVE_UP_AFTER, Training, iterate, play


def play_plainly(game: str, t: Training, num: int, fresh: bool = False, g_steps: int = 1) -> None:
    """The loop as a tutorial writes it: nothing frozen, nothing shared with the code under test but data."""
    G, D, loader = t.networks["G"], t.networks["D"], t.loader
    adam = {"betas": (0.5, 0.999), "eps": 1e-8, "foreach": False, "fused": False}
    opt_g, opt_d = torch.optim.Adam(G.parameters(), 2e-4, **adam), torch.optim.Adam(D.parameters(), 2e-4, **adam)
    next_z = 0

    def noise() -> Tensor:
        nonlocal next_z
        next_z += BATCH
        return loader.noise(next_z - BATCH, BATCH)

    def loss(x: Tensor, label: float) -> Tensor:
        logits = D(x, x.new_empty(BATCH, 0))
        return bce(logits, torch.full_like(logits, label))

    def generate(z: Tensor) -> Tensor:
        return G(z, z.new_empty(BATCH, 0))

    def learn(optimizer: torch.optim.Optimizer, value: Tensor) -> None:
        optimizer.zero_grad()
        value.backward()
        optimizer.step()

    for i in range(num):
        x, _ = loader.reals(i * BATCH, BATCH)
        if game == "gan-halves":
            learn(opt_d, loss(x, 1))
            G.eval()
            fake = generate(noise()).detach()
            G.train()
            learn(opt_d, loss(fake, 0))
            for _ in range(g_steps):
                learn(opt_g, loss(generate(noise()), 1))
            continue
        fake = generate(noise())
        if game == "gan-simultaneous":
            d_gradients = torch.autograd.grad(loss(x, 1) + loss(fake.detach(), 0), list(D.parameters()))
            g_gradients = torch.autograd.grad(loss(fake, 1), list(G.parameters()))
            for network, gradients in ((D, d_gradients), (G, g_gradients)):
                for parameter, gradient in zip(network.parameters(), gradients, strict=True):
                    parameter.grad = gradient
            opt_d.step()
            opt_g.step()
            continue
        learn(opt_d, loss(x, 1) + loss(fake.detach(), 0))
        for step in range(g_steps):
            learn(opt_g, loss(generate(noise()) if fresh or step else fake, 1))


@pytest.mark.parametrize(
    ("game", "settings"),
    [
        ("gan", {}),
        ("gan", {"fresh_noise": True}),
        ("gan", {"g_steps": 2}),
        ("gan-simultaneous", {}),
        ("gan-halves", {"g_steps": 2}),
    ],
)
def test_ten_iterations_equal_a_plain_loop(game: str, settings: dict[str, Any]) -> None:
    made = {**SMALL, "game": {"name": game, **settings}}
    ours, plain = exact(tiny(made)), exact(tiny(made))
    start = weights(plain.networks["G"])
    for _ in range(10):
        iterate(ours)
    play_plainly(game, plain, 10, settings.get("fresh_noise", False), settings.get("g_steps", 1))
    for name in ("G", "D"):
        for key, value in plain.networks[name].state_dict().items():
            assert torch.allclose(ours.networks[name].state_dict()[key], value, rtol=1e-9, atol=1e-12), (name, key)
    moved = {name: float((value - start[name]).abs().max()) for name, value in weights(plain.networks["G"]).items()}
    assert min(v for k, v in moved.items() if k.endswith("weight")) > 1e-4


@pytest.mark.parametrize("game", ["gan", "gan-simultaneous", "gan-halves"])
@pytest.mark.parametrize("micro", [1, 2])
def test_micro_batches_equal_the_whole_batch(game: str, micro: int) -> None:
    settings = {**DENSE, "game": {"name": game}}
    whole, cut = exact(tiny(settings)), exact(tiny({**settings, "train.micro_batch": micro}))
    lines = []
    for t in (whole, cut):
        for _ in range(5):
            iterate(t)
        lines.append(t.means.flush())
    for name in ("G", "D"):
        for key, value in whole.networks[name].state_dict().items():
            assert torch.allclose(cut.networks[name].state_dict()[key], value, rtol=1e-9, atol=1e-12), (name, key)
    assert lines[0] == pytest.approx(lines[1], rel=1e-6)
    assert (whole.cur_nimg, whole.num_z) == (cut.cur_nimg, cut.num_z)


def watch(t: Training) -> list[tuple[str, str]]:
    """Which player's parameters get a gradient in which turn."""
    found: list[tuple[str, str]] = []
    now = ""
    turns = t.game.turns

    def watched(draw: Any, when: Any) -> Iterator[Turn | tuple[Turn, ...]]:
        for turn in turns(draw, when):
            parts = tuple(Turn(p.name, p.learns, told(p)) for p in (turn if isinstance(turn, tuple) else (turn,)))
            yield parts if isinstance(turn, tuple) else parts[0]

    def told(turn: Turn) -> Callable[[], Loss]:
        def loss() -> Loss:
            nonlocal now
            now = turn.learns
            for player, parameters in t.parameters.items():
                assert all(p.requires_grad == (player == turn.learns) for p in parameters)
            return turn.loss()

        return loss

    for player, parameters in t.parameters.items():
        parameters[0].register_hook(lambda _, player=player: found.append((now, player)))
    cast(Any, t.game).turns = watched
    return found


@pytest.mark.parametrize("game", ["gan", "gan-simultaneous", "gan-halves"])
def test_only_the_learner_gets_gradients(game: str) -> None:
    t = tiny({**SMALL, "game": {"name": game}})
    found = watch(t)
    iterate(t)
    iterate(t)
    one = [("D", "D"), ("D", "D"), ("G", "G")] if game == "gan-halves" else [("D", "D"), ("G", "G")]
    assert found == one * 2
    assert all(p.requires_grad for parameters in t.parameters.values() for p in parameters)


def test_the_others_thaw_when_a_loss_fails() -> None:
    t = tiny(SMALL)
    with pytest.raises(ZeroDivisionError), only("D", t.parameters):
        assert not any(p.requires_grad for p in t.parameters["G"])
        raise ZeroDivisionError
    assert all(p.requires_grad for p in t.parameters["G"])


def test_fakes_are_made_once_an_iteration() -> None:
    t = tiny(SMALL)
    forwards: list[int] = []
    t.networks["G"].register_forward_hook(lambda *_: forwards.append(1))
    for _ in range(3):
        iterate(t)
    assert len(forwards) == 3


@pytest.mark.parametrize(
    ("game", "reals", "z"),
    [
        ({"name": "gan"}, 1, 1),
        ({"name": "gan", "d_steps": 3}, 3, 3),
        ({"name": "gan", "g_steps": 2}, 1, 2),
        ({"name": "gan", "fresh_noise": True}, 1, 2),
        ({"name": "gan-halves", "g_steps": 2}, 1, 3),
    ],
)
def test_images_are_counted_as_d_sees_them(game: dict[str, Any], reals: int, z: int) -> None:
    t = tiny({**SMALL, "game": game})
    assert list(play(t, 2 * reals * BATCH)) == [reals * BATCH, 2 * reals * BATCH]
    assert (t.iteration, t.num_z) == (2, 2 * z * BATCH)


def state(t: Training, player: str) -> dict[str, Any]:
    """Weights, buffers and Adam's moments of a player, copied."""
    adam = t.optimizers[player].state_dict()["state"]
    return {
        **weights(t.networks[player]),
        **{f"{i} {name}": value.clone() for i, slots in adam.items() for name, value in slots.items()},
    }


def spoil(t: Training, kind: str, iterations: set[int]) -> None:
    """The objective of D gives a loss, or a gradient, that is not finite in some iterations."""
    objective = cast(Any, t.game.objective)
    d_real, d_fake, g = objective.d_real, objective.d_fake, objective.g
    player, how = kind.split()

    def bad(logits: Tensor, good: Callable[[Tensor], Tensor]) -> Tensor:
        if t.iteration not in iterations:
            return good(logits)
        if how == "loss":
            return good(logits) + float("inf")
        return good(logits) + (logits - logits.detach()).abs().sqrt()  # 0, with a slope of infinity times 0

    if player == "D":
        objective.d_real = lambda logits: bad(logits, d_real)
        objective.d_fake = lambda logits: bad(logits, d_fake)
    else:
        objective.g = lambda logits: bad(logits, g)


@pytest.mark.parametrize("kind", ["D loss", "D gradient", "G loss", "G gradient"])
@pytest.mark.parametrize("game", ["gan", "gan-simultaneous", "gan-halves"])
def test_a_step_that_is_not_finite_changes_nothing_of_its_player(kind: str, game: str) -> None:
    t = tiny({**SMALL, "game": {"name": game}, "D.norm": "batch"})
    spoil(t, kind, {2})
    iterate(t)
    iterate(t)
    assert t.num_skipped == 0
    player = kind[0]
    other = "G" if player == "D" else "D"
    before, others = state(t, player), weights(t.networks[other])
    iterate(t)
    assert same(state(t, player), before)
    assert not same(weights(t.networks[other]), others)
    assert (t.num_skipped, t.skipped_in_a_row, t.iteration, t.cur_nimg) == (1, 1, 3, 3 * BATCH)
    iterate(t)
    assert not same(weights(t.networks[player]), before)
    assert (t.num_skipped, t.skipped_in_a_row) == (1, 0)
    assert all(torch.isfinite(v).all() for n in ("G", "D") for v in state(t, n).values())


def test_buffers_of_all_networks_go_back_after_a_refused_step() -> None:
    t = tiny({**SMALL, "D.norm": "spectral"})
    spoil(t, "G loss", {1})
    iterate(t)
    before = [b.clone() for b in t.buffers]
    assert len(before) > 10
    iterate(t)
    assert all(torch.equal(one, other) for one, other in zip(t.buffers, before, strict=True))
    iterate(t)
    same_ones = [torch.equal(one, other) for one, other in zip(t.buffers, before, strict=True)]
    assert same_ones.count(True) < 4


def test_weights_that_are_not_finite_do_not_pass_into_buffers() -> None:
    t = tiny(SMALL)
    iterate(t)
    t.loader.reals = lambda start, num: (torch.full((num, 3, 16, 16), torch.nan), torch.zeros(num, 0))
    iterate(t)
    assert t.num_skipped == 1
    assert all(torch.isfinite(v).all() for n in ("G", "D") for v in state(t, n).values())


def test_three_refused_iterations_in_a_row_are_a_divergence() -> None:
    t = tiny(DENSE)
    spoil(t, "D loss", {1, 2, *range(4, 30)})
    with pytest.raises(DivergedError, match=r"3 iterations in a row .* not finite") as caught:
        for _ in play(t, 10**6):
            pass
    assert (t.iteration, t.num_skipped, caught.value.status) == (7, 2 + GIVE_UP_AFTER, 3)
    assert "\n" not in str(caught.value) and isinstance(caught.value, UserError)


def test_random_draws_repeat_for_the_same_images_and_differ_for_others() -> None:
    def draws(seed: int, *numbers: int) -> list[float]:
        reseed(seed, *numbers)
        return torch.rand(3).tolist()

    assert draws(1, 2, 3) == draws(1, 2, 3)
    assert len({tuple(d) for d in (draws(1, 2, 3), draws(1, 3, 2), draws(2, 2, 3), draws(1, 2), draws(1, -2, 3))}) == 5


def test_dropout_differs_between_turns_and_iterations() -> None:
    t = tiny({**SMALL, "D.dropout": 0.5})
    seen: list[int] = []

    def noted(*numbers: int) -> None:
        reseed(*numbers)
        seen.append(torch.initial_seed())

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop, "reseed", noted)
        iterate(t)
        iterate(t)
    assert len(seen) == len(set(seen)) == 6


@pytest.mark.parametrize("game", ["gan", "gan-simultaneous", "gan-halves"])
def test_a_restored_training_goes_on_as_if_it_had_never_stopped(game: str) -> None:
    settings = {
        **SMALL,
        "game": {"name": game},
        "D.dropout": 0.3,
        "data.flip": True,
        "data.jitter": 0.2,
        "objective.label_noise": 0.1,
        "ema.half_life_kimg": 0.02,
    }
    whole, stopped, later = (tiny(settings) for _ in range(3))
    for _ in range(5):
        iterate(whole)
    for _ in range(2):
        iterate(stopped)
    torch.manual_seed(123)
    restore(later, state_of(stopped))
    for _ in range(3):
        iterate(later)
    ours, theirs = state_of(later), state_of(whole)
    for name in ("G", "D"):
        assert same(ours["networks"][name], theirs["networks"][name])
        assert same(state(later, name), state(whole, name))
    assert same(ours["ema"]["G"], theirs["ema"]["G"])
    assert ours["counters"] == theirs["counters"]
    assert later.means.flush() == whole.means.flush()


def test_bfloat16_autocast_keeps_weights_and_losses_in_float32() -> None:
    small = completed(overridden(recipe("dcgan"), SMALL))
    t = build_training(small, random_dataset(small, 3, ()), Engine(torch.device("cpu"), "bfloat16"))
    kinds: list[torch.dtype] = []
    t.networks["D"].register_forward_hook(lambda m, i, out: kinds.append(out.dtype))
    objective = cast(Any, t.game.objective)
    good = objective.g
    objective.g = lambda logits: kinds.append(logits.dtype) or good(logits)
    iterate(t)
    assert kinds == [torch.bfloat16] * 3 + [torch.float32]
    assert {p.dtype for parameters in t.parameters.values() for p in parameters} == {torch.float32}
    assert t.num_skipped == 0


def test_labels_of_reals_and_fakes_go_along() -> None:
    t = tiny({**SMALL, "data.labels": True}, classes=("a", "b", "c"))
    seen: list[Tensor] = []
    t.networks["D"].register_forward_hook(lambda m, args, out: seen.append(args[1]))
    iterate(t)
    c = t.loader.reals(0, BATCH)[1]
    assert c.shape == (BATCH, 3) and (c.sum(1) == 1).all()
    assert all(torch.equal(one, c) for one in seen) and len(seen) == 3


def test_a_recipe_whose_players_do_not_fit_the_game_is_refused() -> None:
    small = overridden(recipe("dcgan"), SMALL)
    for players in ({"G"}, {"G", "D", "Q"}):
        odd = completed(replace(small, optim=dict.fromkeys(players, small.optim["G"])))
        with pytest.raises(UserError, match="the players of 'gan' are G, D"):
            build_training(odd, random_dataset(odd, 3, ()), Engine(torch.device("cpu")))


def test_no_images_are_one_line() -> None:
    small = completed(overridden(recipe("dcgan"), SMALL))
    full = random_dataset(small, 3, ())
    empty = Dataset(full.images[:0], full.labels[:0], (), [], full.images, "", [], full.cache)
    with pytest.raises(UserError, match="there is no image to train on"):
        build_training(small, empty, Engine(torch.device("cpu")))


def test_the_seed_decides_the_first_weights() -> None:
    one, again, other = (weights(tiny({**SMALL, "seed": seed}).networks["G"]) for seed in (1, 1, 2))
    assert same(one, again)
    assert not same(one, other)


@pytest.mark.parametrize("name", ["cuda:99", "cpu:x"])
def test_a_device_that_is_not_here_is_one_line(name: str) -> None:
    with pytest.raises(UserError, match="cannot be used here") as caught:
        find_device(name)
    assert "\n" not in str(caught.value)

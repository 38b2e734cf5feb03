"""FreezeD (Mo, Cho and Shin 2020, "Freeze the discriminator: a simple baseline for fine-tuning GANs")."""

from collections.abc import Iterable
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrize import is_parametrized

from gannet.errors import UserError
from gannet.networks.base import Rating


def freeze_first(D: nn.Module, num: int, x: Tensor, c: Tensor) -> None:
    """Takes the gradient from D's first `num` layers with weights, and from the norms between them.

    A layer holds a matrix or a convolution, and lies on the image's way; they count in the order in
    which D applies them to images x `[N, C, R, R]` and labels c `[N, num_classes]`. Where D holds other Ds,
    it takes the first `num` of each. Raises `UserError` where no layer of one would be left to learn.
    """
    for name, order in each_in_order(D, x, c).items():
        layers = [i for i, module in enumerate(order) if any(p.dim() > 1 for p in held(module))]
        if num >= len(layers):
            raise UserError(f"train.freeze_d is {num}, and must be below {len(layers)}, the number of layers of {name}")
        for module in order[: layers[num - 1] + 1]:
            for parameter in held(module):
                parameter.requires_grad_(False)


def learning(networks: Iterable[nn.Module]) -> list[nn.Parameter]:
    """The parameters of a player that are not frozen."""
    return [p for network in networks for p in network.parameters() if p.requires_grad]


def held(module: nn.Module) -> list[nn.Parameter]:
    """The module's own parameters, those behind spectral norm included."""
    behind = cast(nn.ModuleDict, module.parametrizations).values() if is_parametrized(module) else ()
    return [p for one in (module, *behind) for p in one.parameters(recurse=False)]


def each_in_order(D: nn.Module, x: Tensor, c: Tensor) -> dict[str, list[nn.Module]]:
    """What the image goes through of D, and of each D inside, as `in_order` has it, by their names from D on."""
    inside = [name for name, module in D.named_modules() if name and isinstance(module, Rating)]
    holder = {
        module: max((f"D.{each}" for each in inside if f"{name}.".startswith(f"{each}.")), key=len, default="D")
        for name, module in D.named_modules()
    }
    of: dict[str, list[nn.Module]] = {}
    for module in in_order(D, x, c):
        of.setdefault(holder[module], []).append(module)
    return of


def in_order(D: nn.Module, x: Tensor, c: Tensor) -> list[nn.Module]:
    """The modules with parameters that the image goes through, in the order in which they are done with it."""
    done: list[nn.Module] = []

    def note(module: nn.Module, inputs: Any, output: Any) -> None:
        results = output if isinstance(output, tuple) else (output,)
        if module not in done and any(result.requires_grad for result in results):  # a label's embedding is not x's
            done.append(module)

    hooks = [module.register_forward_hook(note) for module in D.modules() if held(module)]
    try:
        with torch.enable_grad():
            D.eval().requires_grad_(False)(x.detach().requires_grad_(), c)
    finally:
        D.train().requires_grad_(True)
        for hook in hooks:
            hook.remove()
    return done

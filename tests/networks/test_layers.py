"""Norms, initialisation and small layers that families share."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from gannet.networks.attention import SelfAttention
from gannet.networks.layers import ClassBatchNorm, SameBatchNorm, beside, initialise
from gannet.networks.resnet import Discriminator


def labels(num: int, classes: int) -> Tensor:
    return torch.eye(classes)[torch.arange(num) % max(classes, 1)] if classes else torch.zeros(num, 0)


def awake(norm: ClassBatchNorm) -> Any:
    for embedding in (norm.to_scale, norm.to_shift):
        nn.init.normal_(next(embedding.parameters()), 0, 0.5)
    return norm


def test_class_batch_norm_sample_by_sample() -> None:
    torch.manual_seed(0)
    norm: Any = ClassBatchNorm(2, 3).double()
    x, c = torch.randn(4, 2, 3, 3, dtype=torch.float64), labels(4, 3).double()
    neutral = torch.stack([(x[:, f] - x[:, f].mean()) / (x[:, f].var(correction=0) + 1e-5).sqrt() for f in (0, 1)], 1)
    assert torch.allclose(norm(x, c), neutral)
    awake(norm)
    for i in range(4):
        scale, shift = 1 + norm.to_scale.weight[i % 3], norm.to_shift.weight[i % 3]
        for f in range(2):
            assert torch.allclose(norm(x, c)[i, f], neutral[i, f] * scale[f] + shift[f])


def test_class_batch_norm_by_hand() -> None:
    """Values -1 and 1 are normal already: scale and shift of a class, and of half of each, are what comes out."""
    norm: Any = ClassBatchNorm(1, 2).double()
    norm.to_scale.weight.data = torch.tensor([[1.0], [3.0]], dtype=torch.float64)
    norm.to_shift.weight.data = torch.tensor([[0.0], [10.0]], dtype=torch.float64)
    x = torch.tensor([-1.0, 1, -1, 1], dtype=torch.float64).reshape(4, 1, 1, 1)
    c = torch.tensor([[1.0, 0], [1, 0], [0, 1], [0.5, 0.5]], dtype=torch.float64)
    assert norm(x, c).flatten().tolist() == pytest.approx([-2, 2, 6, 8], abs=1e-4)


@pytest.mark.parametrize("classes", [0, 3])
def test_class_batch_norm_begins_as_torchs(classes: int) -> None:
    norm, plain = ClassBatchNorm(4, classes), SameBatchNorm(4)
    x, c = torch.randn(6, 4, 3, 3), labels(6, classes)
    assert torch.allclose(norm(x, c), plain(x, c), atol=1e-6)
    norm.eval(), plain.eval()
    before = {name: value.clone() for name, value in norm.state_dict().items()}
    assert torch.allclose(norm(x, c), plain(x, c), atol=1e-6)
    assert all(torch.equal(value, before[name]) for name, value in norm.state_dict().items())


def test_gradients_of_class_batch_norm_and_those_of_penalties() -> None:
    norm = awake(ClassBatchNorm(2, 3)).double()
    x, c = torch.randn(4, 2, 2, 1, dtype=torch.float64), torch.softmax(torch.randn(4, 3, dtype=torch.float64), 1)
    inputs = (x.requires_grad_(), c.requires_grad_())
    assert torch.autograd.gradcheck(norm, inputs)
    assert torch.autograd.gradgradcheck(norm, inputs)


def test_values_beside_maps_and_vectors() -> None:
    values = torch.tensor([[1.0, 2.0], [3.0, 4.0]])
    assert beside(torch.zeros(2, 1), values).tolist() == [[0, 1, 2], [0, 3, 4]]
    seen = beside(torch.zeros(2, 3, 2, 2, dtype=torch.bfloat16), values)
    assert seen.dtype == torch.bfloat16
    assert seen[1, 3:].flatten(1).tolist() == [[3] * 4, [4] * 4]
    assert beside(torch.ones(2, 3), torch.zeros(2, 0)).tolist() == [[1] * 3] * 2


def test_orthogonal_weights() -> None:
    network = nn.Sequential(nn.Linear(6, 3), nn.Conv2d(2, 5, 3), nn.ConvTranspose2d(4, 2, 4), SelfAttention(8))
    initialise(network, "orthogonal")
    for name, parameter in network.named_parameters():
        if name.endswith("bias"):
            assert (parameter == 0).all()
        elif parameter.ndim > 1:
            rows = parameter.detach().flatten(1)
            gram = rows @ rows.T if len(rows) <= rows.shape[1] else rows.T @ rows
            assert torch.allclose(gram, torch.eye(len(gram)), atol=1e-5), name


def test_on_the_meta_device_spectral_norm_has_its_sizes_and_computes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    facts: dict[str, Any] = {"width": 4, "norm": "spectral", "label": "projection"}
    D = Discriminator(16, 3, 5, **facts)
    monkeypatch.setattr("torch.nn.functional.normalize", None)
    with torch.device("meta"):
        sizes = Discriminator(16, 3, 5, **facts)
    found = {name: value.shape for name, value in sizes.state_dict().items()}
    assert "projection.parametrizations.weight.0._u" in found
    assert found == {name: value.shape for name, value in D.state_dict().items()}
    assert not sizes.load_state_dict(D.state_dict(), assign=True).missing_keys

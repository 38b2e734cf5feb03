"""Convolutions over time."""

import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d


class ConvGRU(nn.Module):
    """A convolutional GRU (Ballas et al. 2016, "Delving deeper into convolutional networks for learning video
    representations"), with ReLU where that has tanh (Clark, Donahue and Simonyan 2019, section 3).

    r = sigmoid(W_r [x_t; h]), u = sigmoid(W_u [x_t; h]), c = relu(W_c [x_t; r h]) and h_t = u h + (1 - u) c,
    where h is h_(t-1), each W is a convolution of 3x3 with a bias, and products are per value.
    """

    def __init__(self, inputs: int, features: int):
        super().__init__()
        self.inputs, self.features = inputs, features
        self.reset = nn.Conv2d(inputs + features, features, 3, 1, 1)
        self.update = nn.Conv2d(inputs + features, features, 3, 1, 1)
        self.candidate = nn.Conv2d(inputs + features, features, 3, 1, 1)

    def forward(self, x: Tensor, steps: int, state: Tensor | None = None) -> Tensor:
        """The states `[N, steps, features, H, W]` that follow `state` `[N, features, H, W]`, or zeros.

        x is `[N, steps, inputs, H, W]`, or `[N, 1, inputs, H, W]` where it is the same at every step.
        """
        convs = (self.reset, self.update, self.candidate)
        reset, update, candidate = (conv.weight for conv in convs)  # once: reading moves spectral norm's vectors
        of_x = torch.cat([weight[:, : self.inputs] for weight in (reset, update, candidate)])
        of_h = torch.cat([weight[:, self.inputs :] for weight in (reset, update)])
        of_candidate = candidate[:, self.inputs :]
        bias = torch.cat([conv.get_parameter("bias") for conv in convs])
        from_x = conv2d(x.flatten(0, 1), of_x, bias, padding=1).unflatten(0, x.shape[:2])
        gates, candidates = from_x.expand(-1, steps, -1, -1, -1).split((2 * self.features, self.features), dim=2)
        h = candidates.new_zeros(candidates[:, 0].shape) if state is None else state
        states = []
        for gate, c in zip(gates.unbind(1), candidates.unbind(1), strict=True):
            r, u = torch.sigmoid(gate + conv2d(h, of_h, padding=1)).chunk(2, dim=1)
            c = torch.relu(c + conv2d(r * h, of_candidate, padding=1))
            h = u * h + (1 - u) * c
            states.append(h)
        return torch.stack(states, dim=1)

"""A small classifier that other benchmarks train on real images, to say what generated ones show."""

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy


def floats(images: np.ndarray) -> Tensor:
    """uint8 to [-1, 1]."""
    return torch.from_numpy(np.ascontiguousarray(images)).float() / 127.5 - 1


class Classifier:
    """Learns classes of images uint8 `[N, C, R, R]`; nine tenths to train on, the rest to know how good it is."""

    def __init__(self, images: np.ndarray, labels: np.ndarray, epochs: int = 8, seed: int = 0):
        torch.manual_seed(seed)
        num_classes, channels = int(labels.max()) + 1, images.shape[1]
        layers: list[nn.Module] = []
        for before, after in ((channels, 32), (32, 64), (64, 128)):
            layers += [nn.Conv2d(before, after, 3, 1, 1), nn.BatchNorm2d(after), nn.ReLU(), nn.MaxPool2d(2)]
        self.network = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(4 * 128, num_classes))
        order = np.random.Generator(np.random.Philox(seed)).permutation(len(images))
        test, train = order[: len(order) // 10], order[len(order) // 10 :]
        x, y = floats(images[train]), torch.from_numpy(labels[train])
        optimizer = torch.optim.Adam(self.network.parameters(), 1e-3)
        for _ in range(epochs):
            for batch in torch.randperm(len(x)).split(64):
                optimizer.zero_grad()
                cross_entropy(self.network(x[batch]), y[batch]).backward()
                optimizer.step()
        self.network.eval()
        self.accuracy = float((self(images[test]) == labels[test]).mean())

    @torch.inference_mode()
    def __call__(self, images: np.ndarray) -> np.ndarray:
        """The class of each image, int64 `[N]`."""
        return torch.cat([self.network(part).argmax(1) for part in floats(images).split(500)]).numpy()

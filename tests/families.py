"""A small training for each family of networks, with what is typical of it."""

from typing import Any

from golden import SHRUNK

from gannet.networks import GENERATORS

HINGE: dict[str, Any] = {"objective": {"name": "hinge"}, "data.labels": True}
WARM: dict[str, Any] = {"ema.half_life_kimg": 0.02, "ema.warm_up": 0.3}
TYPICAL: dict[str, dict[str, Any]] = {
    "mlp": {"G.hidden": [12], "G.first_norm": False, "D.minibatch": "discrimination"},
    "dcgan": {
        "D.norm": "none",
        "penalties.lecam.weight": 0.3,
        "augment": {"name": "instance-noise", "std": 0.2},
        "schedules.augment.std": "linear to 0 over 0.02 kimg",
    },
    "resnet": {**HINGE, **WARM, "G.spectral": True, "game.d_steps": 2, "game.fresh_noise": True},
    "biggan": {**HINGE, **WARM, "penalties.orthogonal.weight": 1e-3},
    "biggan-deep": {**HINGE, **WARM},
    "dvdgan": {**HINGE, **WARM, "data.kind": "clips", "data.frames": 3, "D.num_spatial": 2},
    "stylegan2": {
        **WARM,
        "game.fresh_noise": True,
        "penalties.r1.every": 3,
        "penalties.path-length.every": 2,
        "augment": {"name": "ada", "p": 0.5},
    },
    "r3gan": {
        "objective": {"name": "relativistic"},
        "penalties.r1.gamma": 0.3,
        "penalties.r2.gamma": 0.3,
        "augment": {"name": "ada", "target": 0.0},
        "schedules.optim.D.lr": "cosine to 1e-5 over 0.03 kimg",
        "schedules.optim.G.beta2": "cosine to 0.99 over 0.03 kimg",
        "schedules.penalties.r1.gamma": "cosine to 0.1 over 0.03 kimg",
        "schedules.ema.half_life_kimg": "cosine to 0.02 over 0.03 kimg",
        "schedules.augment.p": "cosine to 0.5 over 0.03 kimg",
    },
    "fastgan": {
        **WARM,
        "game": {"name": "fastgan"},
        "objective": {"name": "hinge"},
        "augment": {"name": "diffaugment"},
    },
}
FAMILIES: dict[str, dict[str, Any]] = {
    name: {
        "data.resolution": 16,
        "train.batch": 4,
        "G": {"name": name},
        "D": {"name": name},
        **SHRUNK[name][0],
        **SHRUNK[name][1],
        **TYPICAL[name],
    }
    for name in GENERATORS.rows
}

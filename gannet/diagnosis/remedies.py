"""Which one change to make, for each finding: the first of its remedies that fits the run's settings.

A remedy is an exact flag of `gannet train`. Of a run of somebody else's the settings are not known: then the
last one is told, which needs none of them.
"""

from collections.abc import Callable, Mapping
from typing import Any

from gannet.diagnosis.finding import Remedy, Sign

Settings = Mapping[str, Any]
Choice = Callable[[Settings], Remedy | None]

TTUR = "Heusel et al. 2017, GANs trained by a two time-scale update rule, section 1"
MESCHEDER = "Mescheder et al. 2018, Which training methods for GANs do actually converge?, section 4"
RADFORD = "Radford et al. 2016, DCGAN, section 4"
MIYATO = "Miyato et al. 2018, Spectral normalization for GANs, section 2"
GOODFELLOW = "Goodfellow et al. 2014, Generative adversarial nets"

SLOWEST, FASTEST = 1e-6, 5e-3  # rates at which players learn


def remedy(finding: str, settings: Settings, sign: Sign, unit: str) -> Remedy:
    """What to change. `settings` are the recipe's by their dotted names, none where they are not known."""
    if finding == "past-best":
        change = f"--kimg {sign.since:g}" if unit == "kimg" else f"stop, and use the weights of {unit} {sign.since:g}"
        return Remedy(change, "all that came later made it worse", "Prechelt 1998, Early stopping - but when?")
    by_cause = BY_EVIDENCE.get(finding, {})
    choices = by_cause[sign.evidence[0].statistic] if by_cause else REMEDIES[finding]
    found = (choice(settings) for choice in choices)
    return next(remedy for remedy in found if remedy is not None)


def always(change: str, why: str, source: str) -> Choice:
    """Whatever the settings are."""
    return lambda settings: Remedy(change, why, source)


def where(name: str, value: Any, change: str, why: str, source: str) -> Choice:
    """Only where a setting has this value."""
    return lambda settings: Remedy(change, why, source) if settings.get(name) == value else None


def without(name: str, change: str, why: str, source: str) -> Choice:
    """Only where the settings are known, and this one is not among them."""
    return lambda settings: Remedy(change, why, source) if settings and name not in settings else None


def same_rates(ahead: str, behind: str) -> Choice:
    """Where the player that is ahead learns at a higher rate: the other's."""

    def choose(settings: Settings) -> Remedy | None:
        high, low = (settings.get(f"optim.{player}.lr", 0.0) for player in (ahead, behind))
        if not high > low >= SLOWEST:
            return None
        return Remedy(option(f"optim.{ahead}.lr", f"{low:g}"), f"{ahead} learns faster than {behind} can follow", TTUR)

    return choose


def half_rates(*players: str, why: str) -> Choice:
    """Half the rates of these players."""

    def choose(settings: Settings) -> Remedy | None:
        rates = {player: settings.get(f"optim.{player}.lr") for player in players}
        flags = [option(f"optim.{player}.lr", f"{rate / 2:g}") for player, rate in rates.items() if rate]
        return Remedy(" ".join(flags), why, TTUR) if len(flags) == len(players) else None

    return choose


def narrower_d(settings: Settings) -> Remedy | None:
    """A D of half the width, where it has one."""
    width = settings.get("D.width", 0)
    return Remedy(option("D.width", str(width // 2)), "a smaller D keeps fewer images", KARRAS) if width > 1 else None


def less_momentum(settings: Settings) -> Remedy | None:
    """beta1 of both players at 0.5, where one is above it."""
    betas = {player: settings.get(f"optim.{player}.betas", (0.0, 0.0)) for player in ("G", "D")}
    if max(beta1 for beta1, _ in betas.values()) <= 0.5:
        return None
    flags = [option(f"optim.{player}.betas", f"0.5 {beta2:g}") for player, (_, beta2) in betas.items()]
    return Remedy(" ".join(flags), "momentum carries both players past the balance between them", RADFORD)


def twice_the_steps(settings: Settings) -> Remedy:
    """Twice as many steps of D for each of G's as there were."""
    change = option("game.d-steps", str(2 * settings.get("game.d_steps", 1)))
    return Remedy(change, "D learns twice as often for each step of G, and keeps up", f"{GOODFELLOW}, algorithm 1")


def option(setting: str, value: str) -> str:
    """A setting and its value, as the command line takes them."""
    return f"--{setting} {value}"


KARRAS = "Karras et al. 2020, Training GANs with limited data, section 2"
BROCK = "Brock et al. 2019, BigGAN, section 3"
ZHAO = "Zhao et al. 2020, Differentiable augmentation for data-efficient GAN training, section 4"


def rate(player: str) -> tuple[Choice, ...]:
    """The other's rate where that is one that trains, else the one at which most papers learn."""
    why, other = f"{player} takes steps that undo what it has learnt", "D" if player == "G" else "G"

    def as_the_other(settings: Settings) -> Remedy | None:
        rate = settings.get(f"optim.{other}.lr", 0.0)
        return Remedy(option(f"optim.{player}.lr", f"{rate:g}"), why, TTUR) if SLOWEST <= rate <= FASTEST else None

    return as_the_other, always(option(f"optim.{player}.lr", "0.0002"), why, RADFORD)


def beta1(player: str) -> tuple[Choice, ...]:
    why = "momentum carries a player past the balance with the other"
    return (always(option(f"optim.{player}.betas", "0.5 0.999"), why, RADFORD),)


BY_EVIDENCE: Mapping[str, Mapping[str, tuple[Choice, ...]]] = {
    "data": {
        "data images": (always("add images, a hundred at least", "so few are learnt by heart", ZHAO),),
        "data distinct": (always("leave the copies out: gannet inspect names them", "G learns what is there", KARRAS),),
        "real low": (
            always("give the images their whole range, from black to white", "tanh goes from -1 to 1", RADFORD),
        ),
        "real high": (
            always("give the images their whole range, from black to white", "tanh goes from -1 to 1", RADFORD),
        ),
        "data smallest class": (always("--data.no-labels", "a class of a few images is learnt by heart", KARRAS),),
        "data classes told": (
            always("--data.no-labels", "labels that say nothing of the images only split them", BROCK),
        ),
    },
    "settings": {
        "G.z_dim": (always("--G.z-dim 64", "of so few numbers G cannot make so many unlike images", RADFORD),),
        "train.batch": (always("--batch 32", "the mean over so few images is mostly noise", BROCK),),
        "D.width": (always("--D.width 32", "D is too small to tell G what is wrong", BROCK),),
        **{f"optim.{player}.lr": rate(player) for player in ("G", "D")},
        **{f"optim.{player}.betas": beta1(player) for player in ("G", "D")},
    },
}
"""What to do about a cause that is known, by the statistic or the setting that shows it."""

R1_FOR_LEAD = ("--penalties.r1.gamma 1", "a bound on D's slope leaves G a gradient where D is sure", MESCHEDER)
ADA = ("--augment.name ada", "D sees each image in ever new ways", KARRAS)
AGAINST_MEMORY = (where("augment.name", "none", *ADA), narrower_d, always(*ADA))
R1_FOR_SWINGS = ("--penalties.r1.gamma 1", "a penalty damps the turning around the balance", MESCHEDER)

REMEDIES: Mapping[str, tuple[Choice, ...]] = {
    "bad-start": (always("--G.init dcgan", "weights so large leave G no slope to learn on", RADFORD),),
    "not-learning": (
        where(
            "train.precision",
            "bfloat16",
            "--train.precision float32",
            "small steps are lost in rounding",
            "Micikevicius et al. 2018, Mixed precision training, section 3",
        ),
        always("--lr 2e-4", "steps so small are lost in rounding", RADFORD),
    ),
    "d-memorises": AGAINST_MEMORY,
    "copying": AGAINST_MEMORY,
    "diverging": (
        where(
            "train.precision",
            "bfloat16",
            "--train.precision float32",
            "bfloat16 has too few digits here",
            "Micikevicius et al. 2018, Mixed precision training, section 3",
        ),
        less_momentum,
        half_rates("G", "D", why="the steps are too large"),
        always("--lr 1e-4", "the steps are too large", TTUR),
    ),
    "d-wins": (
        where(
            "objective.name",
            "minimax",
            "--objective.name non-saturating",
            "G's gradient vanishes where D is sure",
            f"{GOODFELLOW}, section 3",
        ),
        same_rates("D", "G"),
        without("penalties.r1.gamma", *R1_FOR_LEAD),
        half_rates("D", why="D is ahead at equal rates"),
        always(*R1_FOR_LEAD),
    ),
    "g-wins": (same_rates("G", "D"), twice_the_steps),
    "d-asleep": (same_rates("G", "D"), twice_the_steps),
    "labels-ignored": (
        where(
            "game.name",
            "acgan",
            "--game.weight 2",
            "the class counts for more in both losses",
            "Odena et al. 2017, Conditional image synthesis with auxiliary classifier GANs, section 3",
        ),
        always(
            "--D.label projection",
            "D judges image and label together",
            "Miyato and Koyama 2018, cGANs with projection discriminator, section 3",
        ),
    ),
    "oscillation": (
        less_momentum,
        where(
            "objective.name",
            "wasserstein",
            "--penalties.gradient-penalty.weight 10",
            "a critic without a bound on its slope is thrown about",
            "Gulrajani et al. 2017, Improved training of Wasserstein GANs, section 4",
        ),
        without("penalties.r1.gamma", *R1_FOR_SWINGS),
        half_rates("G", "D", why="smaller steps turn in smaller circles"),
        always(*R1_FOR_SWINGS),
    ),
    "mode-collapse": (
        same_rates("G", "D"),
        without("penalties.r1.gamma", *R1_FOR_LEAD),
        always("--D.norm spectral --D.bias", "D's slope cannot run away from G", MIYATO),
    ),
}

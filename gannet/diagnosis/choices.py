"""What a change depends on: each choice gives a remedy where the settings allow it and it changes something.

Settings are the recipe's by their dotted names; none of them are known of somebody else's run.
"""

from collections.abc import Callable, Mapping
from typing import Any

from gannet.diagnosis.finding import Remedy

Settings = Mapping[str, Any]
Choice = Callable[[Settings], Remedy | None]

TTUR = "Heusel et al. 2017, GANs trained by a two time-scale update rule, section 1"
MESCHEDER = "Mescheder et al. 2018, Which training methods for GANs do actually converge?, section 4"
RADFORD = "Radford et al. 2016, DCGAN, section 4"
MIYATO = "Miyato et al. 2018, Spectral normalization for GANs, section 2"
GOODFELLOW = "Goodfellow et al. 2014, Generative adversarial nets"
KARRAS = "Karras et al. 2020, Training GANs with limited data, section 2"
BROCK = "Brock et al. 2019, BigGAN, section 3"
ZHAO = "Zhao et al. 2020, Differentiable augmentation for data-efficient GAN training, section 4"

SLOWEST, FASTEST = 1e-6, 5e-3  # rates at which players learn
USUAL = 2e-4
HELD_BACK = 0.5  # of the other's rate: a player that learns no faster than this is slow enough
WITHOUT_PENALTIES = ("cyclegan", "gan-halves")  # games that refuse them
ON_SLOPES = ("penalties.r1.gamma", "penalties.gradient-penalty.weight", "penalties.dragan.weight")
UNBOUNDED = ("wasserstein", "relativistic", "relativistic-average")  # no logit says there what D takes for real
SPECTRAL = ("dcgan", "resnet", "patchgan")  # those D whose norm can be spectral
CLASSIFIERS = ("non-saturating", "minimax")


def option(setting: str, value: object) -> str:
    """A setting and its value, as the command line takes them."""
    shown = f"{value:g}" if isinstance(value, float) else str(value)
    return f"--{setting.replace('_', '-')} {shown}"


def always(change: str, why: str, source: str) -> Choice:
    """Whatever the settings are."""
    return lambda settings: Remedy(change, why, source)


def unknown(change: str, why: str, source: str) -> Choice:
    """Only where the settings are not known."""
    return lambda settings: None if settings else Remedy(change, why, source)


def set_to(setting: str, value: object, why: str, source: str, *, also: str = "") -> Choice:
    """Where the recipe has the setting at another value; `also` are flags that belong to it."""

    def choose(settings: Settings) -> Remedy | None:
        if settings.get(setting, value) == value:
            return None
        return Remedy(f"{option(setting, value)} {also}".strip(), why, source)

    return choose


def where(setting: str, values: tuple[object, ...], choice: Choice) -> Choice:
    """A choice for recipes whose setting has one of these values."""
    return lambda settings: choice(settings) if settings.get(setting) in values else None


def times(setting: str, factor: float, why: str, source: str) -> Choice:
    """A number of the recipe times a factor; a whole one stays whole, and at least 1."""

    def choose(settings: Settings) -> Remedy | None:
        before = settings.get(setting) or 0
        after = max(1, int(before * factor)) if isinstance(before, int) else before * factor
        return Remedy(option(setting, after), why, source) if before and after != before else None

    return choose


def on_slope(name: str, value: float, why: str, source: str) -> Choice:
    """A penalty of D's slope, where the game takes one and there is none yet; without known settings as well."""

    def choose(settings: Settings) -> Remedy | None:
        if settings.get("game.name") in WITHOUT_PENALTIES or any(settings.get(each) for each in ON_SLOPES):
            return None
        return Remedy(option(name, value), why, source)

    return choose


def same_rates(ahead: str, behind: str) -> Choice:
    """Where the player that is ahead learns at twice the other's rate or more: the other's."""

    def choose(settings: Settings) -> Remedy | None:
        high, low = (settings.get(f"optim.{player}.lr", 0.0) for player in (ahead, behind))
        if not high * HELD_BACK >= low >= SLOWEST:
            return None
        return Remedy(option(f"optim.{ahead}.lr", low), f"{ahead} learns faster than {behind} can follow", TTUR)

    return choose


def half_rates(*players: str, why: str) -> Choice:
    """Half the rates of these players; the usual one in place of one at which nobody learns."""

    def choose(settings: Settings) -> Remedy | None:
        rates = {player: settings.get(f"optim.{player}.lr") for player in players}
        halved = {player: rate / 2 if rate <= FASTEST else USUAL for player, rate in rates.items() if rate}
        flags = [option(f"optim.{player}.lr", rate) for player, rate in halved.items()]
        return Remedy(" ".join(flags), why, TTUR) if len(flags) == len(players) else None

    return choose


def until_held_back(choice: Choice) -> Choice:
    """Only where D learns faster than at half of G's rate."""

    def choose(settings: Settings) -> Remedy | None:
        d, g = (settings.get(f"optim.{player}.lr", 0.0) for player in ("D", "G"))
        return choice(settings) if d > HELD_BACK * g else None

    return choose


def less_momentum(settings: Settings) -> Remedy | None:
    """beta1 of both players at 0.5, where one is above it and the optimizer has one."""
    adam = [player for player in ("G", "D") if settings.get(f"optim.{player}.name") == "adam"]
    betas = {player: settings[f"optim.{player}.betas"] for player in adam}
    if not any(beta1 > 0.5 for beta1, _ in betas.values()):
        return None
    flags = [option(f"optim.{player}.betas", f"0.5 {beta2:g}") for player, (_, beta2) in betas.items()]
    return Remedy(" ".join(flags), "momentum carries both players past the balance between them", RADFORD)


def faster(player: str, why: str) -> Choice:
    """The usual rate, where the player's is lower."""

    def choose(settings: Settings) -> Remedy | None:
        rate = settings.get(f"optim.{player}.lr", USUAL)
        return Remedy(option(f"optim.{player}.lr", USUAL), why, RADFORD) if rate < USUAL else None

    return choose


def rate_of_the_other(player: str) -> Choice:
    """The other's rate where that is one that trains, else, and for a rate that is too small, the usual one."""
    other = "D" if player == "G" else "G"
    large = f"{player} takes steps that undo what it has learnt"
    small = f"{player} takes steps too small to follow {other}"

    def choose(settings: Settings) -> Remedy | None:
        own, rate = (settings.get(f"optim.{each}.lr", 0.0) for each in (player, other))
        if own < USUAL:
            return Remedy(option(f"optim.{player}.lr", USUAL), small, RADFORD)
        if SLOWEST <= rate <= FASTEST:
            return Remedy(option(f"optim.{player}.lr", rate), large, TTUR)
        return Remedy(option(f"optim.{player}.lr", USUAL), large, RADFORD)

    return choose


def critic_with_a_slope(settings: Settings) -> Remedy | None:
    """A gradient penalty for a critic that has none, in the place of clipped weights."""
    if settings.get("objective.name") != "wasserstein":
        return None
    why = "a critic without a bound on its slope is thrown about"
    source = "Gulrajani et al. 2017, Improved training of Wasserstein GANs, section 4"
    found = on_slope("penalties.gradient-penalty.weight", 10, why, source)(settings)
    if found is None or not settings.get("optim.D.clip"):
        return found
    return Remedy(f"{found.change} {option('optim.D.clip', 0)}", why, source)


def augmented(settings: Settings) -> Remedy | None:
    """ADA, or DiffAugment where no logit says how sure D is of reals; where there is no augmentation yet."""
    if settings.get("augment.name", "none") != "none":
        return None
    if settings.get("objective.name") in UNBOUNDED:
        return Remedy("--augment.name diffaugment", "D sees each image in ever new ways", ZHAO)
    return Remedy("--augment.name ada", "D sees each image in ever new ways", KARRAS)


def spectral_d(settings: Settings) -> Remedy | None:
    """Spectral norm in a D that can have it; DCGAN's layers without batch norm then want their bias."""
    if settings.get("D.name") not in SPECTRAL or settings.get("D.norm") == "spectral":
        return None
    bias = " --D.bias" if settings.get("D.bias") is False else ""
    return Remedy(f"--D.norm spectral{bias}", "D's slope cannot run away from G", MIYATO)


def half_the_width_of_g(settings: Settings) -> Remedy | None:
    """A D half as wide as G."""
    width = settings["G.width"] // 2
    return Remedy(option("D.width", width), "D is too small to tell G what is wrong", BROCK)


def without_labels(why: str, source: str) -> Choice:
    """No labels, in a game that asks for none."""

    def choose(settings: Settings) -> Remedy | None:
        game = " --game.name gan" if settings.get("game.name") == "acgan" else ""
        return Remedy(f"--data.no-labels{game}", why, source)

    return choose


def another_seed(why: str, source: str) -> Choice:
    return lambda settings: Remedy(option("seed", settings.get("seed", 0) + 1), why, source)

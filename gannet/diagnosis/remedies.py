"""Which one change to make, for each finding: the first of its remedies that fits the run's settings.

A remedy is an exact flag of `gannet train` that the recipe takes and that changes something, or a few words where
no flag does. Of a run of somebody else's the settings are not known: then it is one that needs none of them.
"""

from collections.abc import Mapping

from gannet.diagnosis.choices import (
    BROCK,
    CLASSIFIERS,
    GOODFELLOW,
    KARRAS,
    MESCHEDER,
    MIYATO,
    RADFORD,
    TTUR,
    ZHAO,
    Choice,
    Settings,
    always,
    another_seed,
    augmented,
    critic_with_a_slope,
    faster,
    half_rates,
    half_the_width_of_g,
    less_momentum,
    on_slope,
    option,
    rate_of_the_other,
    same_rates,
    set_to,
    spectral_d,
    times,
    unknown,
    until_held_back,
    where,
    without_labels,
)
from gannet.diagnosis.finding import Remedy, Sign

MICIKEVICIUS = "Micikevicius et al. 2018, Mixed precision training, section 3"
PROGRESSIVE = "Karras et al. 2018, Progressive growing of GANs, section 3"
SALIMANS = "Salimans et al. 2016, Improved techniques for training GANs, section 3.4"
ODENA = "Odena et al. 2017, Conditional image synthesis with auxiliary classifier GANs, section 3"
PROJECTION = "Miyato and Koyama 2018, cGANs with projection discriminator, section 3"
SRIVASTAVA = "Srivastava et al. 2014, Dropout, section 1"


def remedy(finding: str, settings: Settings, sign: Sign, unit: str) -> Remedy:
    """What to change. `settings` are the recipe's by their dotted names, none where they are not known."""
    if finding == "past-best":
        change = f"--kimg {sign.since:g}" if unit == "kimg" else f"stop, and use the weights of {unit} {sign.since:g}"
        return Remedy(change, "all that came later made it worse", "Prechelt 1998, Early stopping - but when?")
    by_cause = BY_EVIDENCE.get(finding, {})
    choices = by_cause[sign.evidence[0].statistic] if by_cause else REMEDIES[finding]
    found = (choice(settings) for choice in choices)
    return next(remedy for remedy in found if remedy is not None)


WHOLE_RANGE = always("give the images their whole range, from black to white", "tanh goes from -1 to 1", RADFORD)
RARE_CLASS = "a class of a few images is learnt by heart (more images of it, or none, would do as well)"
ROUNDING = "steps so small are lost in rounding"
MOMENTUM = "momentum carries a player past the balance with the other"


def not_learning(player: str) -> tuple[Choice, ...]:
    """What may keep the weights of a player where they are."""
    return (
        where(
            "train.precision",
            ("bfloat16",),
            set_to("train.precision", "float32", "small steps are lost in rounding", MICIKEVICIUS),
        ),
        faster(player, ROUNDING),
        unknown("--lr 2e-4", ROUNDING, RADFORD),
        always(
            f"look for what holds the weights of {player}: --train.freeze-d, or a schedule that ends at 0",
            "the rate and the precision are sound",
            RADFORD,
        ),
    )


def beta1(player: str) -> tuple[Choice, ...]:
    """The usual momentum."""
    return (always(option(f"optim.{player}.betas", "0.5 0.999"), MOMENTUM, RADFORD),)


BY_EVIDENCE: Mapping[str, Mapping[str, tuple[Choice, ...]]] = {
    "data": {
        "data images": (always("add images, a hundred at least", "so few are learnt by heart", ZHAO),),
        "data distinct": (always("leave the copies out: gannet inspect names them", "G learns what is there", KARRAS),),
        "real low": (WHOLE_RANGE,),
        "real high": (WHOLE_RANGE,),
        "data smallest class": (without_labels(RARE_CLASS, KARRAS),),
        "data classes told": (without_labels("labels that say nothing of the images only split them", BROCK),),
    },
    "not-learning": {f"update {player}": not_learning(player) for player in ("G", "D")},
    "settings": {
        "G.z_dim": (always("--G.z-dim 64", "of so few numbers G cannot make so many unlike images", RADFORD),),
        "train.batch": (always("--batch 32", "the mean over so few images is mostly noise", BROCK),),
        "D.width": (half_the_width_of_g,),
        **{f"optim.{player}.lr": (rate_of_the_other(player),) for player in ("G", "D")},
        **{f"optim.{player}.betas": beta1(player) for player in ("G", "D")},
    },
}
"""What to do about a cause that is known, by the statistic or the setting that shows it."""

AGAINST_MEMORY = (
    augmented,
    times("D.width", 0.5, "a smaller D keeps fewer images", KARRAS),
    where("D.dropout", (0.0,), set_to("D.dropout", 0.3, "D cannot lean on single features", SRIVASTAVA)),
    half_rates("D", why="a slower D takes longer to learn its images by heart"),
)
SMOOTH = set_to("objective.real_label", 0.9, "a D that is never quite sure keeps its slope", SALIMANS)
KEEP_UP = (
    faster("D", "D learns faster, and keeps up with G"),
    same_rates("G", "D"),
    where("game.g_steps", (2, 3, 4, 5), set_to("game.g_steps", 1, "G learns less often, and D keeps up", GOODFELLOW)),
    times("game.d_steps", 2, "D learns twice as often for each step of G, and keeps up", f"{GOODFELLOW}, algorithm 1"),
    unknown("--game.d-steps 2", "D learns twice as often for each step of G", f"{GOODFELLOW}, algorithm 1"),
    half_rates("G", why="a slower G lets D keep up"),
)

REMEDIES: Mapping[str, tuple[Choice, ...]] = {
    "bad-start": (
        set_to("G.init", "dcgan", "weights so large leave G no slope to learn on", RADFORD),
        unknown("--G.init dcgan", "weights so large leave G no slope to learn on", RADFORD),
        another_seed("other first weights may leave G a slope to learn on", RADFORD),
    ),
    "d-memorises": AGAINST_MEMORY,
    "copying": AGAINST_MEMORY,
    "diverging": (
        where(
            "train.precision",
            ("bfloat16",),
            set_to("train.precision", "float32", "bfloat16 has too few digits here", MICIKEVICIUS),
        ),
        less_momentum,
        half_rates("G", "D", why="the steps are too large"),
        unknown("--lr 1e-4", "the steps are too large", TTUR),
    ),
    "d-wins": (
        where(
            "objective.name",
            ("minimax",),
            set_to(
                "objective.name", "non-saturating", "G's gradient vanishes where D is sure", f"{GOODFELLOW}, section 3"
            ),
        ),
        same_rates("D", "G"),
        on_slope("penalties.r1.gamma", 1, "a bound on D's slope leaves G a gradient where D is sure", MESCHEDER),
        until_held_back(half_rates("D", why="a slower D lets G catch up")),
        where("objective.name", CLASSIFIERS, SMOOTH),
        half_rates("D", why="D is ahead still"),
    ),
    "g-wins": KEEP_UP,
    "d-asleep": KEEP_UP,
    "labels-ignored": (
        where("game.name", ("acgan",), times("game.weight", 2.0, "the class counts for more in both losses", ODENA)),
        set_to("D.label", "projection", "D judges image and label together", PROJECTION),
        unknown("--D.label projection", "D judges image and label together", PROJECTION),
        where(
            "G.name",
            ("dcgan",),
            set_to("G.label", "batch-norm", "the label reaches every layer of G", BROCK),
        ),
        always(
            "look at the labels: are the images of each class alike, and unlike those of others?",
            "G and D are told the label already",
            PROJECTION,
        ),
    ),
    "oscillation": (
        less_momentum,
        critic_with_a_slope,
        on_slope("penalties.r1.gamma", 1, "a penalty damps the turning around the balance", MESCHEDER),
        half_rates("G", "D", why="smaller steps turn in smaller circles"),
    ),
    "mode-collapse": (
        same_rates("G", "D"),
        unknown("--D.norm spectral --D.bias", "D's slope cannot run away from G", MIYATO),
        on_slope("penalties.r1.gamma", 1, "a bound on D's slope leaves G a gradient where D is sure", MESCHEDER),
        spectral_d,
        set_to("D.minibatch", "deviation", "D sees how alike the samples of a batch are", PROGRESSIVE),
        times("train.batch", 2, "more images at once hold more of the data's kinds", BROCK),
    ),
}

"""What other people call the columns of their logs."""

import re
from collections.abc import Iterable

TIMES = (
    "kimg", "progresskimg", "step", "steps", "globalstep", "iter", "iters", "iteration", "iterations", "niter", "nimg",
    "curnimg", "tick", "batch", "epoch", "epochs",
)  # fmt: skip
"""From the finest to the coarsest, without what stands between letters and digits."""

PLAYERS = {
    "D": ("d", "dis", "disc", "discriminator", "critic", "netd"),
    "G": ("g", "gen", "generator", "netg"),
}
EXACT = {
    "errd": "loss D", "lossdloss": "loss D", "dlosstotal": "loss D", "lossdtotal": "loss D", "dtotalloss": "loss D",
    "errg": "loss G", "lossgloss": "loss G", "glosstotal": "loss G", "lossgtotal": "loss G", "gtotalloss": "loss G",
    "lossscoresreal": "real", "lossscoresfake": "fake",
    "dreal": "real", "dx": "real", "realscore": "real", "scorereal": "real", "realscores": "real", "dxreal": "real",
    "logitreal": "real", "reallogit": "real", "reallogits": "real", "logitsreal": "real",
    "dfake": "fake", "dgz": "fake", "dgz1": "fake", "fakescore": "fake", "scorefake": "fake", "fakescores": "fake",
    "logitfake": "fake", "fakelogit": "fake", "fakelogits": "fake", "logitsfake": "fake",
    "dgz2": "D(G(z)) after", "dgzafter": "D(G(z)) after",
    "accuracyreal": "accuracy real", "realacc": "accuracy real", "accreal": "accuracy real",
    "daccreal": "accuracy real", "drealacc": "accuracy real", "realaccuracy": "accuracy real",
    "accuracyfake": "accuracy fake", "fakeacc": "accuracy fake", "accfake": "accuracy fake",
    "daccfake": "accuracy fake", "dfakeacc": "accuracy fake", "fakeaccuracy": "accuracy fake",
    "gradnormd": "grad norm D", "dgradnorm": "grad norm D", "gradnormg": "grad norm G", "ggradnorm": "grad norm G",
    "classaccuracyreal": "class accuracy real", "classaccuracyfake": "class accuracy fake",
    "kid": "kid", "distance": "distance",
}  # fmt: skip
for player, words in PLAYERS.items():
    for word in words:
        EXACT |= {f"{word}loss": f"loss {player}", f"loss{word}": f"loss {player}"}
for word in PLAYERS["D"]:
    EXACT |= {f"{word}acc": "accuracy", f"acc{word}": "accuracy", f"{word}accuracy": "accuracy"}
    EXACT |= {f"accuracy{word}": "accuracy"}
FID = re.compile(r"(metrics?)?fid(\d+k)?(full|score)?")
RATINGS, PROBABILITIES, LOGITS = ("real", "fake"), ("D(x)", "D(G(z))"), ("logit real", "logit fake")
ACCURACIES = ("accuracy", "accuracy real", "accuracy fake")
METRICS = ("fid", "kid", "distance")
"""Distances to the data, the surest first: less is better."""


def metric(name: str) -> str:
    """The kind of a run's distance by its name: `"KID (efficientnet-lite0)"` is a `kid`, others are a `distance`."""
    word = first_word(name)
    return word if word in METRICS else "distance"


def first_word(name: str) -> str:
    """`"recall (efficientnet-lite0)"` as `recall`."""
    return plain(name.partition(" ")[0])


def plain(name: str) -> str:
    """`"Train/D_loss"` as `traindloss`."""
    return re.sub(r"[^a-z0-9]", "", name.lower())


def meaning(name: str) -> str | None:
    """What a column holds, in Gannet's own words: `loss D`, `fid`, ...; None where that is not known.

    `real` and `fake` are what D says of them, as probabilities or as logits.
    """
    for text in (plain(name), plain(name.rpartition("/")[2])):
        if text in EXACT:
            return EXACT[text]
        if FID.fullmatch(text):
            return "fid"
    return None


def times(names: Iterable[str]) -> list[str]:
    """The columns that say when, the finest first."""
    ranked = [(rank(name), name) for name in names]
    return [name for order, name in sorted(ranked, key=lambda one: one[0]) if order < len(TIMES)]


def rank(name: str) -> int:
    text = plain(name) if plain(name) in TIMES else plain(name.rpartition("/")[2])
    return TIMES.index(text) if text in TIMES else len(TIMES)


def unit_of(name: str) -> str:
    """What a column of times counts: kimg, epoch or step."""
    text = TIMES[rank(name)]
    return "kimg" if "kimg" in text else "epoch" if "epoch" in text else "step"

"""The model card: README.md with the hub's YAML at its head, written from what the run says of itself."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass

from gannet import __version__
from gannet.hub import MODEL, is_address
from gannet.networks import TRANSLATORS
from gannet.publishing.about import About
from gannet.tables import table

COLOURS = {1: "grey", 3: "RGB", 4: "RGB with transparency"}
LICENCES = {
    *("apache-2.0", "mit", "openrail", "bigscience-openrail-m", "creativeml-openrail-m", "afl-3.0", "artistic-2.0"),
    *("bsl-1.0", "bsd", "bsd-2-clause", "bsd-3-clause", "bsd-3-clause-clear", "c-uda", "cc", "cc0-1.0", "cc-by-2.0"),
    *("cc-by-2.5", "cc-by-3.0", "cc-by-4.0", "cc-by-sa-3.0", "cc-by-sa-4.0", "cc-by-nc-2.0", "cc-by-nc-3.0"),
    *("cc-by-nc-4.0", "cc-by-nd-4.0", "cc-by-nc-nd-3.0", "cc-by-nc-nd-4.0", "cc-by-nc-sa-2.0", "cc-by-nc-sa-3.0"),
    *("cc-by-nc-sa-4.0", "cdla-sharing-1.0", "cdla-permissive-1.0", "cdla-permissive-2.0", "wtfpl", "ecl-2.0"),
    *("epl-1.0", "epl-2.0", "eupl-1.1", "eupl-1.2", "agpl-3.0", "gfdl", "gpl", "gpl-2.0", "gpl-3.0", "lgpl"),
    *("lgpl-2.1", "lgpl-3.0", "isc", "lppl-1.3c", "ms-pl", "mpl-2.0", "odc-by", "odbl", "osl-3.0", "postgresql"),
    *("ofl-1.1", "ncsa", "unlicense", "zlib", "pddl"),
}
"""What the hub knows; others are told by their name."""
MOST_CLASSES = 50  # that are listed
SMALL = 5000  # images
NO_PRIVACY = (
    "Whatever a test says, this guarantees no privacy: something of single training images may be had from the weights."
)


@dataclass(frozen=True)
class Card:
    """The page of one generator; `files` are those beside it."""

    repository: str
    licence: str | None
    about: About
    files: tuple[str, ...]

    def __str__(self) -> str:
        sections = {
            "Use": self.use(),
            "Training data": self.data(),
            "Training": self.training(),
            "How good it is": self.quality(),
            "Does it copy?": self.copying(),
            "Limits": self.limits(),
            "Licence": [f"{self.licence}." if self.licence else "None was given: ask the owner before you use it."],
        }
        parts = [f"---\n{self.head()}\n---", f"# {self.repository}", self.summary()]
        if "samples.png" in self.files:
            parts.append("![samples](samples.png)\n\nThe first samples of seed 0, none left out.")
        for title, lines in sections.items():
            parts += [f"## {title}", *lines]
        return "\n\n".join(parts) + "\n"

    @property
    def makes_of_noise(self) -> bool:
        return self.about.config["name"] not in TRANSLATORS.rows

    @property
    def frames(self) -> int:
        return self.about.config.get("frames", 1)

    def head(self) -> str:
        """The hub's metadata. Strings are in JSON's quotes, which are YAML's too."""
        name = self.about.config["name"]
        kinds = {"onnx": MODEL in self.files, "video": self.frames > 1}
        tags = ["gan", "gannet", name, *(kind for kind, is_there in kinds.items() if is_there)]
        lines = ['library_name: "gannet"', f"tags: {json.dumps(tags)}"]
        if self.licence:
            known = self.licence.lower() in LICENCES
            lines.append(f"license: {json.dumps(self.licence.lower() if known else 'other')}")
            lines += [] if known else [f"license_name: {json.dumps(as_id(self.licence))}"]
        if self.frames == 1:
            task = "unconditional-image-generation" if self.makes_of_noise else "image-to-image"
            lines.append(f"pipeline_tag: {task}")
        if is_address(source := self.about.source):
            lines.append(f"datasets: {json.dumps([source.removeprefix('hf://').partition(':')[0]])}")
        return "\n".join(lines)

    def summary(self) -> str:
        """What it is, in a sentence."""
        config, side = self.about.config, self.about.config["resolution"]
        colour = COLOURS.get(config["channels"] // self.frames, "several channels")
        what = f"clips of {self.frames} frames" if self.frames > 1 else "images"
        of = "noise" if self.makes_of_noise else "images"
        by = f" by label, of {len(config['classes'])} classes" if config["classes"] else ""
        network = f"`{config['name']}`, {self.about.num_parameters / 1e6:.2g} million numbers"
        return (
            f"It makes {what} of {of}{by}: {colour}, {side}x{side} pixels. The network ({network}) was trained with "
            f"Gannet {config.get('gannet', __version__)}."
        )

    def use(self) -> Iterator[str]:
        """Commands and Python."""
        address = f"hf://{self.repository}"
        yield "`pip install 'gannet-gan[hub]'`, and then"
        if not self.makes_of_noise:
            yield f"```sh\ngannet translate {address} FOLDER --out made\n```"
            return
        if self.about.config["settings"].get("given"):
            yield f"```sh\ngannet sample {address} --given FOLDER_OF_VIDEOS --num 16 --out samples\n```"
            return
        yield f"```sh\ngannet sample {address} --num 16 --out samples\n```"
        python = ["import gannet", "", f'G = gannet.load("{address}")', "pixels = G.to_uint8(G.sample(16, seed=1))"]
        yield "\n".join(["```python", *python, "```"])
        if MODEL in self.files:
            yield (
                f"`{MODEL}` is the same network without torch: for `gannet sample {MODEL}`, or onnxruntime alone. Its"
                " metadata say what goes in and what comes out."
            )

    def data(self) -> Iterator[str]:
        """What it was trained on: counts and sizes, no names of files."""
        config, facts, recipe = self.about.config, self.about.facts, self.about.recipe
        rows = []
        if self.about.source:
            rows.append(("set", self.about.source))
        if facts:
            rows.append(("images trained on", f"{facts.get('num_images', 0):,}"))
            rows.append(("images held out", f"{facts.get('num_held_out', 0):,}"))
            rows.append(("fingerprint", str(facts.get("data_fingerprint", ""))[:16]))
        rows.append(("size", f"brought to {config['resolution']}x{config['resolution']}"))
        if recipe:
            rows.append(
                ("how", f"{recipe.data.fit}, {recipe.data.filter}" + (", mirrored at random" * recipe.data.flip))
            )
        if config["classes"]:
            rows.append(("classes", self.classes()))
        yield table(("", ""), rows)
        if not self.about.source:
            yield "The images themselves are not named here: the owner knows where they are from."

    def classes(self) -> str:
        """Their names, with how often each came."""
        config = self.about.config
        names, shares = config["classes"], config.get("class_shares") or [None] * len(config["classes"])
        said = [name if share is None else f"{name} {share:.1%}" for name, share in zip(names, shares, strict=True)]
        more = f" and {len(said) - MOST_CLASSES} more" if len(said) > MOST_CLASSES else ""
        return ", ".join(said[:MOST_CLASSES]) + more

    def training(self) -> Iterator[str]:
        """The recipe."""
        config, recipe, facts = self.about.config, self.about.recipe, self.about.facts or {}
        rows = [("after", f"{config['kimg']:g} thousand images seen by D")] if "kimg" in config else []
        if config.get("ema_half_life_kimg"):
            rows.append(("weights", f"averaged, half-life {config['ema_half_life_kimg']:g} thousand images"))
        if recipe:
            penalties = ", ".join(recipe.penalties) or "none"
            rows += [
                ("recipe", f"{recipe.name} ({recipe.source})"),
                ("networks", f"G {recipe.G.name}, D {recipe.D.name}"),
                ("game", f"{recipe.game.name}, {recipe.objective.name}; penalties: {penalties}"),
                ("augmentation", recipe.augment.name),
                ("batch", str(recipe.train.batch)),
                ("seed", str(recipe.seed)),
            ]
        rows += [(name, str(facts[name])) for name in ("torch", "device", "precision") if name in facts]
        if is_address(start := facts.get("init", "")):
            rows.append(("started from", start))
        if rows:
            yield table(("", ""), rows)
        if recipe is None:
            yield "The run that trained it was not at hand when this was written."
        else:
            settings = f"```toml\n{self.about.toml().rstrip()}\n```"
            yield f"<details><summary>Every setting</summary>\n\n{settings}\n\n</details>"

    def quality(self) -> Iterator[str]:
        """What people said, and the metrics, each with what it depends on."""
        if said := self.about.judged:
            yield (
                f"Of {said['num']:,} pairs of one of its images and a real one, people took its own for the real one "
                f"in {said['rate']:.0%}; half is what guessing gives. The 95% interval, which takes choices to be "
                f"independent, is {said['low']:.0%} to {said['high']:.0%} (Clopper and Pearson 1934)."
            )
        if not self.about.measured:
            yield "It was not measured: `gannet evaluate` does so."
            return
        header = ("metric", "value", "95% interval", "better", "measured")
        yield table(header, [row for each in self.about.measured for row in each.rows()])
        yield "Numbers of other protocols cannot be compared with these:"
        yield "\n".join(f"- {each.when}: {line}" for each in self.about.measured for line in each.protocols())

    def copying(self) -> Iterator[str]:
        """What was found of copies of training images, and what that is worth."""
        yield self.about.copying or (
            "It was not checked whether it copies training images. `gannet evaluate RUN --out RUN/evaluation` does so "
            "for runs that held images out (`--data.held-out 0.1`), and a later card tells what it found."
        )
        yield NO_PRIVACY

    def limits(self) -> Iterator[str]:
        """What it is not good for."""
        size = self.about.config["resolution"]
        num = (self.about.facts or {}).get("num_images", 0)
        few = f" They were few ({num:,}), so samples may be close to some of them." * (0 < num < SMALL)
        lines = [
            f"It knows what was in its training images and nothing else, their gaps and prejudices included.{few}",
            f"{size}x{size} pixels is its only size." if self.makes_of_noise else "It expects images like those.",
            "What it makes shows nothing that exists: it is no evidence, and no measurement.",
        ]
        yield "\n".join(f"- {line}" for line in lines)


def as_id(name: str) -> str:
    """A licence's name as the hub has such: small letters, digits, dots and hyphens."""
    return re.sub(r"[^a-z0-9.]+", "-", name.lower()).strip("-")

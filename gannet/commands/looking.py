"""The commands that look at data, recipes and the machine, and keep them ready."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from tyro.conf import Positional, arg

from gannet.commands.options import Data, parse


@dataclass(frozen=True)
class Inspect:
    """What is in a set of images, what is wrong with it, and which recipe suits it."""

    data: Data
    json: bool = False
    """Print everything as JSON."""
    sheet: Path = Path("contact_sheet.png")
    """Where to write a picture of some of the images."""


def inspect(argv: list[str]) -> None:
    from gannet import api

    options = parse(Inspect, argv, "inspect")
    report = api.inspect(options.data, options.sheet)
    print(json.dumps(report.to_dict(), indent=2) if options.json else str(report))


@dataclass(frozen=True)
class Recipes:
    """List the recipes, or print one in full, as TOML that --recipe takes."""

    name: Annotated[str | None, Positional, arg(metavar="NAME")] = None
    json: bool = False
    """Print JSON."""


def recipes(argv: list[str]) -> None:
    from gannet import api

    options = parse(Recipes, argv, "recipes")
    print(api.recipes_text(options.name, options.json))


@dataclass(frozen=True)
class Scaffold:
    """Print one plain PyTorch file that trains a DCGAN, for those who want to learn from it."""

    image_size: int = 64
    """Width and height in pixels: a power of two from 16 to 256."""
    channels: int = 3
    """1 grey, 3 RGB."""
    z_dim: int = 100
    """Length of the noise."""


def scaffold(argv: list[str]) -> None:
    from gannet.recipes.scaffold import script

    options = parse(Scaffold, argv, "scaffold")
    print(script(options.image_size, options.channels, options.z_dim), end="")


@dataclass(frozen=True)
class Fetch:
    """Load data sets and networks into the cache folder ahead, for machines without a network."""

    names: Annotated[tuple[str, ...], Positional, arg(metavar="NAME...")] = ()
    """mnist, fashion-mnist, cifar10, inception (the network of FID), or addresses:
    hf://OWNER/NAME, s3://BUCKET/PATTERN.tar."""
    json: bool = False
    """Print JSON."""


def fetch(argv: list[str]) -> None:
    from gannet.data import FETCHED
    from gannet.data.cache import cache_folder
    from gannet.data.downloads import fetch
    from gannet.display import counted
    from gannet.errors import UserError
    from gannet.evaluation import WEIGHTS
    from gannet.files import size_of

    options = parse(Fetch, argv, "fetch")
    if not options.names:
        raise UserError("name what to fetch, as in gannet fetch mnist (gannet fetch --help tells more)")
    fetched = []
    for name in options.names:
        with counted(f"loading {name}") as progress:
            fetched.append(fetch(name, cache_folder(), progress, FETCHED | WEIGHTS))
        if not options.json:
            print(f"{name}: {size_of(fetched[-1].num_bytes)} in {fetched[-1].folder}")
    if options.json:
        print(json.dumps([{"name": f.name, "folder": str(f.folder), "bytes": f.num_bytes} for f in fetched], indent=2))


@dataclass(frozen=True)
class Cache:
    """List or remove the decoded images that runs have left for later runs.

    Whatever is removed is made anew when it is needed, which takes time and changes nothing.
    """

    action: Annotated[Literal["list", "clear"], Positional]
    older_than: float | None = None
    """Only what was last used so many days ago or earlier."""
    cache: str = ""
    """Folder of the decoded images; empty for the user's cache folder."""
    json: bool = False
    """Print JSON."""


def cache(argv: list[str]) -> None:
    from gannet.data import entries
    from gannet.data.cache import images_folder
    from gannet.errors import UserError

    options = parse(Cache, argv, "cache")
    if options.older_than is not None and options.older_than < 0:
        raise UserError(f"--older-than is {options.older_than:g}, and must be at least 0 days")
    folder = images_folder(options.cache)
    found = entries.entries(folder, options.older_than or 0.0)
    if options.action == "list":
        listed = {"folder": str(folder), "bytes": sum(e.size for e in found), "entries": [e.to_dict() for e in found]}
        print(json.dumps(listed, indent=2) if options.json else entries.table(folder, found))
        return
    freed, kept = entries.remove(found)
    if options.json:
        print(json.dumps({"freed": freed, "kept": [e.to_dict() for e in kept]}, indent=2))
    else:
        print(entries.cleared(folder, freed, len(found) - len(kept), kept))


@dataclass(frozen=True)
class Doctor:
    """Torch's build, the devices, and the precision that pays on each."""

    json: bool = False
    """Print JSON."""


def doctor(argv: list[str]) -> None:
    from gannet.doctor import examine, report

    options = parse(Doctor, argv, "doctor")
    facts = examine()
    print(json.dumps(facts, indent=2) if options.json else report(facts))

"""Images to train on: what `gannet inspect` says of them, below the folders that the studio may look into."""

import os
import secrets
from collections import OrderedDict
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from gannet.data import SOURCES
from gannet.data.sources import is_hidden, is_image
from gannet.recipes import RECIPES, recipe
from gannet.studio.security import Refused

DRAWN = ("shapes", "shapes-labelled", "outlines")
MOST_SHEETS = 32
MOST_SOURCES = 200
DEEP = 3  # folders below one that may be looked into
ENOUGH = 50  # files of a folder that are asked whether they are images


@dataclass
class Folders:
    """The folders below which images may be looked at and trained on, and the contact sheets that were made.

    Images are offered beside and below `runs` too, where that lies below the folders.
    """

    roots: Sequence[Path]
    runs: Path
    sheets: OrderedDict[str, bytes] = field(default_factory=OrderedDict)

    def __post_init__(self) -> None:
        self.real = [os.path.realpath(root) for root in self.roots]

    def holds(self, path: str | Path) -> bool:
        real = os.path.realpath(os.path.expanduser(path))
        return any(real == root or real.startswith(root.rstrip(os.sep) + os.sep) for root in self.real)

    def allowed(self, name: str) -> str:
        """The name of a data set, or a folder or zip as a path. Raises `Refused` for what is not below the folders.

        A path is taken from where the studio was started, or from one of the folders.
        """
        if name in SOURCES.rows:
            return name
        told = f"'{name[:200]}' is not in a folder that may be looked into: start gannet studio with --data FOLDER"
        if not any(sign in name for sign in ("\0", "://")) and not name.startswith("-"):
            inside = [
                place for place in (name, *(os.path.join(root, name) for root in self.roots)) if self.holds(place)
            ]
            for place in map(os.path.expanduser, inside):
                if os.path.exists(place):
                    return place
            if inside:
                told = f"there is no folder, zip or set '{name[:200]}' here: see how it is written"
                raise Refused(f"{told}; --data FOLDER names other places to look in", 404)
        raise Refused(told, 403)

    def listed(self) -> dict[str, Any]:
        """The drawn sets, the folders and zips, and the recipes: what can be chosen without typing."""
        runs, beside = os.path.realpath(self.runs), self.runs.parent
        found: dict[str, str] = {}  # by what they really are: folders may lie within each other
        for place in (*([beside] if self.holds(beside) else []), *self.roots):
            for path in sources_in(place, DEEP, runs):
                found.setdefault(os.path.realpath(path), path.as_posix())
        recipes = [recipe(name) for name in RECIPES.rows]
        return {
            "roots": [root.as_posix() for root in self.roots],
            "drawn": list(DRAWN),
            "sources": list(found.values())[:MOST_SOURCES],
            "recipes": [{"name": each.name, "about": each.about, "source": each.source} for each in recipes],
        }

    def inspected(self, name: str) -> dict[str, Any]:
        """What `gannet inspect --json` prints, with the address of the contact sheet. Raises `UserError`."""
        from gannet.api import inspect

        source = self.allowed(name)
        with TemporaryDirectory() as folder:
            sheet = Path(folder) / "sheet.png"
            found = inspect(source, sheet).to_dict()
            picture = sheet.read_bytes() if sheet.exists() else None
        if picture:
            identity = secrets.token_urlsafe(12)
            self.sheets[identity] = picture
            while len(self.sheets) > MOST_SHEETS:
                self.sheets.popitem(last=False)
            found["sheet"] = f"/api/data/sheets/{identity}.png"
        else:
            found["sheet"] = None
        return {**found, "path": source}


def sources_in(root: Path, deep: int, runs: str) -> list[Path]:
    """Zips, and folders with images in them or in folders of classes, not deeper than `deep`.

    None that are hidden, none that links lead to, and none within a run. What is in a zip is not looked at. A folder
    that holds `runs`, a real path, is offered only where nothing in it is: the runs' samples are among its images.
    """
    found: list[Path] = []
    holds_runs = f"{runs}{os.sep}".startswith(f"{os.path.realpath(root).rstrip(os.sep)}{os.sep}")
    if (root / "recipe.toml").exists():
        return found
    with suppress(OSError), os.scandir(root) as entries:
        listed = sorted((entry for entry in entries if not is_hidden(entry.name)), key=lambda entry: entry.name)
        inside = [e for e in listed if e.is_dir(follow_symlinks=False)]
        zips = [root / e.name for e in listed if e.name.lower().endswith(".zip") and e.is_file(follow_symlinks=False)]
        has_images = any(is_image(e.name) for e in [e for e in listed if e.is_file()][:ENOUGH])
        if has_images and not holds_runs:
            return [root, *zips]
        found += zips
        if deep:
            below = [sources_in(root / e.name, deep - 1, runs) for e in inside]
            leaves = [paths for paths in below if paths]
            are_classes = len(leaves) > 1 and all(len(paths) == 1 and paths[0].parent == root for paths in leaves)
            if are_classes and not holds_runs:
                found.append(root)
            found += [path for paths in leaves for path in paths]
        if has_images and not found:
            found.append(root)
    return found

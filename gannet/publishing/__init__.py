"""A trained generator on the Hugging Face hub, with a card that its run wrote."""

import os
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from gannet.errors import UserError
from gannet.files import size_of
from gannet.generation.export import Opset
from gannet.publishing.folder import Written, check_out, write_folder
from gannet.publishing.upload import check_repository, check_token, upload

__all__ = ["Published", "publish"]
OUT = "hub"


@dataclass(frozen=True)
class Published:
    """What was sent, or with a dry run what would be."""

    repository: str
    written: Written
    folder: Path | None = None
    """Where a dry run left it."""
    url: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """Everything, ready for JSON."""
        return {
            "repository": self.repository,
            "url": self.url,
            "folder": None if self.folder is None else str(self.folder),
            "files": self.written.files,
            "notes": list(self.written.notes),
        }

    def __str__(self) -> str:
        rows = [f"  {size_of(size):>7}  {name}" for name, size in self.written.files.items()]
        total = size_of(sum(self.written.files.values()))
        if self.folder is None:
            head = f"sent {len(rows)} files, {total}: {self.url}"
            tail = f"try it: gannet sample hf://{self.repository} --num 16 --out samples"
        else:
            head = f"would send {len(rows)} files, {total}, to {self.repository}; they are in {self.folder}:"
            tail = "nothing was sent: leave --dry-run out to do so"
        return "\n".join([head, *rows, *self.written.notes, tail])


def publish(
    run: str | os.PathLike[str],
    repository: str,
    *,
    licence: str | None = None,
    dry_run: bool = False,
    out: str | os.PathLike[str] | None = None,
    allow_private: bool = False,
    opset: Opset = 18,
) -> Published:
    """Sends G of a run, or of a generator's folder, to the repository OWNER/NAME of the hub, which is made if need be.

    What is sent: `generator/` with weights and config, `model.onnx` where it can be expressed, a picture of samples,
    and a model card. With `dry_run` it is written to the folder `out` (`hub` without it), and nothing is sent. Runs
    that are private are refused unless `allow_private`. Raises `UserError` for what the caller can mend.
    """
    check_repository(repository)
    if out is not None and not dry_run:
        raise UserError("--out is the folder that a dry run leaves: add --dry-run, or leave --out out")
    if dry_run:
        folder = Path(out or OUT)
        check_out(folder)
        return Published(repository, write_folder(run, folder, repository, licence, allow_private, opset), folder)
    token = check_token()
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / OUT
        sent = Published(repository, write_folder(run, folder, repository, licence, allow_private, opset))
        return replace(sent, url=upload(folder, repository, token))

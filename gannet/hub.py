"""The Hugging Face hub: generators that are there, at hf://OWNER/NAME, or one version of them, hf://OWNER/NAME@REVISION.

Only networks as safetensors, their config.json and ONNX files are ever loaded from it: nothing that runs as code.
"""

import sys
from pathlib import Path
from typing import Any

from gannet.errors import UserError, one_line

PREFIX = "hf://"
NETWORK = ("config.json", "model.safetensors")
MODEL = "model.onnx"
NETWORKS = [f"{folder}/{file}" for folder in ("generator", "generator_*") for file in NETWORK]
JUDGES = [f"{folder}/{file}" for folder in ("discriminator", "discriminator_*") for file in NETWORK]
MEANINGS = {
    "RepositoryNotFoundError": "there is no such repository, or it is private",
    "RevisionNotFoundError": "it has no such revision",
    "GatedRepoError": "its owner gives access on request",
    "LocalEntryNotFoundError": "the hub cannot be reached",
    "OfflineModeIsEnabled": "the hub is switched off by HF_HUB_OFFLINE",
    "ConnectError": "the hub cannot be reached",
    "ConnectTimeout": "the hub does not answer",
}
"""What errors of `huggingface_hub` and of what it stands on say at length."""


def is_address(name: object) -> bool:
    """Whether it names a repository on the hub."""
    return str(name).startswith(PREFIX)


def downloaded(address: str, cache: Path) -> Path:
    """Where the networks of a repository now lie, in the cache folder: a folder as a run's, or an ONNX file.

    Of a repository that holds no generator as Gannet saves it, `model.onnx` is taken. Raises `UserError` where they
    cannot be had.
    """
    repository, _, revision = address.removeprefix(PREFIX).partition("@")
    if repository.count("/") != 1 or not all(repository.split("/")) or address.endswith("@"):
        raise UserError(f"{address} names no repository: write hf://OWNER/NAME, or hf://OWNER/NAME@REVISION")
    hub = needed("hf://")
    for files in ([*NETWORKS, *JUDGES, *NETWORK], [MODEL]):
        try:
            place = Path(
                hub.snapshot_download(
                    repository, revision=revision or None, allow_patterns=files, cache_dir=cache / "hf"
                )
            )
        except Exception as error:  # the hub's and the network's are of many kinds
            raise UserError(f"cannot load {address} ({meaning(error)}): mend the name, or try again later") from error
        if (place / "generator").exists() or all((place / file).exists() for file in NETWORK):
            return place
    if (place / MODEL).exists():
        return place / MODEL
    raise UserError(f"{address} holds no folder generator/ as a run has it: name another repository")


def needed(what: str) -> Any:
    """The package `huggingface_hub`, with progress bars for terminals alone. Raises `UserError` where it is missing."""
    try:
        import huggingface_hub
    except ImportError as error:
        raise UserError(f"{what} needs the package huggingface_hub: pip install 'gannet-gan[hub]'") from error
    huggingface_hub.logging.set_verbosity_error()
    if not sys.stderr.isatty():
        huggingface_hub.utils.disable_progress_bars()
    return huggingface_hub


def meaning(error: Exception) -> str:
    """What went wrong, in a few words on one line."""
    return MEANINGS.get(type(error).__name__) or one_line(error)

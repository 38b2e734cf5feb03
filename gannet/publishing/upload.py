"""The way to the hub: who may write there, and one commit of the whole folder."""

import re
from pathlib import Path

from gannet import __version__
from gannet.errors import UserError
from gannet.hub import MODEL, NETWORKS, meaning, needed
from gannet.publishing.folder import SAMPLES

NAME = re.compile(r"[A-Za-z0-9]([\w.-]*[A-Za-z0-9])?", re.ASCII)
LONGEST = 96
PUBLISHING = "--to hub"
OWN = [MODEL, SAMPLES, *NETWORKS]  # files of an earlier version that this one may not have


def check_repository(repository: str) -> None:
    """Raises `UserError` where the hub knows no such names."""
    parts = repository.split("/")
    fits = len(parts) == 2 and all(NAME.fullmatch(part) and "--" not in part and ".." not in part for part in parts)
    if not fits or len(repository) > LONGEST or repository.endswith(".git"):
        raise UserError(
            f"--repo is '{repository[:LONGEST]}', and must be OWNER/NAME, of letters, digits, '-', '_' and '.'"
        )


def check_token() -> str:
    """The token that this machine has for the hub. Raises `UserError` where there is none, or no package."""
    token = needed(PUBLISHING).get_token()
    if not token:
        raise UserError("publishing needs a token of the hub that may write: run hf auth login, or set HF_TOKEN")
    return token


def upload(folder: Path, repository: str, token: str) -> str:
    """Sends all files of the folder in one commit; the address of the repository, which is made where there is none.

    Of an earlier version those files go that this one does not have. Raises `UserError` where the hub refuses it or
    is not there.
    """
    api = needed(PUBLISHING).HfApi(token=token)
    try:
        url = api.create_repo(repository, exist_ok=True)
        api.upload_folder(
            repo_id=repository,
            folder_path=folder,
            commit_message=f"A generator, by Gannet {__version__}",
            delete_patterns=OWN,
        )
    except Exception as error:  # the hub's and the network's are of many kinds
        raise refusal(error, repository) from error
    return str(url)


def refusal(error: Exception, repository: str) -> UserError:
    """What to do about it."""
    status = getattr(getattr(error, "response", None), "status_code", None)
    if status == 401:
        return UserError("the hub does not know this token: run hf auth login again, or mend HF_TOKEN")
    if status == 403:
        owner = repository.partition("/")[0]
        return UserError(
            f"the hub's token may not write to {owner}'s repositories: take one that may, or another --repo"
        )
    return UserError(f"cannot publish at {repository} ({meaning(error)}): try again, or look at it with --dry-run")

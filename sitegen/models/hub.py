"""Models of the Hugging Face hub: `hf://OWNER/NAME`, downloaded into a folder of the site.

Only configurations (JSON) and weights (safetensors) are downloaded, at one commit.
"""

from __future__ import annotations

import os
import re
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from sitegen.core.errors import PlatformError, RefusedError

_ADDRESS = re.compile(r"hf:/{1,2}(?P<repository>[\w.-]+/[\w.-]+?)(@(?P<revision>[\w./-]+))?/?")
_SUFFIXES = (".json", ".safetensors")
LARGEST = 1 << 34
"""Maximum number of bytes to download for a model."""
OTHERWISE = "or download its folder otherwise and give that: --checkpoint FOLDER"


class Address(NamedTuple):
    """Repository of a model, OWNER/NAME, and its revision: a branch, a tag or a commit."""

    repository: str
    revision: str


def hub_address(path: Path) -> Address | None:
    """Return the address that was given in place of a path; None for a path."""
    match = _ADDRESS.fullmatch(path.as_posix())
    return match and Address(match["repository"], match["revision"] or "main")


def download(address: Address, folder: Path) -> str:
    """Download a model into `folder`; return its address with the commit.

    `HF_ENDPOINT` is the address of another hub, `HF_TOKEN` the reader's token, as in
    huggingface_hub. Raises PlatformError if that is not installed or the hub cannot be reached, and
    RefusedError for a model that is not there, too large or without safetensors.
    """
    try:
        from huggingface_hub import HfApi, errors
    except ImportError:
        raise PlatformError(
            f"hf://{address.repository}: needs huggingface_hub: pip install 'sitegen[hub]'; "
            f"{OTHERWISE}"
        ) from None
    repository, revision = address
    called = f"hf://{repository}@{revision}"
    api = HfApi(endpoint=os.environ.get("HF_ENDPOINT"))
    unreachable: type[Exception] = getattr(errors, "HTTPError", OSError)  # of its HTTP library
    try:
        info = api.model_info(repository, revision=revision, files_metadata=True, timeout=30)
        sizes = {file.rfilename: file.size or 0 for file in info.siblings or ()}
        chosen = [name for name in sizes if name.endswith(_SUFFIXES)]
        if not any(name.endswith(".safetensors") for name in chosen):
            raise RefusedError(f"{called}: has no safetensors; pickles (.bin) may run code")
        if ".." in {part for name in chosen for part in PurePosixPath(name).parts}:
            raise RefusedError(f"{called}: has a file outside of its folder")
        if (total := sum(sizes[name] for name in chosen)) > LARGEST:
            limit = f"at most {LARGEST / 1e9:.0f} GB are downloaded"
            raise RefusedError(f"{called}: has {total / 1e9:.0f} GB; {limit}; {OTHERWISE}")
        folder.mkdir(parents=True, exist_ok=True)
        # GitHub takes no file above 100 MB, and a build needs no weights if its clips are stored.
        (folder / ".gitignore").write_text("*\n", encoding="utf-8")
        api.snapshot_download(
            repository, revision=info.sha, local_dir=folder, allow_patterns=chosen
        )
    except (errors.RepositoryNotFoundError, errors.RevisionNotFoundError):
        raise RefusedError(
            f"{called}: the hub has no such model, or shows it only to some: set HF_TOKEN"
        ) from None
    except (OSError, ValueError, unreachable) as error:
        reason = str(error).partition("\n")[0][:200]
        raise PlatformError(f"{called}: the hub did not answer: {reason}; {OTHERWISE}") from None
    return f"hf://{repository}@{info.sha}"

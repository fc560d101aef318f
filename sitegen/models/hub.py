"""Models of the Hugging Face hub: `hf://OWNER/NAME`, downloaded into a folder of the site.

Only configurations (JSON) and weights (safetensors) are downloaded, at one commit.
"""

from __future__ import annotations

import os
import re
from pathlib import Path, PurePosixPath

from sitegen.core.errors import FAULTS, ConfigError, PlatformError, RefusedError

_ADDRESS = re.compile(r"hf:/{1,2}(?P<repository>[\w.-]+/[\w.-]+?)(@(?P<revision>[\w./-]+))?/?")
_SUFFIXES = (".json", ".safetensors")
LARGEST = 1 << 34
"""Maximum number of bytes to download for a model."""
OTHERWISE = "or download its folder otherwise and give that: --checkpoint FOLDER"


def download(address: Path, models: Path, *, is_new: bool) -> tuple[Path, str]:
    """Download the model of an address, given in place of a path, into a folder in `models`.

    Returns this folder, which is that of its commit, and the address with the commit; without a
    revision it is that of the branch main. If not `is_new`, the commit must be there already.

    `HF_ENDPOINT` is the address of another hub, `HF_TOKEN` the reader's token, as in
    huggingface_hub. Raises PlatformError if that is not installed or the download fails, and
    RefusedError for a model that is not there, too large or without safetensors.
    """
    match = _ADDRESS.fullmatch(address.as_posix())
    if match is None:
        raise ConfigError(
            f"{address}: a model of the hub is hf://OWNER/NAME or hf://OWNER/NAME@TAG"
        )
    repository, revision = match["repository"], match["revision"] or "main"
    called = f"hf://{repository}@{revision}"
    try:
        from huggingface_hub import HfApi, errors
    except ImportError:
        needs = f"{called}: needs huggingface-hub: `pip install huggingface-hub`"
        raise PlatformError(f"{needs}; {OTHERWISE}") from None
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
        folder = models / str(info.sha)[:12]
        if not is_new and not folder.is_dir():
            fault = f"the model {models.name} is of another commit than {info.sha}"
            raise ConfigError(f"{called}: {fault}; choose another name, or remove its table first")
        folder.mkdir(parents=True, exist_ok=True)
        # GitHub takes no file above 100 MB, and a build needs no weights if its clips are stored.
        (models / ".gitignore").write_text("*\n", encoding="utf-8")
        api.snapshot_download(
            repository, revision=info.sha, local_dir=folder, allow_patterns=chosen
        )
    except (errors.RepositoryNotFoundError, errors.RevisionNotFoundError):
        absent = "the hub has no such model or revision, or shows it only to some: set HF_TOKEN"
        raise RefusedError(f"{called}: {absent}") from None
    except (*FAULTS, unreachable) as error:
        reason = " ".join(str(error).split())[:200].rstrip(".")
        raise PlatformError(f"{called}: the download failed: {reason}; {OTHERWISE}") from None
    return folder, f"hf://{repository}@{info.sha}"

"""What a machine that only renders has to install: all that sitegen needs, but for some."""

from __future__ import annotations

import json
import re
import tomllib
from importlib import metadata
from pathlib import Path
from typing import Any

NOT_FOR_RENDERING = {
    "ghp-import": "publishes",
    "imageio": "encodes",
    "imageio-ffmpeg": "encodes",
    "starlette": "serves the preview",
    "torch": "samples the models",
    "uvicorn": "serves the preview",
    "watchfiles": "watches for the preview",
}
"""The requirements that building from the store does not import, and what each is for."""

_CHECKOUT = Path(__file__).resolve().parents[2] / "pyproject.toml"
_PUBLIC = re.compile(r"https://[^/@\s\"]+/[^\s\"]+")
_HEAD = """\
# What `sitegen build --offline` needs: the requirements of sitegen {version} but for those that
# render clips, serve and publish. The workflow installs sitegen itself beside them with --no-deps,
# from the address that is written there: the `sitegen` of PyPI is another project.
"""


def render_requirements() -> str:
    """The text of `requirements-render.txt`, in the order of the names."""
    wanted = [line for line in _requirements() if _name(line) not in NOT_FOR_RENDERING]
    head = _HEAD.format(version=version())
    return head + "".join(f"{line}\n" for line in sorted(wanted, key=_name))


def version() -> str:
    """The version of the sitegen that runs."""
    project = _project()
    return str(project["version"]) if project else metadata.version("sitegen")


def own_requirement() -> str | None:
    """What pip installs this very sitegen from elsewhere: a commit of a repository, or a file.

    None where it did not come from a web address. Never a bare name: the `sitegen` of PyPI is
    another project.
    """
    try:
        text = metadata.distribution("sitegen").read_text("direct_url.json")
        origin = json.loads(text or "{}")
    except (metadata.PackageNotFoundError, ValueError):
        return None
    revision, url = origin.get("vcs_info", {}), str(origin.get("url"))
    if not _PUBLIC.fullmatch(url):
        return None
    if revision.get("vcs") == "git":
        return f"sitegen @ git+{url}@{revision['commit_id']}"
    return f"sitegen @ {url}" if "archive_info" in origin else None


def _requirements() -> list[str]:
    """The requirements of the checkout or of the installed package; those of extras left out."""
    project = _project()
    found = project["dependencies"] if project else metadata.requires("sitegen") or []
    return [line.replace(" ", "") for line in found if "extra ==" not in line]


def _project() -> dict[str, Any] | None:
    """The table of a checkout's `pyproject.toml`; None where sitegen is installed without it."""
    if not _CHECKOUT.is_file():
        return None
    project: dict[str, Any] = tomllib.loads(_CHECKOUT.read_text("utf-8")).get("project", {})
    return project if project.get("name") == "sitegen" else None


def _name(requirement: str) -> str:
    """The name that a requirement begins with, as package registries write it."""
    found = re.match(r"[A-Za-z0-9._-]+", requirement)
    return re.sub(r"[-_.]+", "-", found[0]).lower() if found else requirement

"""Write sitegen.cdx.json, the bill of materials that travels in the wheel: `make lock` runs it.

CycloneDX 1.6. It lists what an installed sitegen needs, directly or through others, at the versions
of `requirements-dev.lock`, which the tests ran with. The wheel holds only files of this repository.
"""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
SBOM = ROOT / "sitegen.cdx.json"
LOCK = ROOT / "requirements-dev.lock"


def locked() -> dict[str, str]:
    """The version of each package in the lock file; the first, of the oldest Python, of several."""
    pinned = re.findall(r"^([a-z0-9_.-]+)==([^\s;\\]+)", LOCK.read_text("utf-8"), re.MULTILINE)
    return dict(reversed(pinned))


def needs() -> dict[str, set[str]]:
    """Which packages a package needs, by what the lock file says of who needs each."""
    found: dict[str, set[str]] = {}
    blocks = re.split(r"^(?=[a-z0-9])", LOCK.read_text("utf-8"), flags=re.MULTILINE)
    for block in blocks:
        name = block.partition("==")[0]
        for line in re.findall(r"^ +# +(?:via +)?(\S[^\n]*)$", block, re.MULTILINE):
            found.setdefault(line.split(" (")[0], set()).add(name)
    return found


def sbom() -> Mapping[str, Any]:
    """The bill of materials."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    versions, edges = locked(), needs()
    edges[project["name"]] = {re.split(r"[^a-z0-9-]", each)[0] for each in project["dependencies"]}
    reached, waiting = set[str](), [project["name"]]
    while waiting:
        new = edges.get(waiting.pop(), set()) - reached
        reached |= new
        waiting += new
    refs = {name: f"pkg:pypi/{name}@{versions[name]}" for name in sorted(reached)}
    own = f"{project['name']}@{project['version']}"
    about = {"type": "application", "name": project["name"], "version": project["version"]}
    licence = [{"license": {"id": project["license"]}}]
    return {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {"component": {**about, "bom-ref": own, "licenses": licence}},
        "components": [
            {
                "type": "library",
                "name": name,
                "version": versions[name],
                "bom-ref": ref,
                "purl": ref,
            }
            for name, ref in refs.items()
        ],
        "dependencies": [
            {
                "ref": ref,
                "dependsOn": sorted(refs[each] for each in edges.get(name, set()) & reached),
            }
            for name, ref in {project["name"]: own, **refs}.items()
        ],
    }


def text() -> str:
    """The file's content."""
    return json.dumps(sbom(), indent=1) + "\n"


if __name__ == "__main__":
    SBOM.write_text(text(), encoding="utf-8")

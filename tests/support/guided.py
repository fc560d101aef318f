"""Input that atheris makes: it watches which lines of ours are reached, and goes on from there.

    python -m tests.support.guided TARGET FOLDER OPTIONS-OF-LIBFUZZER

An exception that is none of ours ends the process with another code than 0, as do a hang and much
memory. FOLDER, which is empty, gets the good input to begin with, and what was found.
"""

import sys
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["sitegen"]):
    import sitegen.generative.data.arrays  # noqa: F401  # which tests.support imports, too
    from sitegen.core.errors import SitegenError
    from tests.support.builders import SITE, write_site
    from tests.support.targets import TARGETS


def main(name: str, folder: Path, *options: str) -> None:
    """Try inputs of a target until libFuzzer's options say that it is enough."""
    write_site(folder / "site", site=SITE)
    good, read = TARGETS[name](folder / "site")
    (folder / "good").mkdir()
    (folder / "good" / "0").write_bytes(good)

    def once(data: bytes) -> None:
        try:
            read(data)
        except SitegenError as error:
            if not str(error).strip() or error.exit_code not in range(1, 7):
                raise RuntimeError("an error without words or code") from error

    found = f"-artifact_prefix={folder}/found-"
    atheris.Setup([sys.argv[0], str(folder / "good"), found, *options], once)
    atheris.Fuzz()


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), *sys.argv[3:])

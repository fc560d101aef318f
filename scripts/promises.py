"""Write docs/pages/promises.md: each fault, what is promised, and the tests that try it.

A test says which fault it tries by `@pytest.mark.fault(number)`; its name and the first line of its
docstring stand in the table. With a file as argument, the counts that `make faults` left there
become `tests/faults/sweep.json` first, which the page quotes.
"""

from __future__ import annotations

import ast
import json
import platform
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs/pages/promises.md"
SWEEP = ROOT / "tests/faults/sweep.json"


@dataclass(frozen=True)
class Fault:
    """Something that goes wrong, what is promised then, and what of it is not tried, and why."""

    what: str
    promised: str
    not_tried: str = ""


FAULTS = {
    1: Fault(
        "Kill -9 at any instant of a build",
        "The old site or the new one, whole; the next build is right and asks for nothing.",
        "Power that fails: tried as kills around each flush, not by pulling a plug.",
    ),
    2: Fault(
        "Ctrl-C, a terminal that hangs up, a reader of the output that leaves",
        "One line, exit 130, 143 or 129, soon; no child and no temporary stays.",
    ),
    3: Fault(
        "A disk that is full or fails",
        "Exit 4 names the place and what to do; the old site and the store stay.",
    ),
    4: Fault(
        "A folder that may not be written",
        "Exit 4 before anything is sampled; a store that may only be read serves a build that "
        "renders nothing.",
    ),
    5: Fault(
        "Too few file descriptors or threads",
        "Exit 4 in words, the old site stays.",
        "A limit on processes binds no root, as whom these tests may run; a thread that cannot be "
        "started is tried by its error.",
    ),
    6: Fault(
        "Two builds at once; a lock file that a kill left",
        "The second ends with 5 and names the first; what the dead left is no lock.",
    ),
    7: Fault(
        "A byte that changes in the store or the built folder",
        "It is found by its digest, named, and made again.",
    ),
    8: Fault(
        "Records and manifests that are cut, or of another version",
        "A miss or a refusal in words; never a traceback, never the wrong clip.",
    ),
    9: Fault(
        "A checkpoint, dataset or file of arrays that would run code or fill the memory",
        "Exit 3 names what it asks for; nothing of it is run.",
    ),
    10: Fault(
        "Checkpoints as the published code wrote them, of old and new NumPy, saved on a GPU",
        "They load, with the averaged weights, and are the same numbers as torch reads.",
    ),
    11: Fault("A `.pth` that is cut or has a bit turned", "Exit 3, or the very same numbers."),
    12: Fault(
        "A safetensors file with holes, overlaps, twins, odd shapes or types, or NaN",
        "Exit 3 with the tensor's name.",
    ),
    13: Fault("Weights of another network", "Exit 3 with the first five differences."),
    14: Fault("A checkpoint that is not there", "Exit 2 or 3 with the nearest name."),
    15: Fault(
        "Memory that is full while sampling or training",
        "Batches halve and pictures stay, to rounding; at one image exit 4 with what was wanted.",
        "The kernel's killer of processes: it kills whom it likes, also what else runs here.",
    ),
    16: Fault(
        "A GPU that is asked for and is not there, or whose memory is full",
        "Exit 4; `auto` takes the CPU. Full memory of a GPU is tried by its error.",
    ),
    17: Fault(
        "Weights of nonsense: NaN, states that run away, pictures of one value",
        "It stops with model, level and sample; nothing is published.",
    ),
    18: Fault(
        "Cards and schedules that cannot be",
        "Exit 2 or 3 with line, key, value and rule.",
    ),
    19: Fault("No ffmpeg, or one without H.264", "Exit 4 before anything is sampled."),
    20: Fault(
        "An ffmpeg that dies, hangs, or makes too little",
        "Its words, no file and no process; what hangs is ended.",
    ),
    21: Fault(
        "Odd sizes, one pixel, one frame, odd rates",
        "Padded and whole, or told before the encoder starts.",
    ),
    22: Fault(
        "A `site.toml` with mistakes, or that is no text or no file",
        "Exit 2 with file, line, key and the nearest name.",
    ),
    23: Fault("Markup in any text", "It is text: no element and no attribute comes of it."),
    24: Fault(
        "Paths that lead elsewhere, links, pipes, devices, odd names",
        "Told; nothing is read or written outside the site.",
    ),
    25: Fault(
        "Pictures that are bombs, damaged, or another format than they say",
        "Told, or converted; no other program is started.",
    ),
    26: Fault(
        "Pages and templates with mistakes, or that never end",
        "File and line. A page is stopped after 20 s or 1 GiB of memory, and named.",
    ),
    27: Fault(
        "Odd clients of `serve`: other hosts, paths out of the site, odd ranges",
        "Refused or right. More than 500 requests at once get 503.",
    ),
    28: Fault(
        "A remote that moved, a hook that refuses, a kill or an error while publishing",
        "Exit 6; remote, work tree and index are as they were, and no lock stays. Silence of git "
        "is reported after 20 s, and git is stopped after 5 minutes of it.",
    ),
    29: Fault(
        "Any clock, time zone and SOURCE_DATE_EPOCH",
        "The site holds no time; a commit has the one that is set.",
    ),
    30: Fault(
        "A source that is edited while it is built",
        "What was read is built; the next build makes the rest.",
    ),
    31: Fault(
        "Another process, hash seed, time zone, locale, umask or folder",
        "The same bytes.",
    ),
    32: Fault(
        "Two hosts at one disk",
        "What another host has under way stays for a week; the lock is the kernel's.",
        "Real NFS needs a second kernel. A file system without locks is tried by its error.",
    ),
    33: Fault(
        "A key or an argument that is read and does nothing",
        "Each changes what is built, or is listed with a reason.",
    ),
    34: Fault(
        "Input that nobody thought of: configs, pages, cards, manifests, checkpoints, data sets, "
        "arrays, clips, git",
        "Words and an exit code of the table, within seconds.",
    ),
    35: Fault(
        "A kill or an error while a model is trained or exported",
        "The next run ends with the very same model or page.",
    ),
    36: Fault(
        "Parts of a page that do not arrive: script, clips, weights, WebAssembly; a full storage",
        "What was promised without them works, and the page says what is missing.",
    ),
    37: Fault(
        "Workers of a cluster that are killed, slow, or of another version or checkpoint; a "
        "scheduler that goes away or never was",
        "The same bytes, or exit 3 or 4 in words; nothing half written, nothing left there.",
    ),
    38: Fault(
        "Files and links of the author in the built folder, the store and the exports",
        "No command removes or changes them: it keeps a copy in `kept-from-build/`, or refuses.",
    ),
    39: Fault(
        "A `cache_dir` that is another folder, or a link",
        "Exit 2; without the marker that sitegen wrote, and through a link, nothing is removed.",
    ),
}
"""1 to 30 are those of the review of faults, the others what was promised since."""

_INTRO = """\
# What holds when things go wrong

What sitegen promises of each fault, and the tests that try it on every change. This page is written
from the tests by `make docs`; a test names its fault. `make faults` tries the same things many more
times; the last such run stands at the end.

Exit codes: 0 done; 1 a target failed; 2 usage or config; 3 an input refused; 4 the machine lacks
something; 5 another sitegen is at work; 6 publishing refused; 130, 143, 129 stopped by a signal.

"""


@dataclass(frozen=True)
class Test:
    """A test with its place and the sentence that it proves."""

    place: str
    name: str
    sentence: str


def tests() -> dict[int, list[Test]]:
    """The tests of each fault, in the order of their files."""
    found: dict[int, list[Test]] = {}
    for path in sorted((ROOT / "tests").rglob("test_*.py")):
        if "node_modules" in path.parts:
            continue
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.FunctionDef):
                test = Test(
                    path.relative_to(ROOT).as_posix(),
                    node.name.removeprefix("test_").replace("_", " "),
                    (ast.get_docstring(node) or "").partition("\n")[0],
                )
                for number in _numbers(node):
                    found.setdefault(number, []).append(test)
    return found


def _numbers(node: ast.FunctionDef) -> Iterator[int]:
    """The faults that a test is marked with."""
    for mark in node.decorator_list:
        if isinstance(mark, ast.Call) and ast.unparse(mark.func) == "pytest.mark.fault":
            yield from (int(ast.literal_eval(argument)) for argument in mark.args)


def page() -> str:
    """The page of the manual."""
    found = tests()
    lines = [_INTRO + "| | fault | promised | tried by |", "| --- | --- | --- | --- |"]
    for number, fault in FAULTS.items():
        tried = [f"*{test.name}*: {_text(test.sentence)}" for test in found.get(number, [])]
        if fault.not_tried:
            tried.append(f"**Not tried:** {fault.not_tried}")
        lines.append(f"| {number} | {fault.what} | {fault.promised} | {' '.join(tried)} |")
    return "\n".join([*lines, "", *_sweep()]).rstrip("\n") + "\n"


def _text(sentence: str) -> str:
    return sentence.replace("|", "\\|").replace("{", "&#123;").replace("*", "\\*")


def _sweep() -> Iterator[str]:
    """What the last run of `make faults` tried, as a table."""
    if not SWEEP.exists():
        return
    run = json.loads(SWEEP.read_text(encoding="utf-8"))
    yield "## The last sweep\n"
    yield (
        f"`make faults` ended on {run['date']}, on {run['machine']}: {run['tests']} tests in "
        f"{run['minutes']} minutes of processors. A sweep in which anything fails is not kept, so "
        "all of this held.\n"
    )
    yield "| what was tried | times |\n| --- | ---: |"
    for what, times in run["tries"].items():
        yield f"| {what} | {times:,} |"
    if run["measured"]:
        yield "\n| what was measured | |\n| --- | ---: |"
    for what, figure in run["measured"].items():
        yield f"| {what} | {figure} |"


def keep(log: Path) -> None:
    """Add up the record of a sweep in `SWEEP`, and remove it."""
    lines = [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()]
    tries, measured = Counter[str](), dict[str, str]()
    for line in lines:
        tries.update(line["tries"])
        measured.update(line.get("measured", {}))
    about = {
        "date": time.strftime("%Y-%m-%d"),
        "machine": f"{platform.system()} {platform.machine()}, Python {platform.python_version()}",
        "tests": len(lines),
        "minutes": round(sum(line["seconds"] for line in lines) / 60),
        "tries": dict(sorted(tries.items())),
        "measured": dict(sorted(measured.items())),
    }
    SWEEP.write_text(json.dumps(about, indent=1) + "\n", encoding="utf-8")
    log.unlink()


if __name__ == "__main__":
    if len(sys.argv) > 1:
        keep(Path(sys.argv[1]))
    PAGE.write_text(page(), encoding="utf-8")

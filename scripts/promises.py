"""Write docs/pages/promises.md: a table of faults, promises, how they are tested, and test counts.

A test names its fault with `@pytest.mark.fault(number)`. Given a file as argument, first add up the
counts that `make faults` wrote there, and store them in `tests/faults/sweep.json` for the page.
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
    """A fault, the promise for it, how that is tested, and an exception with its reason."""

    what: str
    promised: str
    tested: str
    not_tested: str = ""


FAULTS = {
    1: Fault(
        "Kill -9 at any moment of a build",
        "The old or the new site is complete; the next build is correct and needs no repair.",
        "Kills at writes, flushes, renames and removals, with a reader in parallel and a "
        "build afterwards",
        "A power failure; kills around each flush replace it.",
    ),
    2: Fault(
        "Ctrl-C, a closed terminal, a reader of the output that exits",
        "One line and exit code 130, 143 or 129, soon; no child process and no temporary file "
        "is left.",
        "Signals during start, rendering, renames and cluster work; closed pipes and terminals",
    ),
    3: Fault(
        "A full or failing disk",
        "Exit code 4 with the path and a remedy; the old site and the store are unchanged.",
        "Errors at system calls, file size limits, a disk that stays full",
    ),
    4: Fault(
        "A folder without write permission",
        "Exit code 4 before sampling; a read-only store works for a build that renders nothing.",
        "Output, its parent and the store without write permission",
    ),
    5: Fault(
        "Too few file descriptors or threads",
        "Exit code 4 with a message; the old site is unchanged.",
        "Limits on descriptors; errors when a library is loaded or the store is read",
        "A limit on processes, which does not apply to root; the error of starting a thread "
        "is raised instead.",
    ),
    6: Fault(
        "Two builds at once; a lock file left by a kill",
        "The second build ends with exit code 5 and names the first; a lock of a dead process "
        "is free.",
        "Parallel builds, a killed lock holder, lock files with arbitrary content",
    ),
    7: Fault(
        "A changed byte in the store or the built folder",
        "It is detected by its digest, reported, and repaired.",
        "Flipped bits, truncation, missing and extra files; each build is compared with a "
        "clean one",
    ),
    8: Fault(
        "Truncated records and manifests, or of another version",
        "They count as missing or are refused with a message; never a traceback or the wrong clip.",
        "Truncation, flipped bits; removed, unknown and mistyped fields; deep nesting",
    ),
    9: Fault(
        "A checkpoint, data set or array file that contains code or would fill the memory",
        "Exit code 3 with the name of the offending content; no code is run.",
        "Malicious pickles, zip and gzip bombs, sparse files of a terabyte; limits on time "
        "and memory",
    ),
    10: Fault(
        "Published checkpoints, with old and new NumPy, or saved on a GPU",
        "They load with the averaged weights, and the numbers equal torch's.",
        "Comparison with torch, bit by bit; NumPy 1 scalars; other memory layouts",
    ),
    11: Fault(
        "A truncated `.pth`, or one with a flipped bit",
        "Exit code 3, or identical numbers.",
        "Files cut at many lengths, flipped bits, with and without a pinned digest",
    ),
    12: Fault(
        "A safetensors file with gaps, overlaps, duplicates, wrong shapes or types, or NaN",
        "Exit code 3 with the tensor's name.",
        "Crafted headers, tensors and priors",
    ),
    13: Fault(
        "Weights of another network",
        "Exit code 3 with the first five differences.",
        "Checkpoints of other dimensions, and with another digest",
    ),
    14: Fault(
        "A missing checkpoint",
        "Exit code 2 or 3 with the most similar name.",
        "Missing files, and folders, pipes and devices in their place",
    ),
    15: Fault(
        "Out of memory during sampling or training",
        "Batches are halved, and images stay equal up to rounding; for a single image, exit "
        "code 4 with the required memory.",
        "Allocation errors of torch and ONNX Runtime; memory limits",
        "The kernel's out-of-memory killer, which would kill other programs too.",
    ),
    16: Fault(
        "A missing GPU, or one with full memory",
        "Exit code 4; `auto` uses the CPU.",
        "Requests for missing devices; the error of a full GPU, raised without one",
    ),
    17: Fault(
        "Bad weights: NaN, diverging states, uniform images",
        "The build stops with model, level and sample; nothing is published.",
        "Weights of NaN, huge weights, a last layer of zeros; images outside of [0, 1] or of "
        "a single value",
    ),
    18: Fault(
        "Invalid cards and schedules",
        "Exit code 2 or 3 with line, key, value and rule.",
        "Wrong values for keys of a card, invalid schedules, the published presets",
    ),
    19: Fault(
        "No ffmpeg, or one without H.264",
        "Exit code 4 before sampling.",
        "A missing encoder, and one without x264",
    ),
    20: Fault(
        "An ffmpeg that fails, hangs, or writes too little",
        "Its error message; no file and no process is left; a hanging one is stopped.",
        "Failing and hanging programs in place of ffmpeg; files of the wrong size, frame "
        "count or layout",
    ),
    21: Fault(
        "Unusual sizes, one pixel, one frame, unusual frame rates",
        "The frame is padded, or an error is reported before encoding.",
        "The smallest sizes, single, equal and fast frames; invalid rates and colours",
    ),
    22: Fault(
        "A `site.toml` with mistakes, or that is not text or not a file",
        "Exit code 2 with file, line, key and the most similar name.",
        "Wrong keys, random values, huge numbers; folders, pipes and binary files",
    ),
    23: Fault(
        "Markup in any text",
        "It is displayed as text and creates no element or attribute.",
        "Markup in configuration, captions and expressions; terminal codes in names",
    ),
    24: Fault(
        "Paths out of the site, links, pipes, devices, unusual names",
        "They are reported; nothing outside the site is read or written.",
        "Links, pipes, sockets and special files in pages, store and output; invalid names",
    ),
    25: Fault(
        "Damaged or huge pictures, or in another format than their name says",
        "They are reported or converted; no other program is started.",
        "Damaged pictures of every format, headers of a billion pixels, PostScript named as PNG",
    ),
    26: Fault(
        "Pages and templates with mistakes, or that never end",
        "File and line. A page is stopped after 20 s of a processor, and named.",
        "Endless loops in pages and themes, huge values, mistakes in calls and templates",
    ),
    27: Fault(
        "Unusual clients of `serve`: other hosts, paths out of the site, odd ranges",
        "Refused, or answered correctly. More than 500 requests at once get 503.",
        "Other hosts, ranges past the end, 200 clients at once",
    ),
    28: Fault(
        "A changed remote, a hook that refuses, a kill or an error during publishing",
        "Exit code 6; remote, work tree and index are unchanged. A git that takes more than "
        "20 s is reported.",
        "Pushes by others, hooks, a silent remote; kills and errors at system calls of "
        "sitegen and git",
    ),
    29: Fault(
        "Any clock, time zone and SOURCE_DATE_EPOCH",
        "The site contains no time; a commit has the one that is set.",
        "Builds and commits with different clocks",
    ),
    30: Fault(
        "A source that is edited during a build",
        "The content that was read is built; the next build includes the edit.",
        "Edits while sources are read, rendered, checked and copied",
    ),
    31: Fault(
        "Another process, hash seed, time zone, locale, umask or folder",
        "The same bytes.",
        "Two builds in different environments",
    ),
    32: Fault(
        "Two hosts with one disk",
        "Temporary files of another host are kept; the kernel provides the lock.",
        "Temporary files of dead processes, of other programs and of other hosts",
        "NFS, which needs a second kernel. The error of a file system without locks is raised "
        "instead.",
    ),
    33: Fault(
        "A key or an argument without effect",
        "Each changes the output, or is listed with a reason.",
        "Another value for every key and every argument",
    ),
    34: Fault(
        "Unexpected input: configs, pages, cards, manifests, checkpoints, data sets, arrays, "
        "clips, git",
        "A message and a documented exit code, within seconds.",
        "Hypothesis and atheris (guided by coverage)",
    ),
    35: Fault(
        "A kill or an error during training or export",
        "The next run ends with an identical model or page.",
        "Kills and errors at system calls on a run's files",
    ),
    36: Fault(
        "Missing parts of a page: script, clips, weights, WebAssembly; full browser storage",
        "The rest works, and the page names the missing part.",
        "Browsers without scripts or storage; missing, stalled and truncated downloads",
    ),
    37: Fault(
        "Cluster workers that are killed, slow, failing, or of another version; a missing "
        "scheduler",
        "The same bytes, or exit code 3 or 4 with a message; no partial files, nothing left "
        "on the workers.",
        "Clusters with killed, stopped and incompatible workers and schedulers",
    ),
    38: Fault(
        "Files and links of the author in the built folder, the store and the exports",
        "No command removes or changes them: it copies them to `kept-from-build/`, or refuses.",
        "Random sequences of commands and edits",
    ),
    39: Fault(
        "A `cache_dir` that is another folder, or a link",
        "Exit code 2; nothing is removed from a folder of others, or through a link.",
        "Repositories, data folders and links as `cache_dir`",
    ),
}
"""Faults by their number, which a test names in `@pytest.mark.fault`."""

_INTRO = """\
# Promises

What sitegen promises when something goes wrong, and how each promise is tested on every change.
`make docs` writes this page. The last column is the number of tests of a fault. A mark lists them,
here for fault 9:

```text
git grep -n "fault(.*\\b9\\b" tests
```

`make faults` runs these tests with many more cases, and a few only there; the
[results](#h-the-last-sweep) are below.
[Exit codes](how-it-works/#h-exit-codes) are listed elsewhere.

"""


@dataclass(frozen=True)
class Test:
    """A test: its file, its name, and the first line of its docstring."""

    place: str
    name: str
    sentence: str


def tests() -> dict[int, list[Test]]:
    """Return the tests of each fault, in the order of their files."""
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
    """Yield the faults that a test is marked with."""
    for mark in node.decorator_list:
        if isinstance(mark, ast.Call) and ast.unparse(mark.func) == "pytest.mark.fault":
            yield from (int(ast.literal_eval(argument)) for argument in mark.args)


def page() -> str:
    """Return the page of the manual."""
    found = tests()
    lines = [
        _INTRO + "| | fault | promise | how it is tested | tests |",
        "| ---: | --- | --- | --- | ---: |",
    ]
    for number, fault in FAULTS.items():
        cells = (number, fault.what, fault.promised, fault.tested, len(found.get(number, [])))
        lines.append(f"| {' | '.join(map(str, cells))} |")
    lines += ["", "## Not tested", ""]
    lines += [f"- {n}: {fault.not_tested}" for n, fault in FAULTS.items() if fault.not_tested]
    return "\n".join([*lines, "", *_sweep()]).rstrip("\n") + "\n"


def _sweep() -> Iterator[str]:
    """Yield the lines on the last run of `make faults`: its cases and measurements."""
    if not SWEEP.exists():
        return
    run = json.loads(SWEEP.read_text(encoding="utf-8"))
    yield "## The last sweep\n"
    yield (
        f"`make faults` on {run['date']}, {run['machine']}: {run['tests']} tests in "
        f"{run['minutes']} minutes of CPU time. Results are stored only if all tests pass.\n"
    )
    yield "| case | runs |\n| --- | ---: |"
    for what, times in run["tries"].items():
        yield f"| {what} | {times:,} |"
    if run["measured"]:
        yield "\n| measurement | |\n| --- | ---: |"
    for what, figure in run["measured"].items():
        yield f"| {what} | {figure} |"


def keep(log: Path) -> None:
    """Add up the log of a sweep, store the sums in `SWEEP`, and remove the log."""
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

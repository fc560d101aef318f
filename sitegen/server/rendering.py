"""`sitegen build` as a process of the preview, which holds the models and torch while it runs."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from pathlib import Path

from sitegen.builder.plan import BuildOptions

COMMAND = (sys.executable, "-m", "sitegen")
STOP_S = 1.0
"""Seconds that the process has to remove its temporary files before it is killed."""


class BuildProcess:
    """A build of the site of `config`.

    progress: the last line that it printed
    """

    def __init__(self, config: Path, options: BuildOptions) -> None:
        device, precision = options.asked
        command = [*COMMAND, "build", "--config", str(config)]
        command += ["--device", device, "--precision", precision]
        command += ["--offline"] if options.offline else []
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            encoding="utf-8",
            errors="replace",
        )
        self.progress = ""
        self._error: list[str] = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self._process.stderr is not None
        for line in self._process.stderr:
            self.progress = line.rstrip()
            if self._error or line.startswith(("error: ", "Traceback ")):
                self._error.append(line.rstrip().removeprefix("error: "))

    def is_running(self) -> bool:
        """Return whether it has not ended."""
        return self._process.poll() is None

    def end(self) -> tuple[int, str]:
        """Stop it if it is running; return its exit code and the message of its error."""
        if self.is_running():
            self._process.terminate()
            try:
                self._process.wait(STOP_S)
            except subprocess.TimeoutExpired:  # a long computation that no signal interrupts
                self._process.kill()
        code = self._process.wait()
        self._reader.join(STOP_S)  # an encoder that outlives it has the pipe as well
        if code < 0:
            name = signal.Signals(-code).name
            cause = f"was killed ({name}), perhaps because memory is full"
            advice = "close other programs, or ask for fewer or smaller samples"
            return code, f"the process that rendered {cause}; {advice}"
        if self._error and self._error[0].startswith("Traceback "):
            return code, self._error[-1]
        return code, "\n".join(self._error)

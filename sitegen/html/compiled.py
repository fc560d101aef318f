"""The code of the shipped templates, kept beside them as Python keeps that of its modules.

Compiling them takes a quarter of a build that changes nothing. What is kept is of this Jinja, of
our sandbox and of the template as it is now; who may write there may change the program, too. An
author's templates are compiled anew each time.
"""

import contextlib
import os
import sys
from pathlib import Path

import jinja2
from jinja2 import BytecodeCache
from jinja2.bccache import Bucket

from sitegen.content import sandbox
from sitegen.core.files import digest_bytes


class CompiledTemplates(BytecodeCache):
    """What Jinja asks for the code of a template; `shipped` is the folder of those that are ours.

    A folder that cannot be written, or is not to be (`PYTHONDONTWRITEBYTECODE`), stays as it is.
    """

    def __init__(self, shipped: Path) -> None:
        self._shipped = shipped
        ours = Path(sandbox.__file__).stat()
        made_by = [jinja2.__version__, sys.implementation.cache_tag, ours.st_mtime_ns, ours.st_size]
        self._made_by = digest_bytes(repr(made_by).encode())[:8]

    def get_cache_key(self, name: str, filename: str | None = None) -> str:
        """The name of the file that has its code; empty for a template that is not ours."""
        if filename is None or Path(filename).parent != self._shipped:
            return ""
        return f"{name.replace('/', '-')}.{self._made_by}"

    def load_bytecode(self, bucket: Bucket) -> None:
        """Give the bucket what is kept for it."""
        if bucket.key:
            with contextlib.suppress(OSError), self._path(bucket).open("rb") as file:
                bucket.load_bytecode(file)

    def dump_bytecode(self, bucket: Bucket) -> None:
        """Keep what is in the bucket."""
        if not bucket.key or sys.dont_write_bytecode:
            return
        path = self._path(bucket)
        temporary = path.with_name(f"{path.name}.{os.getpid()}")
        with contextlib.suppress(OSError):
            path.parent.mkdir(exist_ok=True)
            temporary.write_bytes(bucket.bytecode_to_string())
            os.replace(temporary, path)

    def _path(self, bucket: Bucket) -> Path:
        return self._shipped / "__pycache__" / bucket.key

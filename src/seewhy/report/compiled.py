"""Compiled templates, kept from one report to the next."""

from __future__ import annotations

import contextlib
import hashlib
import os
import pickle
import sys
from importlib.util import cache_from_source
from pathlib import Path

import jinja2
from jinja2.bccache import Bucket

_OPTIONS = Path(__file__).with_name("pages.py")  # says how they are compiled


class Compiled(jinja2.BytecodeCache):
    """Where Python keeps the compiled modules of this package, and on the same terms: what is older is made anew."""

    def load_bytecode(self, bucket: Bucket) -> None:
        """What was kept of a template, if anything was."""
        with contextlib.suppress(OSError, ValueError, EOFError, TypeError, pickle.UnpicklingError):
            bucket.bytecode_from_string(kept(bucket).read_bytes())

    def dump_bytecode(self, bucket: Bucket) -> None:
        """Keep a template, unless nothing may be written there."""
        if sys.dont_write_bytecode:
            return
        path = kept(bucket)
        temporary = path.with_suffix(f".{os.getpid()}")
        with contextlib.suppress(OSError):
            path.parent.mkdir(parents=True, exist_ok=True)
            temporary.write_bytes(bucket.bytecode_to_string())
            temporary.replace(path)


def kept(bucket: Bucket) -> Path:
    """The file of a template as it is compiled here: by this Jinja, with these options."""
    made_by = (bucket.key, jinja2.__version__, _OPTIONS.read_text(encoding="utf-8"))
    digest = hashlib.blake2b("\n".join(made_by).encode(), digest_size=8).hexdigest()
    return Path(cache_from_source(str(Path(__file__).with_name(f"template-{digest}.py"))))

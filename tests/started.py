"""Commands in processes of their own, from the nursery of benchmarks/nursery.py: a start costs no import of torch."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from typing import IO, Any

from benchmarks.nursery import IS_POSSIBLE, Child, Nursery

SEEWHY = [sys.executable, "-m", "seewhy"]
READ_ONCE = ("GOMP_", "KMP_", "LD_", "MKL_", "OMP_", "OPENBLAS_", "PYTHON", "TORCH_")  # before a command's first line
_nursery = cache(Nursery)


def started(
    *words: str,
    cwd: Path,
    stdout: IO[Any],
    stderr: IO[Any],
    env: Mapping[str, str] | None = None,
    start_new_session: bool = False,
) -> Child | subprocess.Popen[bytes]:
    """`python -m seewhy` with these words, begun."""
    env = os.environ if env is None else env
    if IS_POSSIBLE and _read_once(env) == _read_once(os.environ):
        return _nursery().start(words, cwd, env, stdout, stderr, start_new_session)
    return subprocess.Popen(
        [*SEEWHY, *words], cwd=cwd, env=env, stdout=stdout, stderr=stderr, start_new_session=start_new_session
    )


def _read_once(env: Mapping[str, str]) -> dict[str, str]:
    """What a process that has imported everything does not look at again: such a command is really started."""
    return {name: value for name, value in env.items() if name.startswith(READ_ONCE) and name != "PYTHONPATH"}


def run_apart(*words: str, cwd: Path, env: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """`python -m seewhy` with these words from begin to end, with what it and whatever it left behind said."""
    return _heard([*SEEWHY, *words], lambda **ways: started(*words, cwd=cwd, env=env, **ways))


def run_code_apart(code: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """`python -c` with this code from begin to end."""
    words = [sys.executable, "-c", code]
    if not IS_POSSIBLE:
        return subprocess.run(words, cwd=cwd, capture_output=True, text=True, check=False)
    return _heard(words, lambda **ways: _nursery().start([], cwd, os.environ, code=code, **ways))


def _heard(words: list[str], start: Callable[..., Any]) -> subprocess.CompletedProcess[str]:
    (hears, speaks), (hears_errors, speaks_errors) = os.pipe(), os.pipe()
    with os.fdopen(hears) as said, os.fdopen(hears_errors) as errors, ThreadPoolExecutor(1) as other:
        with os.fdopen(speaks, "wb") as stdout, os.fdopen(speaks_errors, "wb") as stderr:
            process = start(stdout=stdout, stderr=stderr)
        wrong = other.submit(errors.read)
        right = said.read()
        return subprocess.CompletedProcess(words, process.wait(), right, wrong.result())

"""Commands in processes of their own without the seconds of a start: forked from one that has imported everything.

A command is what `python -m seewhy` is, in its own folder, environment and, where asked, session; it has a process id
and a status, and can be killed. Two starts of one nursery share the seed of Python's hashes: where bytes are compared,
one of the two must be a `python -m seewhy` of its own. What a command had to import beyond what the nursery has, the
nursery imports before the next.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import socket
import struct
import subprocess
import sys
import sysconfig
import traceback
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any, NoReturn

FIRST = (
    "seewhy.cli.app", "seewhy.cli.audit", "seewhy.cli.check", "seewhy.cli.explain", "seewhy.cli.merge",
    "seewhy.cli.train", "seewhy.explanation.folder", "seewhy.evidence.audit", "seewhy.evidence.check",
    "seewhy.learn.train.train", "seewhy.report.write", "torch", "zarr", "pyarrow.parquet", "filelock",
    "PIL.PngImagePlugin",
)  # fmt: skip
LEARNED = {  # what may be imported for later commands: packages that seewhy itself always has, and Python's
    "PIL", "annotated_types", "click", "filelock", "jinja2", "markupsafe", "matplotlib", "numcodecs", "numpy",
    "pyarrow", "pydantic", "pydantic_core", "rich", "safetensors", "scipy", "seewhy", "torch", "typer", "zarr",
    *sys.stdlib_module_names,
}  # fmt: skip
IS_POSSIBLE = sys.platform.startswith("linux")


class Child:
    """A command that was started: what `subprocess.Popen` has of it."""

    def __init__(self, words: Sequence[str], status: int) -> None:
        self.args, self._status = words, status
        self.returncode: int | None = None
        (self.pid,) = struct.unpack("i", os.read(status, 4))

    def poll(self) -> int | None:
        """The exit status, where it has ended."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.wait(0)
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """The exit status, once it has ended."""
        if self.returncode is None:
            if not select.select([self._status], [], [], timeout)[0]:
                raise subprocess.TimeoutExpired(list(self.args), timeout or 0)
            self.returncode = os.waitstatus_to_exitcode(struct.unpack("i", os.read(self._status, 4))[0])
            os.close(self._status)
        return self.returncode

    def send_signal(self, number: int) -> None:
        """Send it a signal, where it has not ended."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        """End it at once."""
        self.send_signal(signal.SIGKILL)

    def __enter__(self) -> Child:
        return self

    def __exit__(self, *_: object) -> None:
        self.wait()


class Nursery:
    """A process that has imported everything, and forks at a word."""

    def __init__(self, environment: Mapping[str, str] | None = None) -> None:
        self._ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        words = [sys.executable, str(Path(__file__).resolve()), str(theirs.fileno())]
        self._process = subprocess.Popen(
            words, env=environment, pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL, start_new_session=True
        )
        theirs.close()

    def start(
        self,
        words: Sequence[str],
        cwd: Path,
        env: Mapping[str, str],
        stdout: IO[Any],
        stderr: IO[Any],
        start_new_session: bool = False,
        code: str | None = None,
    ) -> Child:
        """Begin `seewhy` with these words, or Python with this code."""
        asked = {"words": list(words), "code": code, "cwd": str(cwd), "environment": dict(env)}
        asked["session"] = start_new_session
        status, told = os.pipe()
        socket.send_fds(self._ours, [json.dumps(asked).encode()], [stdout.fileno(), stderr.fileno(), told])
        os.close(told)
        return Child(words, status)

    def close(self) -> None:
        """Fork no more; what was started goes on."""
        self._ours.close()
        self._process.wait()


def _serve(connection: socket.socket) -> None:
    """Fork a command for each message until nobody can send one any more."""
    sys.path.pop(0)  # this file's folder
    _import(FIRST)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    learned, tells = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    while True:
        message, (*ends,), _, _ = socket.recv_fds(connection, 1 << 20, 3)
        if not message:
            return
        with contextlib.suppress(BlockingIOError):
            while True:
                _import(learned.recv(1 << 20, socket.MSG_DONTWAIT).decode().split())
        if not os.fork():
            connection.close()
            _keep(json.loads(message), ends, tells)
        for end in ends:
            os.close(end)


def _import(names: Sequence[str]) -> None:
    for name in names:
        with contextlib.suppress(ImportError):
            __import__(name)


def _keep(asked: dict[str, Any], ends: list[int], tells: socket.socket) -> NoReturn:
    """Fork the command, which says its process id, and say at its end how it ended."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    out, err, told = ends
    child = os.fork()
    if not child:
        if asked["session"]:
            os.setsid()  # before anyone knows whom to kill
        os.write(told, struct.pack("i", os.getpid()))
        os.close(told)
        _become(asked, out, err, tells)
    os.close(out), os.close(err)
    with contextlib.suppress(BrokenPipeError):
        os.write(told, struct.pack("i", os.waitpid(child, 0)[1]))
    os._exit(0)


def _become(asked: dict[str, Any], out: int, err: int, tells: socket.socket) -> NoReturn:
    """Be the command."""
    os.dup2(out, 1), os.dup2(err, 2)
    os.close(out), os.close(err)
    os.chdir(asked["cwd"])
    os.environ.clear()
    os.environ.update(asked["environment"])
    more = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    sys.path[:0] = [asked["cwd"], *(place for place in more if place and place not in sys.path)]
    before, status = set(sys.modules), 0
    sys.argv = ["seewhy", *asked["words"]]
    try:
        if asked["code"] is not None:
            exec(asked["code"], vars(sys.modules["__main__"]))
        else:
            sys.modules["seewhy.cli.app"].main(asked["words"])
    except SystemExit as ended:
        status = ended.code if isinstance(ended.code, int) else int(ended.code is not None)
    except BaseException:  # noqa: BLE001 - as Python itself says what nobody caught
        traceback.print_exc()
        status = 1
    with contextlib.suppress(OSError):
        tells.send("\n".join(_ours_of(sys.modules.keys() - before)).encode(), socket.MSG_DONTWAIT)
        sys.stdout.flush(), sys.stderr.flush()
    os._exit(status)


def _ours_of(names: set[str]) -> list[str]:
    """The modules among these that may be imported for others; a user's may be called like one of Python's."""
    places = (*(sysconfig.get_paths()[one] for one in ("stdlib", "platstdlib", "purelib", "platlib")),
              str(Path(sys.modules["seewhy"].__file__ or "").parent))  # fmt: skip
    known = [name for name in names if name.partition(".")[0] in LEARNED]
    files = {name: str(getattr(sys.modules[name], "__file__", None) or "") for name in known}
    return sorted(name for name, file in files.items() if file.startswith(places))


if __name__ == "__main__":
    _serve(socket.socket(fileno=int(sys.argv[1])))

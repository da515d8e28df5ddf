"""Work mapped over shards on this machine: in this process, or in forked single-thread workers."""

from __future__ import annotations

import contextlib
import ctypes
import gc
import multiprocessing
import os
import platform
import signal
import sys
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import Any, TypeVar

import torch

from seewhy.errors import WorkError
from seewhy.run.machine import cores

_PR_SET_PDEATHSIG = 1  # sys/prctl.h
_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_MAX, _M_ARENA_MAX = -1, -2, -4, -8  # malloc.h
_KEPT = ((_M_MMAP_MAX, 0), (_M_TRIM_THRESHOLD, 2**31 - 1), (_M_TOP_PAD, 64 << 20), (_M_ARENA_MAX, 1))
T = TypeVar("T")
Piece = TypeVar("Piece")
_work: Callable[[Any], Any] | None = None  # in a forked worker: what it was made for


def run_shards(
    work: Callable[[Piece], T], shards: Sequence[Piece], workers: int = 1, begin: Callable[[], None] = lambda: None
) -> Iterator[T]:
    """What `work` gives for each shard, in their order; at most two shards per worker wait, so that memory stays flat.

    More than one worker forks, which is safe only before torch has started threads; `begin` is called once they are
    forked, before any work. Raises WorkError when a worker dies; what was yielded before is complete.
    """
    if workers <= 1 or not shards:
        begin()
        yield from map(work, shards)
        return
    threads = max(1, cores() // workers)
    context = multiprocessing.get_context("fork")
    settings = (work, threads, os.getpid())
    with ProcessPoolExecutor(min(workers, len(shards)), context, initializer=_begin, initargs=settings) as pool:
        waiting: deque[Future[Any]] = deque()
        try:
            pool.submit(cores).result()  # the first task forks all workers
            begin()
            for shard in shards:
                waiting.append(pool.submit(_run, shard))
                if len(waiting) >= 2 * workers:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        except BrokenProcessPool as error:
            raise WorkError(
                "A worker died (killed, or out of memory). What is finished is kept; the same command goes on.\n"
                "  If it happens again:  --batch-size 4 --workers 1",
                slug="worker-died",
            ) from error
        except (
            BaseException
        ):  # interrupted: what a worker is at would not be kept, and whoever stops a run waits for it
            for process in list((pool._processes or {}).values()):
                process.kill()
            raise
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


@contextlib.contextmanager
def forking(workers: int | None) -> Iterator[None]:
    """Keep torch on one thread, so that workers can be forked; nothing changes where one process does the work."""
    if workers == 1 or not sys.platform.startswith("linux"):
        yield
        return
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def use_one_thread() -> None:
    """Give torch one thread in this process, as workers of one machine have."""
    torch.set_num_threads(1)


def steady_process() -> None:
    """Settle a process of our own, once all is imported: nothing imported is looked through for garbage again.

    That would copy its pages into every forked worker. torch takes no more threads than the processors that a container
    grants. On glibc large freed blocks are kept, too, instead of handing them back page by page.
    """
    torch.set_num_threads(min(torch.get_num_threads(), cores()))
    gc.freeze()
    gc.enable()  # main() imports without it
    if not sys.platform.startswith("linux") or platform.libc_ver()[0] != "glibc":
        return
    library = ctypes.CDLL(None)
    for option, value in _KEPT:
        library.mallopt(option, value)


def _begin(work: Any, threads: int, parent: int) -> None:
    """Make this process a worker: it dies with the process that made it, however that ends."""
    global _work
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)  # not the command's own way of stopping
    if sys.platform.startswith("linux"):
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it ended before that was asked for
        os._exit(1)
    _work = work
    torch.set_num_threads(threads)


def _run(shard: Any) -> Any:
    if _work is None:
        raise RuntimeError("the worker was not made by run_shards")
    return _work(shard)

"""A connection to a Ray cluster."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import socket
import threading
import warnings
from collections.abc import Iterator
from typing import Any

import ray
from ray import exceptions

from seewhy.errors import OptionError, WorkError
from seewhy.run.nodes import first_line

ANSWER_S = 10  # until somebody listens at an address
_TRIES = "RAY_gcs_server_port_wait_time_s"


@contextlib.contextmanager
def connected(address: str) -> Iterator[None]:
    """A connection to the cluster at "host:port", or to the one that runs here or that RAY_ADDRESS names ("auto").

    "local" begins one for this machine alone, without a dashboard. Raises OptionError where nothing answers.
    """
    if ray.is_initialized():
        yield
        return
    if address not in ("auto", "local"):
        check_answers(address)
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    local: dict[str, Any] = {"include_dashboard": False} if address == "local" else {}
    tried = contextlib.nullcontext() if local else _tried_once()
    try:
        with warnings.catch_warnings(), _stopped_as_before(), tried:
            warnings.simplefilter("ignore")  # tips about future versions of Ray
            ray.init(address, log_to_driver=False, logging_level=logging.ERROR, **local)
    except Exception as error:
        raise _not_connected(address, error) from error
    try:
        yield
    except exceptions.RayError as error:
        raise WorkError(
            f"The Ray cluster was lost: {first_line(error)}\n  What is finished is kept; once  ray status  shows the "
            "cluster again, the same command goes on.",
            slug="ray-address",
        ) from error
    finally:
        ray.shutdown()


@contextlib.contextmanager
def _stopped_as_before() -> Iterator[None]:
    """What SIGTERM does stays as it is: Ray would let it end the process by sys.exit()."""
    before = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        if before is not None and threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, before)


@contextlib.contextmanager
def _tried_once() -> Iterator[None]:
    """Ray tries once to connect, which takes half a minute where an address is silent, and not again and again."""
    is_ours = _TRIES not in os.environ
    os.environ.setdefault(_TRIES, "1")
    try:
        yield
    finally:
        if is_ours:
            os.environ.pop(_TRIES, None)


def check_answers(address: str) -> None:
    """Raise OptionError where the address is none, or nothing listens there."""
    host, colon, port = address.rpartition(":")
    if "://" in address or not colon or not port.isdecimal():
        raise OptionError(
            f"--ray is {address!r}, but must look like 10.0.0.1:6379, or be auto or local.\n  The address is what  ray "
            "start --head  prints; type the command on a machine of the cluster, which sees its files.",
            slug="ray-address",
        )
    try:
        socket.create_connection((host, int(port)), timeout=ANSWER_S).close()
    except (OSError, OverflowError) as error:
        raise _no_answer(address, str(getattr(error, "strerror", None) or error)) from error


def _not_connected(address: str, error: Exception) -> OptionError:
    """The error where Ray itself could not connect; other versions of Ray or Python it tells in several lines."""
    lines = [line.strip() for line in str(error).splitlines()]
    if not lines or "ersion mismatch" not in lines[0]:
        return _no_answer(address, first_line(error))
    return OptionError(
        f"The cluster at {address} is of other versions: {' '.join(lines)}\n  Install the same Ray and Python on all "
        "machines:  pip install ray==…",
        slug="ray-address",
    )


def _no_answer(address: str, why: str) -> OptionError:
    if address == "local":
        return OptionError(
            f"Ray could not be begun on this machine: {why}\n  Ray gives up after half a minute: try again when the "
            "machine is less busy, or leave --ray out: --workers does the same here.",
            slug="ray-address",
        )
    if address == "auto":
        todo = "Name one:  --ray HOST:6379, or begin one for this machine alone:  --ray local"
        return OptionError(f"No Ray cluster runs here: {why}\n  {todo}", slug="ray-address")
    return OptionError(
        f"No Ray cluster answers at {address}: {why}.\n  Look:  ray status --address={address}.  Is the head started "
        "(ray start --head), is the port 6379, does a firewall lie between?",
        slug="ray-address",
    )

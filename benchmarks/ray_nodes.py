"""A real Ray of two nodes, each a process of this machine, which may be busy.

`ray start` and Ray's own `Cluster` give up where a node is not there after half a minute, and say nothing that could
change that; so that one part of Ray is made patient here by its inner names, and `add_node` says which.
"""

from __future__ import annotations

import contextlib
import inspect
import os
import socket
import time
from collections.abc import Iterator
from typing import Any
from unittest import mock

LIMIT_S = 900  # of a node, and of one command, on a machine that does much else
SETTINGS = {  # read where Ray is imported
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",  # nodes listen on the loopback alone
    "RAY_enable_worker_prestart": "0",  # of workers that nobody asked for
    "RAY_prestart_worker_first_driver": "0",
    "RAY_worker_niceness": "0",  # else workers wait for everything else that the machine does
    "RAY_worker_register_timeout_seconds": str(LIMIT_S),
    "RAY_agent_register_timeout_ms": str(1000 * LIMIT_S),
}
for _name, _value in SETTINGS.items():
    os.environ.setdefault(_name, _value)


@contextlib.contextmanager
def two_nodes() -> Iterator[Any]:
    """A cluster of two nodes, each a process of two CPUs. Raises RuntimeError where the machine is too busy for it."""
    from ray.cluster_utils import Cluster

    nodes = Cluster()
    try:
        try:
            add_node(nodes, include_dashboard=False)
            add_node(nodes)
        except Exception as error:
            raise RuntimeError(f"Ray could not start two nodes: {error}") from error
        yield nodes
    finally:
        nodes.shutdown()


def add_node(nodes: Any, **options: Any) -> Any:
    """One more node of two CPUs, which may take its time.

    Ray itself gives up after half a minute, and its raylet after 15 seconds of waiting for the agents of a node to name
    their ports: that of the one that is needed is named here beforehand, and the others are said not to be in use.
    """
    from ray._private import services

    get_node, start_raylet, agent_port = services.get_node, services.start_raylet, _free_port()

    def patient(*given: Any) -> Any:
        limit = time.monotonic() + LIMIT_S
        while True:
            try:
                return get_node(*given)
            except RuntimeError:
                if time.monotonic() > limit:
                    raise
            time.sleep(0.2)

    def told(*given: Any, **named: Any) -> Any:
        known = inspect.signature(start_raylet).bind(*given, **named).arguments
        _tell_ports(known["session_dir"], known["node_id"], agent_port)
        return start_raylet(*given, **named)

    patched = {"get_node": patient, "start_raylet": told}
    with mock.patch.multiple(services, **patched):
        return nodes.add_node(num_cpus=2, object_store_memory=100 << 20, runtime_env_agent_port=agent_port, **options)


def _tell_ports(session: str, node: str, agent_port: int) -> None:
    """Write the files that a raylet waits for."""
    from ray import _raylet

    _raylet.persist_port(session, node, _raylet.RUNTIME_ENV_AGENT_PORT_NAME, agent_port)
    for name in ("METRICS_AGENT_PORT_NAME", "METRICS_EXPORT_PORT_NAME", "DASHBOARD_AGENT_LISTEN_PORT_NAME"):
        _raylet.persist_port(session, node, getattr(_raylet, name), -1)


def _free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])

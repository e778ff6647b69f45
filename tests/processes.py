"""Processes that start at once, where a fresh one would import torch for seconds."""

import multiprocessing
import socket
from collections.abc import Callable
from multiprocessing.process import BaseProcess

IMPORTED = ["torch._dynamo", "sklearn.model_selection", "hwnas.searches.registry", "tests.test_dsnas"]
"""By the server that processes are forked from, with modules that torch and a fit import at their first use."""


def started(function: Callable[..., None], *arguments: object) -> BaseProcess:
    """A process that runs a function of a module: it is forked from one that has imported all this, but run nothing."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(IMPORTED)
    process = context.Process(target=function, args=arguments)
    process.start()
    return process


def group_environments(count: int) -> list[dict[str, str]]:
    """What torchrun tells each of so many processes of one group by its environment."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    group = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "WORLD_SIZE": str(count)}
    return [group | {"RANK": str(rank)} for rank in range(count)]

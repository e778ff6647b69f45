"""Where tasks are done: one after the other in this process, or by the workers of a Dask cluster.

By default a cluster of processes on this machine; or any Dask cluster by its address, whose workers have hwnas and see
the same folders. What Dask is given is JSON, and what it does for a worker that is lost is to have its task done by
another one, which goes on from the last checkpoint.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hwnas.errors import HwnasError
from hwnas.evaluation.tasks import Task, run_task
from hwnas.temporary import temporary_folder

if TYPE_CHECKING:
    from distributed import Client

LOG = logging.getLogger(__name__)

MOST_DEATHS = 100
"""So many workers may die at one task before it is given up: each death costs a checkpoint's worth, no more."""
CONNECT_S = 30

Done = Callable[[int, int, Task], None]
"""Called with (tasks done, tasks in all, the newest one)."""
Results = list[dict[str, Any]]


class ThisProcess:
    """Does tasks one after the other, here."""

    def run(self, tasks: Sequence[Task], done: Done) -> Results:
        """The result of each task, in order. Those that are done are not done again."""
        results = []
        for number, task in enumerate(tasks, start=1):
            results.append(run_task(task.to_json()))
            done(number, len(tasks), task)
        return results


class DaskWorkers:
    """Has tasks done by the workers of a Dask cluster."""

    def __init__(self, client: Client, resources: dict[str, float] | None = None) -> None:
        self._client, self._resources = client, resources or None

    def run(self, tasks: Sequence[Task], done: Done) -> Results:
        """As `ThisProcess.run`. Raises the HwnasError of a task; the others are then kept, and left undone."""
        from distributed import as_completed

        results: dict[int, dict[str, Any]] = {}
        for index, task in enumerate(tasks):
            if (known := task.result) is not None:
                results[index] = known
                done(len(results), len(tasks), task)
        waiting = {self._submit(task): index for index, task in enumerate(tasks) if index not in results}
        try:
            for future in as_completed(list(waiting)):
                index = waiting[future]
                results[index] = self._result(future, tasks[index])
                done(len(results), len(tasks), tasks[index])
        finally:
            self._client.cancel(list(waiting))
        return [results[index] for index in range(len(tasks))]

    def _submit(self, task: Task) -> Any:
        return self._client.submit(
            run_task, task.to_json(), key=f"{task.kind}-{task.folder}", pure=False, resources=self._resources
        )

    def _result(self, future: Any, task: Task) -> dict[str, Any]:
        from distributed.scheduler import KilledWorker

        try:
            found: dict[str, Any] = future.result()
        except HwnasError:
            raise
        except KilledWorker as error:
            raise HwnasError(
                f"every worker that was given {task.folder} died, the last one {error.last_worker.address}: is there "
                "enough memory? Repeat the command to go on from its last checkpoint, with fewer --workers."
            ) from None
        except Exception as error:  # whatever a worker of another machine runs into, such as a missing package
            raise HwnasError(
                f"the task in {task.folder} failed on a worker: {type(error).__name__}: {error}. Workers need the same "
                "version of hwnas as this process. Repeat the command to go on."
            ) from error
        return found


@contextmanager
def workers(count: int, address: str | None, folder: Path) -> Iterator[ThisProcess | DaskWorkers]:
    """Who does the tasks.

    Args:
        count: processes on this machine; with 1 it is this one. An address overrides it.
        address: of the scheduler of a Dask cluster, such as ``tcp://10.0.0.1:8786``.
        folder: that every worker must see.

    Raises HwnasError if Dask is not installed, the cluster cannot be reached, or a worker does not see the folder.
    """
    if address is None and count == 1:
        yield ThisProcess()
        return
    if find_spec("distributed") is None:
        raise HwnasError(
            "more than one worker, and --cluster, need Dask's `distributed`, which is not installed: "
            "pip install 'hwnas[cluster]', or leave out --workers."
        )
    with _local(count) if address is None else _remote(address) as client:
        _check_workers(client, folder)
        yield DaskWorkers(client)


@contextmanager
def _local(count: int) -> Iterator[Client]:
    """A cluster of processes on this machine, each with one task at a time; one that dies is replaced."""
    import dask
    from distributed import Client, LocalCluster

    # Dask has memory given back whenever 64 kB are free, and a training takes it again in each step
    environment = dict(dask.config.get("distributed.nanny.pre-spawn-environ"))
    environment.pop("MALLOC_TRIM_THRESHOLD_", None)
    settings = {
        "distributed.scheduler.allowed-failures": MOST_DEATHS,
        "distributed.nanny.pre-spawn-environ": environment,
    }
    with (
        temporary_folder() as scratch,
        dask.config.set(settings | {"temporary-directory": str(scratch)}),
        LocalCluster(
            n_workers=count,
            threads_per_worker=1,
            processes=True,
            memory_limit=None,  # a search knows how much memory there is; Dask would stop it at its share
            dashboard_address=":0",
            silence_logs=logging.CRITICAL,
        ) as cluster,
        Client(cluster) as client,
    ):
        if find_spec("bokeh") is not None:
            LOG.info("Dask's dashboard: %s", client.dashboard_link)
        yield client


@contextmanager
def _remote(address: str) -> Iterator[Client]:
    from distributed import Client

    try:
        client = Client(address, timeout=CONNECT_S)
    except (OSError, ValueError, TimeoutError) as error:
        raise HwnasError(
            f"no Dask scheduler answers at {address} ({error or type(error).__name__}). Start one with `dask "
            "scheduler`, and workers with `dask worker ADDRESS`, or leave out --cluster."
        ) from None
    with client:
        LOG.info("Dask's dashboard: %s", client.dashboard_link)
        yield client


def _check_workers(client: Client, folder: Path) -> None:
    """Raise HwnasError if there is no worker, or one that does not see the study's folder."""
    try:
        client.wait_for_workers(1, timeout=CONNECT_S)
    except TimeoutError:
        raise HwnasError(
            f"the Dask cluster at {client.scheduler.address} has no workers. Start some with `dask worker "
            f"{client.scheduler.address} --nthreads 1`."
        ) from None
    blind = [address for address, sees in client.run(os.path.isdir, str(folder)).items() if not sees]
    if blind:
        raise HwnasError(
            f"the worker {blind[0]} does not see {folder}: workers need the same files under the same paths. Put the "
            "study, its images and its tables on a shared disk, and name the study's folder with --out."
        )

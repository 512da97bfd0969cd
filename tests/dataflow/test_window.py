"""Tasks in flight on a Dask cluster that loses its workers; what else it does, runs show."""

import os

import dask
import pytest
from distributed import Client, LocalCluster

from etendue.dataflow.window import WorkersLostError, on_cluster


def die_at(fatal: int, number: int) -> int:
    """End the worker at one task."""
    if number == fatal:
        os._exit(1)
    return number


@pytest.mark.cluster
def test_a_task_that_kills_its_workers_is_given_up():
    options = {"n_workers": 1, "threads_per_worker": 1, "dashboard_address": "127.0.0.1:0"}
    with (
        dask.config.set({"distributed.scheduler.allowed-failures": 1}),
        LocalCluster(processes=True, host="127.0.0.1", **options) as cluster,
        Client(cluster, set_as_default=False) as client,
    ):
        assert sorted(on_cluster(client, die_at, -1, iter(range(5)))) == [0, 1, 2, 3, 4]
        with pytest.raises(WorkersLostError, match=r"2 workers were lost with the same span.*goes on"):
            list(on_cluster(client, die_at, 3, iter(range(5))))

"""Workers that are ranks of one program, started by ``mpiexec``.

Rank 0 becomes the scheduler, rank 1 goes on as the program, all others become workers and never come back.
The credentials go from rank to rank through MPI itself, and lie in no file.
"""

from __future__ import annotations

import logging
import os
import sys
from contextlib import ExitStack
from tempfile import gettempdir
from typing import TYPE_CHECKING

from etendue.cluster.errors import ClusterError, needed
from etendue.cluster.profile import MPIProfile
from etendue.cluster.security import temporary_security
from etendue.dataflow.memory import reuse_freed_memory

if TYPE_CHECKING:
    from distributed import Client


def connect_ranks(profile: MPIProfile, insecure: bool) -> Client:
    """Become scheduler or worker until the end, or connect as the client.

    Raises
    ------
    SystemExit
        On all ranks but the client's, when the cluster ended.
    """
    needed("dask_mpi", profile.extra)
    ranks = needed("mpi4py.MPI", profile.extra).COMM_WORLD
    if ranks.Get_size() < 3:
        raise ClusterError(
            f"{ranks.Get_size()} rank(s) of MPI: start the program with mpiexec -n N, N >= 3; one schedules, "
            "one drives, the others work"
        )
    import dask
    from dask_mpi import initialize

    os.environ.update({name: os.path.expandvars(value) for name, value in profile.environment.items()})
    logging.getLogger("distributed").setLevel(logging.WARNING)  # all ranks share this terminal
    dask.config.set(profile.settings)
    reuse_freed_memory()  # before there are threads with arenas of their own
    if not insecure:
        dask.config.set(_shared_credentials(ranks))
    is_client = initialize(
        interface=profile.interface,
        nthreads=profile.cores,
        local_directory=os.path.expandvars(profile.local_directory) or gettempdir(),
        memory_limit=profile.memory,
        dashboard_address="127.0.0.1:0",
        protocol="tcp" if insecure else "tls",
        worker_options={"dashboard": False, "dashboard_address": "127.0.0.1:0"},
        exit=False,
    )
    if not is_client:
        sys.exit()
    return _client(profile, ranks.Get_size() - 2)


def _shared_credentials(ranks: object) -> dict[str, object]:
    """The same credentials on all ranks, as settings of Dask."""
    texts = None
    if ranks.Get_rank() == 0:
        security = temporary_security()
        texts = security.tls_ca_file, security.tls_client_cert, security.tls_client_key
    ca, cert, key = ranks.bcast(texts, root=0)
    tls = "distributed.comm.tls"
    settings: dict[str, object] = {"distributed.comm.require-encryption": True, f"{tls}.ca-file": ca}
    for role in ("client", "scheduler", "worker"):
        settings |= {f"{tls}.{role}.cert": cert, f"{tls}.{role}.key": key}
    return settings


def _client(profile: MPIProfile, n_workers: int) -> Client:
    import dask
    from dask_mpi import send_close_signal
    from distributed.security import Security

    from etendue.cluster.client import ClusterClient
    from etendue.cluster.kernels import WarmKernels

    ends = ExitStack()
    ends.callback(send_close_signal)  # the other ranks end when the scheduler does
    client = ClusterClient(dask.config.get("scheduler-address"), ends, security=Security())
    client.wait_for_workers(n_workers)
    client.register_plugin(WarmKernels(str(profile.shared)))
    return client

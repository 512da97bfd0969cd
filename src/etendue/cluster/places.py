"""From the name of a place to a client that is connected to it."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from etendue.cluster.errors import ClusterError
from etendue.cluster.profile import (
    DISTRIBUTED,
    ENVIRONMENT,
    JobProfile,
    KubernetesProfile,
    MPIProfile,
    Profile,
    find_profile,
)
from etendue.cluster.security import reach, read_credentials, temporary_security

if TYPE_CHECKING:
    from distributed import Client
    from distributed.deploy import Cluster

#: Dashboards listen here, on a free port; Dask's own default is every interface of the machine.
LOOPBACK = "127.0.0.1:0"


def connect(
    where: str | Path | Profile | Cluster = "laptop",
    *,
    workers: int | None = None,
    memory_limit: str | float = "auto",
    jobs: int | None = None,
    credentials: str | Path | None = None,
    insecure: bool = False,
) -> Client:
    """Connect to a place to run; what was started for it ends when the client is closed.

    Parameters
    ----------
    where : str, path, Profile or Cluster
        ``laptop`` (threads of this process, no socket), ``processes`` (a process a core on this
        machine, over TLS on loopback), ``slurm``, ``htcondor``, ``pbs`` (workers are jobs), ``mpi`` (ranks
        of this program under mpiexec), ``kubernetes`` (pods of the Dask operator), the name or the TOML
        file of a site profile, or the address of a running scheduler, ``tls://host:port``. A cluster that
        was started already (Dask's ``LocalCluster``, ``SLURMCluster``, ...) is used as it is, and left
        running when the client is closed.
    workers : int, optional
        Threads or processes; by default one a core. With jobs: cores in all.
    memory_limit : str or float
        Of each process of ``processes``, as Dask takes it.
    jobs : int, optional
        Jobs or pods, instead of what the profile says.
    credentials : path, optional
        Folder with ``ca.pem``, ``cert.pem`` and ``key.pem`` for a ``tls://`` scheduler; by default
        what Dask's own configuration names.
    insecure : bool
        Allow a scheduler without encryption, which runs code for anyone who can reach it.

    Returns
    -------
    distributed.Client
        Close it, or use it as a context manager.

    Raises
    ------
    ClusterError
        If the place is not known, does not answer, refuses these credentials, or is open and
        ``insecure`` is not set; if a package is missing; if all jobs ended before a worker came.

    Examples
    --------
    >>> with connect("laptop", workers=1) as client:
    ...     client.submit(sum, [1, 2]).result()
    3
    """
    if not isinstance(where, (str, Path, Profile)):
        return _started(where)
    if where == "laptop":
        return _laptop(workers)
    if where == "processes":
        return _processes(workers, memory_limit, insecure)
    if isinstance(where, str) and where.startswith(("tls://", "tcp://")):
        return _running(where, credentials, insecure)
    profile = where if isinstance(where, Profile) else find_profile(where)
    if insecure:
        _warn(profile.kind)
    if jobs is None and workers is not None:
        jobs = -(-workers // profile.cores)
    if isinstance(profile, JobProfile):
        from etendue.cluster.jobs import connect_jobs

        return connect_jobs(profile.model_copy(update={"jobs": jobs} if jobs else {}), insecure)
    if isinstance(profile, KubernetesProfile):
        from etendue.cluster.kubernetes import connect_pods

        return connect_pods(profile.model_copy(update={"jobs": jobs} if jobs else {}), insecure)
    if isinstance(profile, MPIProfile):
        from etendue.cluster.mpi import connect_ranks

        return connect_ranks(profile, insecure)
    raise ClusterError(f"nothing is known of clusters of the kind {profile.kind!r}")


def _started(cluster: Cluster) -> Client:
    """Connect to a cluster that the caller has started, and ends."""
    from distributed import Client
    from distributed.deploy import Cluster

    if not isinstance(cluster, Cluster):
        raise ClusterError(
            f"where is of the type {type(cluster).__name__}; expected a name, a profile, an address, or a "
            "cluster of Dask's"
        )
    return _ending_at_once(Client(cluster, set_as_default=False))


def _ending_at_once(client: Client) -> Client:
    """Let workers that are processes of their own end as soon as they are closed."""
    from etendue.cluster.ending import EndAtOnce

    client.register_plugin(EndAtOnce())
    return client


def _laptop(workers: int | None) -> Client:
    from distributed import LocalCluster

    from etendue.cluster.client import ClusterClient
    from etendue.dataflow.plan import cores

    with ExitStack() as stack:
        cluster = stack.enter_context(
            LocalCluster(
                n_workers=1,
                threads_per_worker=workers or cores(),
                processes=False,
                dashboard_address=LOOPBACK,
                memory_limit=0,
            )
        )
        return ClusterClient(cluster, stack.pop_all())


def _processes(workers: int | None, memory_limit: str | float, insecure: bool) -> Client:
    import dask
    from distributed import LocalCluster

    from etendue.cluster.client import ClusterClient
    from etendue.dataflow.plan import cores

    security = None if insecure else temporary_security()
    environment = {
        f"distributed.nanny.pre-spawn-environ.{name}": value for name, value in ENVIRONMENT.items()
    }
    with ExitStack() as stack, dask.config.set(DISTRIBUTED | environment):
        cluster = stack.enter_context(
            LocalCluster(
                n_workers=workers or cores(),
                threads_per_worker=1,
                processes=True,
                host="127.0.0.1",
                protocol="tcp://" if insecure else "tls://",
                dashboard_address=LOOPBACK,
                memory_limit=memory_limit,
                security=security,
            )
        )
        return _ending_at_once(ClusterClient(cluster, stack.pop_all(), security=security))


def _running(address: str, credentials: str | Path | None, insecure: bool) -> Client:
    from distributed import Client

    if address.startswith("tcp://"):
        if not insecure:
            raise ClusterError(
                f"{address} is not encrypted: anyone who reaches it can run code there. "
                "Use a tls:// scheduler, or say insecure=True (--insecure) if you mean it"
            )
        security = None
    else:
        security = read_credentials(credentials)
    reach(address, security)
    return Client(address, security=security, set_as_default=False)


def _warn(kind: str) -> None:
    import warnings

    warnings.warn(
        f"this {kind} cluster is open: whoever reaches its scheduler can run code in your name, on all nodes",
        stacklevel=3,
    )

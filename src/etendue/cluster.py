"""Where work runs: one name, one Dask client.

Who can reach a Dask scheduler can run code on its workers. So everything that listens on a socket does
so on loopback and with TLS, unless the caller asks otherwise in so many words.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from distributed import Client
    from distributed.security import Security


#: Dashboards listen here, on a free port; Dask's own default is every interface of the machine.
LOOPBACK = "127.0.0.1:0"
#: Seconds within which a scheduler has to answer.
TIMEOUT = 30


class ClusterError(ValueError):
    """A place to run that is not known, or not safe; says what to do."""


def connect(
    where: str = "laptop",
    *,
    workers: int | None = None,
    memory_limit: str | float = "auto",
    credentials: str | Path | None = None,
    insecure: bool = False,
) -> Client:
    """Connect to a place to run.

    Parameters
    ----------
    where : str
        ``laptop`` (threads of this process, no socket), ``processes`` (a process a core on this
        machine, over TLS on loopback), or the address of a running scheduler, ``tls://host:port``.
    workers : int, optional
        Threads or processes; by default one a core.
    memory_limit : str or float
        Of each process, as Dask takes it.
    credentials : path, optional
        Folder with ``ca.pem``, ``cert.pem`` and ``key.pem`` for a ``tls://`` scheduler; by default
        what Dask's own configuration names.
    insecure : bool
        Allow a ``tcp://`` scheduler, which runs code for anyone who can reach it.

    Returns
    -------
    distributed.Client
        Close it, or use it as a context manager.

    Raises
    ------
    ClusterError
        If the place is not known, does not answer, refuses these credentials, or is open and
        ``insecure`` is not set.

    Examples
    --------
    >>> with connect("laptop", workers=1) as client:
    ...     client.submit(sum, [1, 2]).result()
    3
    """
    from distributed import Client, LocalCluster

    from etendue.dataflow.plan import cores

    n = workers or cores()
    if where == "laptop":
        cluster = LocalCluster(
            n_workers=1, threads_per_worker=n, processes=False, dashboard_address=LOOPBACK, memory_limit=0
        )
        return Client(cluster, set_as_default=False)
    if where == "processes":
        security = None if insecure else _temporary_security()
        cluster = LocalCluster(
            n_workers=n,
            threads_per_worker=1,
            processes=True,
            host="127.0.0.1",
            protocol="tcp://" if insecure else "tls://",
            dashboard_address=LOOPBACK,
            memory_limit=memory_limit,
            security=security,
        )
        return Client(cluster, security=security, set_as_default=False)
    if where.startswith("tls://"):
        security = _security_of(credentials)
        _reach(where, security)
        return Client(where, security=security, set_as_default=False)
    if where.startswith("tcp://"):
        if not insecure:
            raise ClusterError(
                f"{where} is not encrypted: anyone who reaches it can run code there. "
                "Use a tls:// scheduler, or say insecure=True (--insecure) if you mean it"
            )
        _reach(where, None)
        return Client(where, set_as_default=False)
    raise ClusterError(
        f"unknown place {where!r}; there are laptop, processes, tls://host:port and tcp://host:port"
    )


def _reach(address: str, security: Security | None) -> None:
    """Knock before a client is made: one that fails to connect closes itself at any later time.

    That happens when it is collected as garbage, in whatever thread, and can block that thread for ever.
    """
    import asyncio

    from distributed.comm import connect as open_comm

    async def knock() -> None:
        arguments = security.get_connection_args("client") if security else {}
        comm = await open_comm(address, timeout=TIMEOUT, **arguments)
        await comm.close()

    try:
        with ThreadPoolExecutor(1) as pool:  # notebooks have a running event loop in this thread
            pool.submit(asyncio.run, knock()).result()
    except (OSError, TypeError) as error:
        raise ClusterError(
            f"no scheduler at {address} lets us in ({error}); check that it runs and that the credentials "
            "are those that it was started with (--credentials)"
        ) from None


def _temporary_security() -> Security:
    from distributed.security import Security

    try:
        return Security.temporary()
    except ImportError:
        raise ImportError(
            "encryption needs the package cryptography: pip install 'etendue[tls]' (or insecure=True)"
        ) from None


def _security_of(folder: str | Path | None) -> Security:
    from distributed.security import Security

    if folder is None:
        return Security(require_encryption=True)
    ca, cert, key = (str(Path(folder) / name) for name in ("ca.pem", "cert.pem", "key.pem"))
    return Security(
        require_encryption=True,
        tls_ca_file=ca,
        tls_client_cert=cert,
        tls_client_key=key,
        tls_worker_cert=cert,
        tls_worker_key=key,
        tls_scheduler_cert=cert,
        tls_scheduler_key=key,
    )

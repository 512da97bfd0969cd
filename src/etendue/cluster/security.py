"""Credentials: made for one cluster, kept from everyone else, and tried before they are used."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from tempfile import mkdtemp
from typing import TYPE_CHECKING

from etendue.cluster.errors import ClusterError, needed

if TYPE_CHECKING:
    from distributed.security import Security

#: Seconds within which a scheduler has to answer.
TIMEOUT = 30

#: Files of a folder of credentials: authority, certificate, private key.
FILES = ("ca.pem", "cert.pem", "key.pem")


def temporary_security() -> Security:
    """Credentials that nobody else has, in memory."""
    needed("cryptography", "tls")
    from distributed.security import Security

    return Security.temporary()


def write_credentials(folder: Path) -> None:
    """Write new credentials into a folder, readable by the owner only.

    Raises
    ------
    FileExistsError
        If there are some: they are not written over.
    """
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    security = temporary_security()
    texts = (security.tls_ca_file, security.tls_client_cert, security.tls_client_key)
    for name, text in zip(FILES, texts, strict=True):
        descriptor = os.open(folder / name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with open(descriptor, "w") as file:
            file.write(text)


def temporary_credentials(shared: Path) -> Path:
    """A new folder of credentials in a directory that the nodes see; the caller removes it."""
    shared.mkdir(parents=True, exist_ok=True, mode=0o700)
    folder = Path(mkdtemp(prefix="credentials-", dir=shared))  # mode 0700
    write_credentials(folder)
    return folder


def read_credentials(folder: str | Path | None) -> Security:
    """The credentials in a folder; those that Dask's own configuration names, without one."""
    from distributed.security import Security

    if folder is None:
        return Security(require_encryption=True)
    ca, cert, key = (str(Path(folder).expanduser() / name) for name in FILES)
    missing = [path for path in (ca, cert, key) if not Path(path).is_file()]
    if missing:
        raise ClusterError(f"no credentials in {folder}: there is no {', '.join(missing)}")
    return Security(
        require_encryption=True,
        tls_ca_file=ca,
        **{f"tls_{role}_cert": cert for role in ("client", "worker", "scheduler")},
        **{f"tls_{role}_key": key for role in ("client", "worker", "scheduler")},
    )


def reach(address: str, security: Security | None) -> None:
    """Knock before a client is made: one that fails to connect closes itself at any later time.

    That happens when it is collected as garbage, in whatever thread, and can block that thread for ever.

    Raises
    ------
    ClusterError
        If nothing answers there, or it does not let us in.
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

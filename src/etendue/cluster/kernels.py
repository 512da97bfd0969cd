"""Compiled kernels on workers: taken along from one job to the next.

The kernels of a pipeline take a worker most of a minute to compile, and two seconds to load. Numba keeps
them in files; but processes that write into one folder at the same time disturb each other, and shared file
systems are slow with small files. So each worker has a folder of its own on its node, filled at its start
from one file in the shared directory; what it compiled beyond that goes back there, as a whole file again.
"""

from __future__ import annotations

import os
import platform
import sys
import tarfile
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from tempfile import NamedTemporaryFile
from threading import Lock, Thread
from typing import TYPE_CHECKING, Any

from distributed import WorkerPlugin

if TYPE_CHECKING:
    from distributed import Worker


class WarmKernels(WorkerPlugin):
    """Gives each worker a folder of compiled kernels, filled before its first task.

    Parameters
    ----------
    directory : str
        Where the files of kernels lie, one for each processor and version; only the user may write there.
    """

    name = "etendue-kernels"

    def __init__(self, directory: str) -> None:
        self.directory = directory

    def setup(self, worker: Worker) -> None:
        """Make the folder, fill it, and import what tasks import; tasks come afterwards."""
        self.folder = Path(worker.local_directory) / "numba"
        self.folder.mkdir(parents=True, exist_ok=True)
        os.environ["NUMBA_CACHE_DIR"] = str(self.folder)
        import numba

        numba.config.CACHE_DIR = str(self.folder)
        self.archive = Path(self.directory).expanduser() / f"kernels-{_fingerprint()}.tar"
        self.n_kept = unpack(self.archive, self.folder)
        self.lock, self.keeper = Lock(), None
        import etendue.dataflow.flow
        import etendue.store  # noqa: F401

    def transition(self, key: Any, start: str, finish: str, **options: Any) -> None:
        """After the first task, keep what it compiled, beside the work and not before it."""
        if start == "executing" and finish == "memory" and self.keeper is None:
            self.keeper = Thread(target=self._keep, daemon=True)
            self.keeper.start()

    def teardown(self, worker: Worker) -> None:
        """Keep what was compiled since."""
        self._keep()

    def _keep(self) -> None:
        with (
            self.lock,
            suppress(OSError),
        ):  # a full disk costs the next worker a minute, not this one its task
            n_kernels = count(self.folder)
            if n_kernels > self.n_kept:
                pack(self.folder, self.archive)
                self.n_kept = n_kernels


def count(folder: Path) -> int:
    """Number of compiled kernels in a folder."""
    return sum(1 for _ in folder.rglob("*.nbc"))


def unpack(archive: Path, folder: Path) -> int:
    """Fill a folder with the kernels of a file, if it is there and nobody else can have written it.

    Returns the number of kernels.
    """
    try:
        with open(archive, "rb") as file:
            status = os.fstat(file.fileno())
            if status.st_uid == os.getuid() and not status.st_mode & 0o022:
                with tarfile.open(fileobj=file) as tar:
                    tar.extractall(folder, filter="data")
    except (FileNotFoundError, tarfile.ReadError):
        return 0
    return count(folder)


def pack(folder: Path, archive: Path) -> None:
    """Put the kernels of a folder into a file, all at once: readers see the file before, or this one."""
    archive.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with NamedTemporaryFile(dir=archive.parent, prefix=".kernels-", delete_on_close=False) as file:
        with tarfile.open(fileobj=file, mode="w") as tar:
            for path in sorted(folder.rglob("*.nb[ic]")):
                tar.add(path, path.relative_to(folder))
        file.close()
        os.replace(file.name, archive)


def _fingerprint() -> str:
    """What compiled kernels depend on: processor, Python, Numba, and the sources, their paths and times."""
    import llvmlite.binding
    import numba

    import etendue

    features = llvmlite.binding.get_host_cpu_features().flatten()
    facts = [
        platform.machine(),
        llvmlite.binding.get_host_cpu_name(),
        features,
        sys.version,
        numba.__version__,
    ]
    for path in sorted(Path(etendue.__file__).parent.rglob("*.py")):
        status = path.stat()
        facts.append(f"{path} {status.st_mtime_ns} {status.st_size}")
    return sha256("\n".join(facts).encode()).hexdigest()[:16]

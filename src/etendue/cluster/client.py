"""A client that ends what was started for it."""

from __future__ import annotations

import atexit
from contextlib import ExitStack
from typing import Any

from distributed import Client


class ClusterClient(Client):
    """A Dask client that, when it is closed, also closes what it runs on.

    Not when it is collected as garbage: that happens in any thread, Dask's own too, which would wait
    for itself. What nobody closes ends with the interpreter.

    Parameters
    ----------
    address : Cluster or str
        What to connect to.
    ends : ExitStack
        What ends with the client: cluster, jobs, credentials.
    **options
        As `distributed.Client` takes them.
    """

    def __init__(self, address: Any, ends: ExitStack, **options: Any) -> None:
        self._ends = ends
        atexit.register(ends.close)
        try:
            super().__init__(address, set_as_default=False, **options)
        except BaseException:
            self._end()
            raise

    def close(self, *arguments: Any, **options: Any) -> Any:
        """Close the client, and what it runs on."""
        try:
            return super().close(*arguments, **options)
        finally:
            self._end()

    def _end(self) -> None:
        atexit.unregister(self._ends.close)
        self._ends.close()

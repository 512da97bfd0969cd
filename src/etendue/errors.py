"""The base of all errors whose messages are written for people."""

from __future__ import annotations


class EtendueError(Exception):
    """Something that the user can mend; its message says what, where, and how.

    Errors of sources, stages and exports in other packages derive from it too (`SourceError` does): the
    command line tells them in one line, and keeps the traceback for everything else, which is a fault of
    the program.
    """


def is_of_icechunk(error: BaseException) -> bool:
    """Whether Icechunk raised an error: one of its own, or a panic of its Rust code, perhaps no `Exception`.

    Damaged metadata that can still be read may make it panic.
    """
    return type(error).__module__.partition(".")[0] in ("icechunk", "pyo3_runtime", "pyo3_async_runtimes")

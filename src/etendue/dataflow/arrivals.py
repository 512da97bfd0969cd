"""Files as they arrive in a directory: which of them are whole, and can be read.

By polling, on purpose. Kernels notify of changes (inotify, as the library watchdog uses it) only what is
changed through themselves: what another host writes to a network file system comes without notice. A poll
lists the directories, and asks for the facts of files only until they are taken.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase

from etendue.dataflow.inputs import accepted, files_below, is_input

log = logging.getLogger(__name__)

#: Size in bytes and time of the last change in nanoseconds: a file with others is another one.
Stamp = tuple[int, int]

#: A file that settled and that no source reads is looked at again after so many seconds. Then it counts as it
#: is: as broken, or as of another kind.
PATIENCE = 60.0
#: The stamp of what cannot be looked at.
_NOTHING: Stamp = (0, 0)
#: Seconds from one look at the files that were taken to the next: whether they changed since.
REVIEW = 600.0


@dataclass(slots=True)
class _File:
    """What is known of a file: since when it is as it is, the last poll that saw it, what was found out."""

    stamp: Stamp
    since: float
    poll: int
    path: str = ""
    looked_into: bool = False
    is_input: bool = False
    given_up: bool = False
    taken: bool = False


class Arrivals:
    """The files of a directory and below that are ready to be processed.

    A file is ready when its size and time have not changed for a while and a source reads it; if none does
    because it is empty or broken, after some more time, so that it is told like other broken files. Folders
    and links that cannot be looked into are told in the same way. Clocks are not compared: when a file
    changed is what this process saw, whatever the file server's clock says.

    Parameters
    ----------
    directory : str
        Hidden files and stores in it are left out, as by `etendue.dataflow.inputs.expand`.
    pattern : str
        Of the files' names; or, with a slash, of their paths in the directory, where ``*`` matches
        slashes too.
    settle : float
        Seconds without a change.
    leave_out : iterable of str
        Real paths that are not looked at, with what is below them.
    patience : float
        Seconds until a file that no source reads counts as broken, or is reported if it is of another kind.
    """

    def __init__(
        self,
        directory: str,
        *,
        pattern: str = "*",
        settle: float = 10.0,
        leave_out: Iterable[str] = (),
        patience: float = PATIENCE,
    ) -> None:
        self.directory = os.path.realpath(directory)
        self.pattern = pattern
        self.settle = settle
        self.patience = patience
        #: When a file was seen for the first time, or changed, for the last time.
        self.last_change = -float("inf")
        #: Files that need not be processed, by their real path; None if it is not known which they were.
        self.known: Mapping[str, Stamp | None] = {}
        self._leave_out = frozenset(leave_out)
        self._files: dict[str, _File] = {}
        self._poll = 0
        self._is_listed = True
        self._review = -float("inf")

    def ready(self, now: float) -> dict[str, float]:
        """Look once.

        Parameters
        ----------
        now : float
            Seconds, of a clock that is never set.

        Returns
        -------
        dict of str to float
            Real paths of the files that are ready and not taken, in order, with when each of them was
            first seen as it is now.
        """
        self._poll += 1
        if review := now - self._review >= REVIEW:
            self._review = now
        found: dict[str, float] = {}
        unreachable: set[str] = set()
        for entry in files_below(self.directory, self._leave_out, unreachable):
            file = self._files.get(entry.path)
            if file is not None and file.taken and not review:
                file.poll = self._poll
            elif self._matches(entry.path):
                file = self._look_at(entry, now)
                if file and self._is_ready(file, now):
                    found[file.path] = file.since
        for path in unreachable:
            if path != self.directory and (os.path.isdir(path) or self._matches(path)):
                file = self._note(path, _NOTHING, now)
                if self._is_ready(file, now):
                    found[file.path] = file.since
        self._tell_whether_listed(self.directory not in unreachable)
        self._files = {path: file for path, file in self._files.items() if file.poll == self._poll}
        return dict(sorted(found.items()))

    def take(self, paths: Iterable[str]) -> None:
        """Leave out files from now on."""
        taken = set(paths)
        for file in self._files.values():
            file.taken = file.taken or file.path in taken

    def _tell_whether_listed(self, is_listed: bool) -> None:
        if self._is_listed and not is_listed:
            log.warning("%s: cannot be listed; tried again at every look", self.directory)
        self._is_listed = is_listed

    def _matches(self, path: str) -> bool:
        name = os.path.relpath(path, self.directory) if "/" in self.pattern else os.path.basename(path)
        return fnmatchcase(name, self.pattern)

    def _look_at(self, entry: os.DirEntry[str], now: float) -> _File | None:
        """What is known of a file, after a look at its size and time; None if it is gone."""
        try:
            stat = entry.stat()
        except FileNotFoundError:
            return None
        except OSError:
            return self._note(entry.path, _NOTHING, now)
        return self._note(entry.path, (stat.st_size, stat.st_mtime_ns), now)

    def _note(self, path: str, stamp: Stamp, now: float) -> _File:
        """What is known of a path, after a look."""
        file = self._files.get(path)
        if file is None or (file.stamp != stamp and not file.taken):
            file = self._files[path] = _File(stamp, now, self._poll)
            self.last_change = now
        elif file.stamp != stamp:
            file.stamp = stamp
            _tell_change(file.path)
        file.poll = self._poll
        if not file.path:
            file.path = os.path.realpath(path)
        return file

    def _is_ready(self, file: _File, now: float) -> bool:
        age = now - file.since
        if file.taken or age < self.settle:
            return False
        if not file.looked_into and file.path in self.known:
            file.taken = True
            if self.known[file.path] not in (None, file.stamp):
                _tell_change(file.path)
            return False
        if not file.is_input and not file.given_up and (not file.looked_into or age >= self.patience):
            file.looked_into = True
            file.is_input = accepted(file.path) or (age >= self.patience and is_input(file.path))
            if not file.is_input and age >= self.patience:
                file.given_up = True
                log.warning("%s: no source reads it; it is left out unless it changes", file.path)
        return file.is_input


def _tell_change(path: str) -> None:
    log.warning(
        "%s: changed after it was processed, and is left as it was then; process it in a new pass, or wait "
        "longer for files to settle",
        path,
    )

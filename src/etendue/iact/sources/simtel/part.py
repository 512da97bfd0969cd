"""What a path says after its file: which part of it is meant, and another number of its observation.

``run.simtel.zst#obs_id=1201`` numbers the observation of a file anew, as ctapipe's ``override_obs_id`` does,
where the files of a production all have the same number; ``run.simtel.zst#showers`` is all its simulated
showers; ``run.simtel.zst#showers,obs_id=1201`` is both.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass

from etendue.dataflow.source import SourceError, file_of

SHOWERS = "showers"
_OBS_ID = re.compile(r"obs_id=(\d{1,18})", re.ASCII)


@dataclass(frozen=True)
class Part:
    """What an input's path says.

    Parameters
    ----------
    showers : bool
        Whether all simulated showers are meant, rather than the events.
    obs_id : int, optional
        The number that the observation gets.
    """

    showers: bool = False
    obs_id: int | None = None


def asks_for_showers(path: str) -> bool:
    """Whether a path, which may be of another kind of file, asks for all simulated showers."""
    return SHOWERS in _words(path)


def part_of(path: str) -> Part:
    """Read what stands after a path's file.

    Raises
    ------
    SourceError
        If it is nothing that can be asked for.

    Examples
    --------
    >>> part_of("run.simtel.zst#showers,obs_id=1201")
    Part(showers=True, obs_id=1201)
    """
    obs_id = None
    for word in _words(path):
        if found := _OBS_ID.fullmatch(word):
            obs_id = int(found[1])
        elif word != SHOWERS:
            raise SourceError(
                path,
                "after the #",
                f"expected 'showers', or 'obs_id=' and a number of up to 18 digits, or both with a comma "
                f"between them, found {word!r}",
            )
    return Part(asks_for_showers(path), obs_id)


def _words(path: str) -> list[str]:
    return [] if os.path.lexists(path) or "#" not in path else path[len(file_of(path)) + 1 :].split(",")

"""What a path says after its file: which part of it is meant, and another number of its observation.

``run.simtel.zst#obs_id=1201`` numbers the observation of a file anew, as ctapipe's ``override_obs_id`` does,
where the files of a production all have the same number; ``run.simtel.zst#showers`` is all its simulated
showers; ``run.simtel.zst#showers,obs_id=1201`` is both.
"""

from __future__ import annotations

import re

from etendue.dataflow.source import SourceError, part_words

_SHOWERS = "showers"
_OBS_ID = re.compile(r"obs_id=(\d{1,18})", re.ASCII)


def asks_for_showers(path: str) -> bool:
    """Whether a path, which may be of another kind of file, asks for all simulated showers."""
    return _SHOWERS in part_words(path)


def obs_id_of(path: str) -> int | None:
    """The number that a path gives to its observation; None if it gives none.

    Raises
    ------
    SourceError
        If the path asks for what there is not.

    Examples
    --------
    >>> obs_id_of("run.simtel.zst#showers,obs_id=1201")
    1201
    """
    obs_id = None
    for word in part_words(path):
        if found := _OBS_ID.fullmatch(word):
            obs_id = int(found[1])
        elif word != _SHOWERS:
            raise SourceError(
                path,
                "after the #",
                f"expected 'showers', or 'obs_id=' and a number of up to 18 digits, or both with a comma "
                f"between them, found {word!r}",
            )
    return obs_id

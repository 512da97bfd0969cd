"""Parameters that differ from telescope to telescope.

A parameter is one value for all telescopes, or a mapping of patterns to values, of which the last that
matches a telescope holds: ``{"*": 8, "LST": 10, "MST_*_NectarCam": 6, "tel 7": 12}``. A pattern (as of
`fnmatch`, case counts) may match the telescope's size class (``LST``), its type
(``LST_LST_LSTCam``: class, optics and camera), its camera (``LSTCam``) or its number (``tel 7``).
"""

from __future__ import annotations

from collections.abc import Mapping
from fnmatch import fnmatchcase

import numpy as np

from etendue.schema import Columns

#: A stage's parameter that may be given by telescope, as in ``picture: ByTelescope[float]``.
type ByTelescope[T] = T | dict[str, T]


def values[T](
    parameter: ByTelescope[T], conditions: Mapping[str, Columns], run: np.ndarray, tel_id: np.ndarray
) -> np.ndarray:
    """The value of a parameter that holds for each readout.

    Parameters
    ----------
    parameter : T or dict of str to T
        One value, or values by pattern.
    conditions : mapping of str to dict of str to array
        Static tables, of which ``array`` names the telescopes; unused for a single value.
    run, tel_id : integer array, shape (n_readouts,)
        Run and telescope of each readout.

    Returns
    -------
    array, shape (n_readouts,)
        Values, of the dtype that they have in common.

    Raises
    ------
    ValueError
        If no pattern matches a telescope that was read out, or ``array`` does not name it.
    """
    if not isinstance(parameter, Mapping):
        return np.full(len(tel_id), parameter)
    keys = _keys(run, tel_id)
    readout_keys, rows = np.unique(keys, return_inverse=True)
    array = conditions["array"]
    position = {int(key): row for row, key in enumerate(_keys(array["run"], array["tel_id"]))}
    chosen = [_value(parameter, array, position.get(int(key)), int(key)) for key in readout_keys]
    return np.array(chosen or list(parameter.values()))[rows]


def _keys(run: np.ndarray, tel_id: np.ndarray) -> np.ndarray:
    """One number for each run and telescope."""
    return (np.asarray(run).astype(np.int64) << 32) + np.asarray(tel_id).astype(np.int64)


def _value[T](parameter: Mapping[str, T], array: Columns, row: int | None, key: int) -> T:
    run, tel_id = divmod(key, 1 << 32)
    if row is None:
        raise ValueError(f"telescope {tel_id} of run {run} was read out, but table 'array' does not name it")
    size, name, camera = (str(array[column][row]) for column in ("type", "name", "camera_name"))
    names = (size, f"{size}_{name}_{camera}", camera, f"tel {tel_id}")
    matching = [v for pattern, v in parameter.items() if any(fnmatchcase(n, pattern) for n in names)]
    if not matching:
        types = sorted(
            {"_".join(row) for row in zip(array["type"], array["name"], array["camera_name"], strict=True)}
        )
        raise ValueError(
            f"no value for telescope {tel_id} ({names[1]}): the patterns are {list(parameter)}, and the "
            f"telescope types of the run {types}; add one of these, or '*' for all others"
        )
    return matching[-1]

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

from etendue.dataflow.registry import ConfigError
from etendue.schema import Columns, SchemaError

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
    ConfigError
        If no pattern matches a telescope that was read out.
    SchemaError
        If ``array`` does not name it.
    """
    if not isinstance(parameter, Mapping):
        return np.full(len(tel_id), parameter)
    array = conditions["array"]
    rows, of_readout = np.unique(telescope_rows(array, run, tel_id), return_inverse=True)
    chosen = [_value(parameter, array, row) for row in rows]
    return np.array(chosen or list(parameter.values()))[of_readout]


def telescope_rows(array: Columns, run: np.ndarray, tel_id: np.ndarray) -> np.ndarray:
    """Row of the static table ``array`` that names the telescope of each readout.

    Parameters
    ----------
    array : dict of str to array
        Columns of the table.
    run, tel_id : integer array, shape (n_readouts,)
        Run and telescope of each readout.

    Returns
    -------
    int64 array, shape (n_readouts,)
        Rows.

    Raises
    ------
    SchemaError
        If a telescope was read out that the table does not name.
    """
    known, wanted = (
        (np.asarray(runs).astype(np.int64) << 32) + np.asarray(numbers).astype(np.int64)
        for runs, numbers in ((array["run"], array["tel_id"]), (run, tel_id))
    )
    if (unknown := np.setdiff1d(wanted, known)).size:
        run_number, number = divmod(int(unknown[0]), 1 << 32)
        raise SchemaError(
            f"telescope {number} of run {run_number} was read out, but table 'array' does not name it; "
            "add its row there"
        )
    order = np.argsort(known, kind="stable")
    return order[np.searchsorted(known, wanted, sorter=order)]


def _value[T](parameter: Mapping[str, T], array: Columns, row: int) -> T:
    size, name, camera = (str(array[column][row]) for column in ("type", "name", "camera_name"))
    tel_id = int(array["tel_id"][row])
    names = (size, f"{size}_{name}_{camera}", camera, f"tel {tel_id}")
    matching = [v for pattern, v in parameter.items() if any(fnmatchcase(n, pattern) for n in names)]
    if not matching:
        types = sorted(
            {"_".join(t) for t in zip(array["type"], array["name"], array["camera_name"], strict=True)}
        )
        raise ConfigError(
            f"no value for telescope {tel_id} ({names[1]}): the patterns are {list(parameter)}, and the "
            f"telescope types of the run {types}; add one of these, or '*' for all others"
        )
    return matching[-1]

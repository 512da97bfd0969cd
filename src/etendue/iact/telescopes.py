"""Parameters that differ from telescope to telescope.

A parameter is one value for all telescopes, or a mapping of patterns to values, of which the last that
matches a telescope holds: ``{"*": 8, "LST": 10, "MST_*_NectarCam": 6, "tel 7": 12}``. A pattern (as of
`fnmatch`, case counts) may match the telescope's size class (``LST``), its type
(``LST_LST_LSTCam``: class, optics and camera), its camera (``LSTCam``) or its number (``tel 7``).

Before a run, each telescope of the inputs must be matched, and each pattern must match one of them, or one
that is known and just not there: the same pipeline serves many arrays.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from fnmatch import fnmatchcase
from typing import ClassVar, get_origin

import numpy as np

from etendue.dataflow.registry import ConfigError
from etendue.dataflow.stage import TableStage
from etendue.iact.known_telescopes import KNOWN_NAMES
from etendue.iact.schema import CAMERA
from etendue.schema import Columns, Schema, SchemaError

#: A stage's parameter that may be given by telescope, as in ``picture: ByTelescope[float]``.
type ByTelescope[T] = T | dict[str, T]

#: A telescope's number.
NUMBER = re.compile(r"tel \d+")


class CameraStage(TableStage):
    """Base of the stages that treat each camera by itself; its parameters may be given by telescope."""

    kind: ClassVar[str] = CAMERA

    def check(self, schema: Schema, static: Mapping[str, Columns]) -> None:
        """See that each pattern of a parameter is right, and that all telescopes are covered."""
        for name, parameter in self.by_telescope().items():
            if isinstance(parameter, Mapping):
                try:
                    check_patterns(parameter, array_of(static))
                except ValueError as error:
                    raise ConfigError(f"{name}: {error}") from None

    def by_telescope(self) -> dict[str, object]:
        """The parameters that may differ from telescope to telescope."""
        fields = type(self).model_fields.items()
        return {name: getattr(self, name) for name, f in fields if get_origin(f.annotation) is ByTelescope}


def check_patterns(parameter: Mapping[str, object], array: Columns) -> None:
    """See that a parameter covers all telescopes, and that no pattern of it is misspelt.

    Parameters
    ----------
    parameter : dict of str to object
        Values by pattern.
    array : dict of str to array
        The telescopes of the inputs.

    Raises
    ------
    ConfigError
        Names the pattern, and the nearest right one; or the telescope that none matches.
    """
    telescopes = {names: row for row in range(len(array["tel_id"]))[::-1] if (names := _names(array, row))}
    there = list(dict.fromkeys(name for names in telescopes for name in names))
    for pattern in parameter:
        if any(fnmatchcase(name, pattern) for name in (*there, *KNOWN_NAMES)) or NUMBER.fullmatch(pattern):
            continue
        raise ConfigError(
            f"the pattern {pattern!r} matches no telescope{_nearest(pattern, there)}; there are "
            f"{', '.join(_types(array))}"
        )
    for row in telescopes.values():
        _value(parameter, array, row)


def matching(patterns: Iterable[int | str], array: Columns) -> np.ndarray:
    """Which telescopes are meant by numbers and patterns.

    Parameters
    ----------
    patterns : iterable of int or str
        Numbers of telescopes, and patterns as of a parameter by telescope.
    array : dict of str to array
        The telescopes of the inputs.

    Returns
    -------
    bool array, shape (n_telescopes,)
        Of each row of ``array``.

    Raises
    ------
    ConfigError
        If there is no such number, a pattern is misspelt, or no telescope is meant at all.
    """
    rows = [_names(array, row) for row in range(len(array["tel_id"]))]
    there = list(dict.fromkeys(name for names in rows for name in names))
    wanted = [f"tel {given}" if isinstance(given, int) else given for given in patterns]
    for pattern in wanted:
        known = there if NUMBER.fullmatch(pattern) else (*there, *KNOWN_NAMES)
        if not any(fnmatchcase(name, pattern) for name in known):
            numbers = np.unique(array["tel_id"]).tolist()
            raise ConfigError(
                f"{pattern!r} is no telescope of the inputs{_nearest(pattern, there)}; there are the types "
                f"{', '.join(_types(array))}, with the numbers {numbers}"
            )
    meant = np.array([any(fnmatchcase(n, p) for n in names for p in wanted) for names in rows], dtype=bool)
    if not meant.any():
        raise ConfigError(f"no telescope of the inputs is meant by {wanted}; there are {_types(array)}")
    return meant


def _nearest(pattern: str, there: list[str]) -> str:
    """A right pattern that is like a wrong one."""
    close = get_close_matches(pattern.rstrip("*"), [*there, *KNOWN_NAMES], n=1, cutoff=0.5)
    folded = {name.casefold(): name for name in (*KNOWN_NAMES, *there)}
    found = folded.get(pattern.rstrip("*").casefold()) or (close[0] if close else "")
    return f"; did you mean {found + '*' * pattern.endswith('*')!r}?" if found else ""


def array_of(conditions: Mapping[str, Columns]) -> Columns:
    """The table that names the telescopes.

    Raises
    ------
    SchemaError
        If the inputs have none.
    """
    try:
        return conditions["array"]
    except KeyError:
        raise SchemaError(
            "the inputs have no table 'array' that names the telescopes; give one value for all"
        ) from None


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
    array = array_of(conditions)
    rows, of_readout = np.unique(telescope_rows(array, run, tel_id), return_inverse=True)
    chosen = [_value(parameter, array, row) for row in rows]
    return np.array(chosen or list(parameter.values()))[of_readout]


def of_camera[T](parameter: ByTelescope[T], camera: str, static: Mapping[str, Columns]) -> np.ndarray:
    """The values of a parameter that the telescopes of one camera have, before there is any readout.

    Parameters
    ----------
    parameter : T or dict of str to T
        One value, or values by pattern.
    camera : str
        Table of the camera.
    static : mapping of str to dict of str to array
        Static tables, of which ``array`` names the telescopes and ``optics/<camera>`` those of the camera.

    Returns
    -------
    array
        Values, some of them equal.
    """
    if not isinstance(parameter, Mapping):
        return np.array([parameter])
    array, optics = array_of(static), static.get(f"optics/{camera}", {})
    columns = ("type", "name", "camera_name")
    types = set(zip(*(map(str, optics.get(column, array[column])) for column in columns), strict=True))
    rows = [n for n, names in enumerate(zip(*(array[c] for c in columns), strict=True)) if names in types]
    return np.array([_value(parameter, array, row) for row in rows])


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


def _names(array: Columns, row: int) -> tuple[str, str, str, str]:
    """What patterns may match of a telescope: its size class, type, camera and number."""
    size, name, camera = (str(array[column][row]) for column in ("type", "name", "camera_name"))
    return size, f"{size}_{name}_{camera}", camera, f"tel {int(array['tel_id'][row])}"


def _types(array: Columns) -> list[str]:
    """The types of telescopes that there are."""
    return sorted({"_".join(t) for t in zip(array["type"], array["name"], array["camera_name"], strict=True)})


def _value[T](parameter: Mapping[str, T], array: Columns, row: int) -> T:
    names = _names(array, row)
    matching = [v for pattern, v in parameter.items() if any(fnmatchcase(n, pattern) for n in names)]
    if not matching:
        raise ConfigError(
            f"no value for telescope {array['tel_id'][row]} ({names[1]}): the patterns are "
            f"{list(parameter)}, and the telescope types of the run {_types(array)}; add one of these, "
            "or '*' for all others"
        )
    return matching[-1]

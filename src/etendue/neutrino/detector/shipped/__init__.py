"""Detectors whose description is public and does not change, so that no file of it has to be found.

``ic86``: positions of the 86 strings with 60 modules each of IceCube, [m] in its own frame, to the cm. They
are those of the tables that GraphNeT (``data/geometry_tables``) and Retro (``retro_data``) publish, which are
equal. IceTop, and the Upgrade, are not in it.
"""

from __future__ import annotations

from pathlib import Path

from etendue.dataflow.parameters import unknown

#: What the name of such a detector begins with.
SHIPPED = "shipped://"
_NAMES = ("ic86",)


def shipped_file(path: str) -> str:
    """The file of a detector that comes with the package; any other path as it is.

    Raises
    ------
    ValueError
        If there is none of that name.

    Examples
    --------
    >>> Path(shipped_file("shipped://ic86")).name
    'ic86.npy'
    >>> shipped_file("mine.parquet")
    'mine.parquet'
    """
    if not path.startswith(SHIPPED):
        return path
    name = path.removeprefix(SHIPPED)
    if name not in _NAMES:
        raise ValueError(unknown("shipped detector", name, _NAMES))
    return str(Path(__file__).with_name(f"{name}.npy"))

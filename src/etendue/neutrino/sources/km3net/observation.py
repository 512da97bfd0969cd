"""What a file says of itself: which detector and run it is of, and which programs made it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from etendue.dataflow.source import SourceError
from etendue.neutrino.sources.km3net.streams import check_lengths, has
from etendue.schema import Columns, Table, variables

if TYPE_CHECKING:
    from uproot import ReadOnlyDirectory

OBSERVATION = Table(
    name="observation",
    dim="run",
    role="static",
    description="one row an input",
    key=("run", "det_id", "run_id"),
    variables=variables(
        "run",
        run=("uint32", "", "number of the row, which the rows of other tables name"),
        det_id=("int32", "", "detector number, of the first entry; -1 where there is none"),
        run_id=("int32", "", "run number, of the first entry; -1 where there is none"),
    ),
)

META = Table(
    name="meta",
    dim="program",
    role="static",
    description="provenance: one row a program that wrote the input or what it was made of",
    variables=variables(
        "program",
        run=("uint32", "", "row of /observation"),
        name=("str", "", "name of the program; JMeta says which was the first"),
        text=("str", "", "its version, command, arguments, host and time, as it wrote them"),
    ),
)


def observation(det_id: int = -1, run_id: int = -1) -> Columns:
    """The table `OBSERVATION` of one input."""
    return {
        "run": np.zeros(1, dtype=np.uint32),
        "det_id": np.array([det_id], dtype=np.int32),
        "run_id": np.array([run_id], dtype=np.int32),
    }


def meta(path: str, file: ReadOnlyDirectory) -> Columns:
    """The table `META` of one input; no rows if the file has no provenance.

    Raises
    ------
    SourceError
        If it cannot be read.
    """
    try:
        texts = [(o.member("fName"), o.member("fTitle")) for o in _named(path, file)]
    except SourceError:
        raise
    except Exception as error:
        raise SourceError(path, "META", f"cannot be read ({type(error).__name__}: {error})") from error
    names, text = zip(*texts, strict=True) if texts else ((), ())
    return {
        "run": np.zeros(len(names), dtype=np.uint32),
        "name": np.array(names, dtype=str),
        "text": np.array(text, dtype=str),
    }


def _named(path: str, file: ReadOnlyDirectory):
    """The named strings of the folder META."""
    if not has(file, "META"):
        return []
    folder = file["META"]
    check_lengths(path, folder)
    return [folder[key] for key, cls in folder.classnames().items() if cls == "TNamed"]

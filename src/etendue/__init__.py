"""etendue: the raw streams of gamma-ray and neutrino telescopes as distributed dataflow on Dask.

Examples
--------
>>> import etendue as et
>>> run = et.open("simulated://gamma?n_showers=100&seed=1")
>>> flow = run | et.iact.Calibrate() | et.iact.Integrate() | et.iact.Clean(picture=8, boundary=4)
>>> flow.preview()["simcam"]["image"].dims
('readout', 'pixel')
"""

from __future__ import annotations

from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from etendue.lazy import attach

if TYPE_CHECKING:
    from etendue import iact, neutrino
    from etendue.cluster import connect
    from etendue.dataflow.catalogue import stages
    from etendue.dataflow.flow import Flow
    from etendue.dataflow.parameters import BroughtFile
    from etendue.dataflow.pipeline import Pipeline
    from etendue.dataflow.registry import find_pipeline
    from etendue.dataflow.select import Select
    from etendue.dataflow.stage import Stage, TableStage, stage
    from etendue.errors import EtendueError
    from etendue.histogram import Request as Histogram
    from etendue.histogram import axis
    from etendue.store import load, passes

__version__ = version("etendue")

#: Where each public name lives; imported when it is first used.
_HOMES = {
    "BroughtFile": "etendue.dataflow.parameters:BroughtFile",
    "EtendueError": "etendue.errors:EtendueError",
    "Flow": "etendue.dataflow.flow:Flow",
    "Histogram": "etendue.histogram:Request",
    "Pipeline": "etendue.dataflow.pipeline:Pipeline",
    "Select": "etendue.dataflow.select:Select",
    "Stage": "etendue.dataflow.stage:Stage",
    "TableStage": "etendue.dataflow.stage:TableStage",
    "axis": "etendue.histogram:axis",
    "connect": "etendue.cluster:connect",
    "find_pipeline": "etendue.dataflow.registry:find_pipeline",
    "iact": "",
    "load": "etendue.store:load",
    "neutrino": "",
    "passes": "etendue.store:passes",
    "stage": "etendue.dataflow.stage:stage",
    "stages": "etendue.dataflow.catalogue:stages",
}

__all__ = [
    "BroughtFile",
    "EtendueError",
    "Flow",
    "Histogram",
    "Pipeline",
    "Select",
    "Stage",
    "TableStage",
    "axis",
    "connect",
    "find_pipeline",
    "iact",
    "load",
    "neutrino",
    "open",
    "passes",
    "stage",
    "stages",
]


def open(*paths: Any, **options: Any) -> Flow:
    """Open inputs: lazily; what they hold is looked at when it is first needed.

    Parameters
    ----------
    *paths : str, path, or lists of them
        Raw files, directories, patterns, run lists, stores (``crab.etendue`` or ``crab.etendue@pass-1``), or
        simulations. Relative paths are those of the working directory now; ``~`` is somebody's home.
    **options
        ``on_error`` (``"raise"`` or ``"skip"``), ``partition_bytes``, ``workers``, ``memory_limit``:
        see `Flow`. Anything else is a companion: a file that the inputs need beside them, under the name
        that their source gives it, as ``gcd="GeoCalibDetectorStatus.i3.gz"``.

    Returns
    -------
    Flow
        Join stages to it with ``|``.

    Raises
    ------
    CompanionError
        If no source knows a companion of that name, or there is no such file.
    SourceError
        If no path is given, or something that is none.
    """
    from etendue.dataflow.companions import split_options
    from etendue.dataflow.flow import Flow
    from etendue.dataflow.inputs import named

    options, companions = split_options(options)
    return Flow(named(paths), companions=companions, **options)


__getattr__, __dir__ = attach(__name__, _HOMES)

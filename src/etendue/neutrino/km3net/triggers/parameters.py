"""Parameters of the data filter: as its files name them, and as our stages do."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from etendue.dataflow.pipeline import Pipeline
from etendue.neutrino.km3net.coincidences import FindCoincidences


class ShowerTrigger(BaseModel):
    """When hits are a shower: enough of them that one source of light can have caused."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    enabled: bool = Field(True, description="whether to look for it")
    min_hits: int = Field(5, ge=2, description="least number of hits in a cluster")
    min_modules: int = Field(5, ge=1, description="least number of modules in a cluster")
    max_distance: float = Field(250.0, gt=0, description="greatest distance of two hits, m")
    extra_time: float = Field(25.0, ge=0, description="added to the time that light needs, ns")
    limit: int = Field(100, ge=2, description="more hits than this to choose from are taken as a cluster")


class MuonTrigger(ShowerTrigger):
    """When hits are a muon: enough of them that a track of one direction of a grid can have caused."""

    max_distance: float = Field(891.0955456969809, gt=0, description="greatest distance of two hits, m")
    road_width: float = Field(120.0, gt=0, description="diameter of the road around the track, m")
    grid_angle: float = Field(10.0, gt=0, le=180, description="angle between directions, degrees")


#: Parameters as they stand in real files: ORCA in 2019 (det_id 44), and simulations of ARCA with 21 strings.
PRESETS: dict[str, dict[str, Any]] = {
    "ORCA-2019": {
        "trigger3DShower": {"numberOfHits": 3, "numberOfModules": 3, "DMax_m": 52.0},
        "triggerMXShower": {"numberOfHits": 8, "numberOfModules": 3, "DMax_m": 47.0},
        "trigger3DMuon": {
            "numberOfHits": 4, "numberOfModules": 4, "DMax_m": 164.897, "roadWidth_m": 43.0,
            "gridAngle_deg": 10.0,
        },
        "TMaxEvent_ns": 1000.0,
        "L2": {"numberOfHits": 2, "TMaxLocal_ns": 10.0, "ctMin": 0.0},
    },
    "ARCA21": {
        "trigger3DShower": {"numberOfHits": 5, "numberOfModules": 5, "DMax_m": 250.0},
        "triggerMXShower": {"numberOfHits": 8, "numberOfModules": 3, "DMax_m": 110.0},
        "trigger3DMuon": {
            "numberOfHits": 5, "numberOfModules": 5, "DMax_m": 891.0955456969809, "roadWidth_m": 120.0,
            "gridAngle_deg": 10.0,
        },
        "TMaxEvent_ns": 4102.130249126104,
        "L2": {"numberOfHits": 2, "TMaxLocal_ns": 10.0, "ctMin": -1.0},
    },
}  # fmt: skip

#: Names of a trigger's parameters in files, and ours.
_NAMES = {
    "enabled": "enabled",
    "numberOfHits": "min_hits",
    "numberOfModules": "min_modules",
    "DMax_m": "max_distance",
    "TMaxExtra_ns": "extra_time",
    "factoryLimit": "limit",
    "roadWidth_m": "road_width",
    "gridAngle_deg": "grid_angle",
}


def data_filter(parameters: str | Mapping[str, Any]) -> Pipeline:
    """The stages of the data filter: L2 coincidences, and the triggers on them.

    They read calibrated hits (`etendue.neutrino.km3net.calibration.CalibrateHits`).

    Parameters
    ----------
    parameters : str or mapping
        A name in `PRESETS`, a raw file that holds the parameters with which it was written, or the
        parameters as `etendue.neutrino.sources.km3net.parameters.read_trigger_parameters` gives them.

    Raises
    ------
    SourceError
        If a file is named that has no trigger parameters.
    """
    from etendue.neutrino.km3net.triggers.stage import Trigger
    from etendue.neutrino.sources.km3net.parameters import read_trigger_parameters

    if isinstance(parameters, str):
        parameters = PRESETS.get(parameters) or read_trigger_parameters(parameters)
    l2 = parameters["L2"]
    coincidences = FindCoincidences(
        table="l2", within=l2["TMaxLocal_ns"], min_pmts=l2["numberOfHits"], min_cos=l2["ctMin"]
    )
    return coincidences | Trigger(
        coincidences="l2",
        shower=ShowerTrigger(**_ours(parameters["trigger3DShower"])),
        mixed_shower=ShowerTrigger(**_ours(parameters["triggerMXShower"])),
        muon=MuonTrigger(**_ours(parameters["trigger3DMuon"])),
        event_time=parameters["TMaxEvent_ns"],
    )


def _ours(parameters: Mapping[str, Any]) -> dict[str, Any]:
    return {_NAMES[name]: value for name, value in parameters.items() if name in _NAMES}

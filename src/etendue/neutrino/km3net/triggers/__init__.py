"""The data filter of KM3NeT: triggers on muon tracks and on showers, in time slices and in events."""

from etendue.neutrino.km3net.triggers.parameters import (
    PRESETS,
    MuonTrigger,
    ShowerTrigger,
    data_filter,
)
from etendue.neutrino.km3net.triggers.stage import Trigger, TriggerBit

__all__ = ["PRESETS", "MuonTrigger", "ShowerTrigger", "Trigger", "TriggerBit", "data_filter"]

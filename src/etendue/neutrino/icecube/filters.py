"""IceCube's online filters: which events are sent north, and which of them after a prescale.

A filter is a condition on columns of events that earlier stages made, and a prescale: of n events that
pass the condition one is kept. The verdicts of all filters are the bits of two columns.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import ClassVar, Self
from zlib import crc32

import numpy as np
from pydantic import Field, field_validator, model_validator

from etendue.dataflow.parameters import unknown
from etendue.dataflow.partition import Partition
from etendue.dataflow.registry import ConfigError
from etendue.dataflow.stage import Stage
from etendue.kernel import kernel
from etendue.schema import Columns, Schema, Variable

#: Most filters at once: bits of a mask.
MOST_FILTERS = 64

#: What filters read of the number of an event.
_NUMBERS = ("run_id", "event_id")
#: How names of columns end that say whether a trigger fired; `FindTriggers` names them by the triggers.
_TRIGGERED = "_triggered"

Condition = Callable[[Columns], np.ndarray]


@dataclass(frozen=True)
class Filter:
    """A filter: what it reads, what it asks for, and which share of that it keeps.

    Parameters
    ----------
    reads : tuple of str
        Columns of events.
    condition : callable
        From these columns to one bool an event.
    prescale : int
        Of how many events that meet the condition one is kept; 0 for none at all.
    description : str
        One line for people.
    """

    reads: tuple[str, ...]
    condition: Condition
    prescale: int
    description: str


@kernel
def mixed(state: np.uint64) -> np.uint64:
    """Mix the bits of a number so that each output bit depends on all of them (splitmix64).

    G. L. Steele, D. Lea, C. H. Flood, OOPSLA 2014.
    """
    state = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    state = (state ^ (state >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return state ^ (state >> np.uint64(31))


@kernel
def passes_prescale(run_id: np.ndarray, event_id: np.ndarray, salt: int, prescale: int) -> np.ndarray:
    """Keep one of ``prescale`` events, by the hash of their numbers: the same ones in each processing.

    Parameters
    ----------
    run_id, event_id : integer array, shape (n_events,)
        Numbers of the run and of the event in it.
    salt : int
        Of the filter, so that different filters keep different events.
    prescale : int
        1 for all events, 0 for none.

    Returns
    -------
    bool array, shape (n_events,)
        Whether each event is kept.
    """
    kept = np.zeros(run_id.size, dtype=np.bool_)
    if prescale > 0:
        for i in range(run_id.size):
            number = (np.uint64(run_id[i]) << np.uint64(32)) ^ np.uint64(event_id[i])
            kept[i] = mixed(mixed(number) ^ np.uint64(salt)) % np.uint64(prescale) == 0
    return kept


def _cos_zenith(columns: Columns, track: str) -> np.ndarray:
    return np.cos(np.radians(columns[f"{track}_zenith"]))


def _log10(values: np.ndarray) -> np.ndarray:
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.log10(values)


def _muon(columns: Columns) -> np.ndarray:
    """Well-fitted tracks from below and the horizon; bright tracks from above."""
    cos_zenith, n_channels = _cos_zenith(columns, "MuonLlhFit"), columns["MuonHits_n_hit_doms"]
    log_charge = _log10(columns["MuonHits_q_tot_pulses"])
    with np.errstate(divide="ignore", invalid="ignore"):
        rlogl = columns["MuonLlhFit_logl"] / (n_channels - 3)
    below = (cos_zenith <= 0.2) & (rlogl <= 8.7) & (n_channels > 3)
    horizon = (cos_zenith > 0.2) & (cos_zenith <= 0.5) & (log_charge >= 3.9 * cos_zenith + 0.65)
    above = (cos_zenith > 0.5) & (log_charge >= 0.6 * cos_zenith + 2.3)
    return columns["InIceSMT_triggered"] & (below | horizon | above)


def _cascade(columns: Columns) -> np.ndarray:
    """Good cascade vertices; from above, or from nobody knows where, only round and slow ones."""
    from_above = ~(_cos_zenith(columns, "MuonLlhFit") <= 0.2)
    rlogl = columns["CascadeLlh_rlogl"]
    round_and_slow = (columns["CascadeToI_sphericity"] > 0.08) & (columns["CascadeLineFit_speed"] < 0.08)
    passed = np.where(from_above, (rlogl < 10.0) & round_and_slow, rlogl < 12.75)
    return columns["InIceSMT_triggered"] & (columns["CascadeHits_n_hit_strings"] >= 2) & passed


def _low_up(columns: Columns) -> np.ndarray:
    """Compact events from below that move upwards and do not touch the top of the detector."""
    any_trigger = np.logical_or.reduce(
        [columns[f"{name}_triggered"] for name in ("InIceSMT", "InIceString", "DeepCoreSMT", "Volume")]
    )
    return (
        any_trigger
        & (columns["MuonLlhFit_zenith"] > 80.0)
        & (columns["MuonHits_n_hit_doms"] >= 5)
        & (columns["MuonHits_z_max"] - columns["MuonHits_z_min"] < 600.0)
        & (columns["MuonHits_timelength_last_first"] < 4000.0)
        & (columns["MuonHits_z_max"] < 440.0)
        & (columns["MuonHits_z_travel"] > -10.0)
    )


def _vertical(columns: Columns) -> np.ndarray:
    """Tracks from straight below that were triggered by one string, without light at the top."""
    return (
        columns["InIceString_triggered"]
        & (np.radians(columns["MuonLineFit_zenith"]) > 1.2)
        & (np.radians(columns["MuonLlhFit_zenith"]) > 2.5)
        & (columns["TopHits_n_pulses"] == 0)
    )


#: The filters, by IceCube's names. Cuts and prescales are those of the season of 2018, as the processing
#: records in IceCube's files say. Which stages make what a filter reads is listed in docs/icecube-stages.md.
FILTERS: Mapping[str, Filter] = {
    "FilterMinBias_13": Filter(
        ("run_id",), lambda c: np.ones(len(c["run_id"]), dtype=np.bool_), 1000, "every event"
    ),
    "MuonFilter_13": Filter(
        (
            "InIceSMT_triggered",
            "MuonLlhFit_zenith",
            "MuonLlhFit_logl",
            "MuonHits_n_hit_doms",
            "MuonHits_q_tot_pulses",
        ),
        _muon,
        1,
        "good tracks from below, bright tracks from above",
    ),
    "CascadeFilter_13": Filter(
        (
            "InIceSMT_triggered",
            "MuonLlhFit_zenith",
            "CascadeLlh_rlogl",
            "CascadeToI_sphericity",
            "CascadeLineFit_speed",
            "CascadeHits_n_hit_strings",
        ),
        _cascade,
        1,
        "good cascades",
    ),
    "EHEFilter_13": Filter(
        ("InIceSMT_triggered", "EHE_charge"),
        lambda c: c["InIceSMT_triggered"] & (c["EHE_charge"] > 1000.0),
        1,
        "more than 1000 pe outside DeepCore",
    ),
    "HighQFilter_17": Filter(
        ("InIceSMT_triggered", "HomogenizedQTot"),
        lambda c: c["InIceSMT_triggered"] & (c["HomogenizedQTot"] > 1000.0),
        1,
        "more than 1000 pe in the regular grid",
    ),
    "HESEFilter_15": Filter(
        ("InIceSMT_triggered", "CausalQTot", "VHESelfVeto_vetoed"),
        lambda c: c["InIceSMT_triggered"] & (c["CausalQTot"] > 1500.0) & ~c["VHESelfVeto_vetoed"],
        1,
        "more than 1500 pe, first light inside",
    ),
    "DeepCoreFilter_13": Filter(
        ("DeepCoreSMT_triggered", "DeepCoreVeto_vetoed"),
        lambda c: c["DeepCoreSMT_triggered"] & ~c["DeepCoreVeto_vetoed"],
        1,
        "DeepCore triggered, and no light that came into it",
    ),
    "LowUp_13": Filter(
        (
            "InIceSMT_triggered",
            "InIceString_triggered",
            "DeepCoreSMT_triggered",
            "Volume_triggered",
            "MuonLlhFit_zenith",
            "MuonHits_n_hit_doms",
            "MuonHits_z_max",
            "MuonHits_z_min",
            "MuonHits_z_travel",
            "MuonHits_timelength_last_first",
        ),
        _low_up,
        1,
        "compact events from below",
    ),
    "VEF_13": Filter(
        ("InIceString_triggered", "MuonLineFit_zenith", "MuonLlhFit_zenith", "TopHits_n_pulses"),
        _vertical,
        1,
        "tracks from straight below",
    ),
}


def passed(mask: np.ndarray, filters: tuple[str, ...], name: str) -> np.ndarray:
    """One filter's verdict from a column of bits.

    Parameters
    ----------
    mask : uint64 array, shape (n_events,)
        ``FilterMask_condition_passed``, ``FilterMask_prescale_passed``, or both with ``&``.
    filters : tuple of str
        The filters of the stage that made it, in order.
    name : str
        The filter.

    Returns
    -------
    bool array, shape (n_events,)
        Whether each event passed.
    """
    return (mask >> np.uint64(filters.index(name)) & np.uint64(1)).astype(np.bool_)


class OnlineFilters(Stage):
    """Decide which filters each event passes, and which of these keep it after their prescales.

    Writes bit k of ``FilterMask_condition_passed`` and ``FilterMask_prescale_passed`` for the k-th filter
    of ``filters``: an event is kept by a filter if both are set. `passed` takes the masks apart. What an
    input brings under the names that filters read is not mistaken for what the stages of a chain made if
    these have other names: say so with ``columns`` or, for all of them, with ``prefix``.
    """

    filters: tuple[str, ...] = Field(
        tuple(FILTERS), min_length=1, description="names of the filters, in the order of their bits"
    )
    prescales: dict[str, int] = Field(
        default_factory=dict, description="prescales by filter, where they are other than IceCube's"
    )
    run_id: str = Field("run_id", description="column of events: number of the run")
    event_id: str = Field("event_id", description="column of events: number of the event in the run")
    columns: dict[str, str] = Field(
        default_factory=dict, description="columns that filters read, where they are called otherwise"
    )
    prefix: str = Field(
        "", description="what the names begin with of the masks and of what is read but numbers and triggers"
    )

    masks: ClassVar = {
        "FilterMask_condition_passed": "bits of the filters whose condition holds",
        "FilterMask_prescale_passed": "bits of the filters whose prescale keeps it",
    }

    @field_validator("filters")
    @classmethod
    def _known(cls, filters: tuple[str, ...]) -> tuple[str, ...]:
        for name in filters:
            if name not in FILTERS:
                raise ConfigError(f"there is no filter {name!r}; there are {', '.join(FILTERS)}")
        if len(filters) > MOST_FILTERS:
            raise ConfigError(f"{len(filters)} filters are too many: {MOST_FILTERS} fit in a mask")
        return filters

    @model_validator(mode="after")
    def _prescaled(self) -> Self:
        for name, value in self.prescales.items():
            if name not in self.filters:
                raise ValueError(f"prescales: {unknown('filter', name, self.filters)}")
            if value < 0:
                raise ValueError(f"prescales: {name} = {value}: expected 0 (no event) or more")
        return self

    @model_validator(mode="after")
    def _renamed(self) -> Self:
        for name in self.columns:
            if name not in (read := self._reads()) or name in _NUMBERS:
                raise ValueError(
                    f"columns: {unknown('column', name, [n for n in read if n not in _NUMBERS])}"
                )
        return self

    def _reads(self) -> list[str]:
        """The columns that the filters read, by the names that `FILTERS` has for them."""
        return list({name: None for chosen in self.filters for name in FILTERS[chosen].reads})

    def requires(self, schema: Schema) -> list[str]:
        """What the filters read."""
        return [f"events/{self._source(name)}" for name in dict.fromkeys((*self._reads(), *_NUMBERS))]

    def provides(self, schema: Schema) -> dict[str, Variable]:
        """The masks."""
        names = {f"{self.prefix}{name}": about for name, about in self.masks.items()}
        return {
            f"events/{name}": Variable(name, ("event",), "uint64", "", about) for name, about in names.items()
        }

    def _source(self, name: str) -> str:
        if name in _NUMBERS:
            return getattr(self, name)
        prefix = "" if name.endswith(_TRIGGERED) else self.prefix
        return f"{prefix}{self.columns.get(name, name)}"

    def __call__(self, partition: Partition) -> dict[str, np.ndarray]:
        run_id, event_id = partition[f"events/{self.run_id}"], partition[f"events/{self.event_id}"]
        condition, prescale = np.zeros((2, len(run_id)), dtype=np.uint64)
        for bit, name in enumerate(self.filters):
            chosen = FILTERS[name]
            columns = {read: partition[f"events/{self._source(read)}"] for read in chosen.reads}
            one = np.uint64(1) << np.uint64(bit)
            condition |= chosen.condition(columns) * one
            kept = passes_prescale(
                run_id, event_id, crc32(name.encode()), self.prescales.get(name, chosen.prescale)
            )
            prescale |= kept * one
        masks = (condition, prescale)
        return {f"events/{self.prefix}{name}": mask for name, mask in zip(self.masks, masks, strict=True)}

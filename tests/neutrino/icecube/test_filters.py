"""Online filters: bits, prescales, and the decisions that IceCube stored."""

import numpy as np
import pytest
from pydantic import ValidationError

from etendue.dataflow.pipeline import Pipeline
from etendue.neutrino.icecube.charges import HomogenizedQTot
from etendue.neutrino.icecube.cleaning import SeededRT, SelectPulses
from etendue.neutrino.icecube.deepcore_veto import DeepCoreVeto
from etendue.neutrino.icecube.filters import FILTERS, OnlineFilters, passed, passes_prescale
from etendue.neutrino.icecube.geometry import PlacePulses
from etendue.neutrino.icecube.linefit import LineFit
from etendue.neutrino.icecube.splitting import TopologicalSplit
from etendue.neutrino.icecube.statistics import HitStatistics
from etendue.neutrino.icecube.triggers import FindTriggers
from etendue.neutrino.icecube.veto import VHESelfVeto
from etendue.neutrino.sources.icecube.source import IceCubeSource
from etendue.schema import Variable
from tests.neutrino.icecube.events import partition_of, run
from tests.neutrino.icecube.files import SIMULATED, simulated
from tests.neutrino.icecube.test_linefit import angle


def with_events(n, **columns):
    """A partition of events without pulses, with columns that filters read."""
    return partition_of(
        [{"time": []}] * n, **{name: np.broadcast_to(c, n).copy() for name, c in columns.items()}
    )


def test_charge_filters():
    charge = np.array([999.0, 1001.0, 1501.0, 1501.0])
    partition = with_events(
        4,
        InIceSMT_triggered=np.array([True, True, True, True]),
        HomogenizedQTot=charge,
        CausalQTot=charge,
        VHESelfVeto_vetoed=np.array([False, False, False, True]),
    )
    names = ("HighQFilter_17", "HESEFilter_15")
    mask = run(OnlineFilters(filters=names), partition)["events/FilterMask_condition_passed"]
    assert mask.dtype == np.uint64
    assert passed(mask, names, "HighQFilter_17").tolist() == [False, True, True, True]
    assert passed(mask, names, "HESEFilter_15").tolist() == [False, False, True, False]


def test_cascades_of_unknown_direction_must_meet_the_stricter_cut():
    """A fit that failed is NaN, which is not below the horizon."""
    partition = with_events(
        4,
        InIceSMT_triggered=True,
        MuonLlhFit_zenith=np.array([120.0, 30.0, np.nan, np.nan]),
        CascadeLlh_rlogl=np.array([12.0, 12.0, 12.0, 9.0]),
        CascadeToI_sphericity=0.2,
        CascadeLineFit_speed=0.05,
        CascadeHits_n_hit_strings=np.full(4, 3),
    )
    names = ("CascadeFilter_13",)
    mask = run(OnlineFilters(filters=names), partition)["events/FilterMask_condition_passed"]
    assert passed(mask, names, names[0]).tolist() == [True, False, False, True]


def test_muon_filter_by_zone():
    cos_zenith = np.array([-1.0, -1.0, 0.19, 0.3, 0.3, 0.8, 0.8])
    partition = with_events(
        7,
        InIceSMT_triggered=True,
        MuonLlhFit_zenith=np.degrees(np.arccos(cos_zenith)),
        MuonLlhFit_logl=np.array([86.0, 88.0, 86.0, 900.0, 900.0, 900.0, 900.0]),
        MuonHits_n_hit_doms=np.full(7, 13),
        MuonHits_q_tot_pulses=10 ** np.array([1.0, 4.0, 1.0, 1.81, 1.83, 2.77, 2.79]),
    )
    names = ("MuonFilter_13",)
    mask = run(OnlineFilters(filters=names), partition)["events/FilterMask_condition_passed"]
    assert passed(mask, names, names[0]).tolist() == [True, False, True, False, True, False, True]


SERIES = "SplitInIceDSTPulses"
#: The online chain up to the filters that need no cascade fit, on the pulses that the filters had.
CHAIN = (
    FindTriggers(pulses="InIceDSTPulses"),
    SeededRT(pulses=SERIES, output="clean"),
    SeededRT(pulses=SERIES, output="grown", seeds="AllHLCHits", iterations=-1),
    SelectPulses(pulses=SERIES, output="hlc", local_coincidence=True),
    LineFit(pulses=SERIES, mask="clean", output="MuonLineFit"),
    HitStatistics(pulses=SERIES, mask="clean", output="MuonHits"),
    HomogenizedQTot(pulses=SERIES),
    VHESelfVeto(pulses=SERIES, mask="hlc"),
    HomogenizedQTot(pulses=SERIES, output="CausalQTot", vertex_time="VHESelfVeto_vertex_time"),
    DeepCoreVeto(pulses=SERIES, mask="grown"),
)
DECISIONS = {
    "MuonFilter_13": 20,
    "HighQFilter_17": 20,
    "HESEFilter_15": 20,
    "LowUp_13": 20,
    "DeepCoreFilter_13": 19,
}


def test_stored_decisions(shared):
    """Of 20 events we decide as IceCube did; its own likelihood fit stands for ours."""
    n_equal, n_passed = dict.fromkeys(DECISIONS, 0), 0
    fits = {"MuonLlhFit_zenith": "PoleMuonLlhFit_zenith", "MuonLlhFit_logl": "PoleMuonLlhFitFitParams_logl"}
    for name in SIMULATED:
        keys = ("PoleMuonLlhFit", "PoleMuonLlhFitFitParams", "PoleMuonLinefit", "FilterMask")
        events = simulated(shared, name, keys, (SERIES, "InIceDSTPulses"))
        for stage in CHAIN:
            events = run(stage, events)
        # the input of the line fit is IceCube's own: cleaned as it was
        assert angle(events, "MuonLineFit", "PoleMuonLinefit").max() < 1e-5
        copied = {f"events/{ours}": events[f"events/{theirs}"] for ours, theirs in fits.items()}
        declared = {key: Variable(key[7:], ("event",), "float64") for key in copied}
        events = events.with_columns(copied, events.schema.with_variables(declared))
        mask = run(OnlineFilters(filters=tuple(DECISIONS)), events)["events/FilterMask_condition_passed"]
        for decided in DECISIONS:
            stored = events[f"events/FilterMask_{decided}_condition_passed"]
            n_equal[decided] += (passed(mask, tuple(DECISIONS), decided) == stored).sum()
            n_passed += stored.sum()
    assert n_passed > 20
    assert n_equal == DECISIONS


def test_chain_in_the_engine_does_not_depend_on_partitions(shared):
    path = shared / "data/icecube/i3" / SIMULATED[2]
    geometry = shared / "data/icecube/geometry/icecube86.parquet"
    source, pipeline = IceCubeSource(), Pipeline()
    filters = OnlineFilters(filters=("FilterMinBias_13", "HighQFilter_17", "HESEFilter_15"))
    for stage in (PlacePulses(geometry=str(geometry)), *CHAIN, TopologicalSplit(pulses=SERIES), filters):
        pipeline = pipeline | stage
    scan = source.scan(str(path))
    n_events = len(scan.rows["events"])
    checked = pipeline.model_copy(update={"write": ("events/*", "subevents/*", f"{SERIES}/*")}).check(
        scan.schema
    )
    names = {f"{t}/{c}" for stage in CHAIN for t, c in [n.split("/") for n in stage.provides(checked.schema)]}

    def columns(ranges):
        done = [checked.apply(part).partition for part in source.read(scan, ranges, needed)]
        return {name: np.concatenate([part[name] for part in done]) for name in [*names, "subevents/time"]}

    needed = frozenset(n for n in checked.read if n.split("/")[0] in (SERIES, "InIceDSTPulses")) | {
        f"events/{name}" for name in ("run", "run_id", "event_id", f"n_{SERIES}", "n_InIceDSTPulses")
    }
    whole, parts = columns([(0, n_events)]), columns([(0, 2), (2, 3), (3, n_events)])
    for name, column in whole.items():
        np.testing.assert_array_equal(parts[name], column, err_msg=name)


def test_prescales_keep_their_share_and_the_same_events_again():
    event_id = np.arange(200_000, dtype=np.uint32)
    run_id = np.full(len(event_id), 138632, dtype=np.uint32)
    kept = passes_prescale(run_id, event_id, 17, 10)
    assert abs(kept.mean() - 0.1) < 5 * np.sqrt(0.1 * 0.9 / len(kept))
    assert (kept == passes_prescale(run_id, event_id, 17, 10)).all()
    other = passes_prescale(run_id, event_id, 18, 10)
    assert abs((kept & other).mean() - 0.01) < 5 * np.sqrt(0.01 / len(kept))  # independent of each other
    assert abs((kept[1:] & kept[:-1]).mean() - 0.01) < 5 * np.sqrt(
        0.01 / len(kept)
    )  # and from event to event
    assert passes_prescale(run_id, event_id, 17, 1).all()
    assert not passes_prescale(run_id, event_id, 17, 0).any()


def test_prescales_do_not_depend_on_partitions():
    stage = OnlineFilters(filters=("FilterMinBias_13",), prescales={"FilterMinBias_13": 3})
    column = "events/FilterMask_prescale_passed"
    whole = run(stage, with_events(60))[column]
    assert 0 < whole.sum() < 60
    first, last = (with_events(60).tables["events"] for _ in range(2))
    part = with_events(20).with_columns({f"events/{n}": c[40:] for n, c in last.items()})
    assert run(stage, part)[column].tolist() == whole[40:].tolist()
    assert len(first["event_id"]) == 60


def test_unknown_filters_are_refused():
    with pytest.raises(ValidationError, match="there is no filter 'MuonFilter_12'"):
        OnlineFilters(filters=("MuonFilter_12",))


def test_filters_say_what_they_read():
    schema = partition_of([]).schema
    for name, chosen in FILTERS.items():
        needs = OnlineFilters(filters=(name,)).requires(schema)
        assert {f"events/{read}" for read in chosen.reads} <= set(needs)

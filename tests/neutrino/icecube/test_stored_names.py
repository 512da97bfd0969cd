"""The shipped pipeline on files that hold what IceCube's own filters made, under IceCube's names."""

import numpy as np
import pytest

import etendue as et
from etendue.dataflow.pipeline import Pipeline, PipelineError
from etendue.neutrino.icecube.filters import OnlineFilters
from tests.neutrino.icecube.events import detector
from tests.neutrino.sources import i3_files as i3

#: Numbers that IceCube's files hold, and values that no pulse of the event below gives.
STORED = {
    "HomogenizedQTot": 4321.0,
    "CausalQTot": 1234.0,
    "VHESelfVetoVertexTime": 9876.0,
    "HESE_CausalQTot": 5.0,
}
OLD_NAMES = {"VHESelfVeto_vetoed", "VHESelfVeto_exists", "FilterMask_condition_passed"}


def write(path, **more):
    """An event with a bright track, both series of pulses, a geometry, and stored results."""
    places = {
        (int(s), int(o)): (float(x), float(y), float(z))
        for s, o, x, y, z in zip(
            *(detector()[n] for n in ("du", "floor", "pos_x", "pos_y", "pos_z")), strict=True
        )
    }
    lit = {(s, o, 0): [(1000.0 + 60.0 * o + s, 5.0, 8.0, 1)] for s in (18, 19, 20) for o in range(10, 50)}
    pulses = i3.pulse_map(lit)
    stored = {name: i3.number(value) for name, value in (STORED | more).items()}
    series = {"InIceDSTPulses": pulses, "SplitInIceDSTPulses": pulses}
    path.write_bytes(
        i3.frame("G", {"I3Geometry": i3.geometry(places)})
        + i3.frame("Q", {"I3EventHeader": i3.header(7, 1), **series, **stored})
        + i3.frame("P", {"I3EventHeader": i3.header(7, 1)})
    )
    return path


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    return write(tmp_path_factory.mktemp("stored") / "a.i3")


def test_the_shipped_pipeline_leaves_what_is_stored_and_makes_its_own(path):
    events = (et.open(path) | et.find_pipeline("icecube")).compute()["events"]
    for name, value in STORED.items():
        assert events[name].values.tolist() == [value], name
    # 120 modules of the grid with one pulse of 5 pe each
    assert events["HighQ_charge"].values.tolist() == [600.0]
    assert events["HESE_veto_exists"].values.tolist() == [True]
    assert events["HESE_veto_vertex_time"].values[0] != STORED["VHESelfVetoVertexTime"]
    bits = int(events["FilterMask_condition_passed"].values[0])
    names = OnlineFilters().filters
    assert not bits >> names.index("HighQFilter_17") & 1  # it is the 600 pe that count, not the stored 4321
    assert not bits >> names.index("HESEFilter_15") & 1


def test_all_that_the_shipped_pipeline_makes_takes_another_name(tmp_path):
    path = write(tmp_path / "b.i3", MuonLlhFit_zenith=1.0, TopHits_n_pulses=2.0)
    with pytest.raises(PipelineError, match=r"which the input has already.*--set prefix=TEXT"):
        (et.open(path) | et.find_pipeline("icecube")).plan()
    chain = et.find_pipeline("icecube", prefix="Again_")
    checked = chain.check(et.open(path).inputs.schema)
    there = set(et.open(path).inputs.schema["events"].variables)
    made = set(checked.schema["events"].variables) - there
    fired = {
        name for name in made if name.endswith(("_triggered", "_time")) and not name.startswith("Again_")
    }
    assert {name for name in made if not name.startswith("Again_")} - fired == {"n_found_triggers"}
    assert {"Again_MuonLlhFit_zenith", "Again_FilterMask_prescale_passed"} <= made
    assert not checked.required[-1] & {"events/MuonLlhFit_zenith", "events/TopHits_n_pulses"}


def test_filters_read_columns_of_other_names():
    stage = OnlineFilters(filters=("HighQFilter_17",), columns={"HomogenizedQTot": "charge"}, prefix="my_")
    assert stage.requires(None) == [
        "events/InIceSMT_triggered",
        "events/my_charge",
        "events/run_id",
        "events/event_id",
    ]
    with pytest.raises(ValueError, match=r"'HomogenisedQTot'.*HomogenizedQTot"):
        OnlineFilters(columns={"HomogenisedQTot": "charge"})
    assert isinstance(Pipeline() | stage, Pipeline)
    assert np.dtype(stage.provides(None)["events/my_FilterMask_condition_passed"].dtype) == np.uint64

"""Parameters by telescope."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict, ValidationError

import etendue as et
from etendue.dataflow.pipeline import PipelineError
from etendue.dataflow.registry import ConfigError
from etendue.iact.telescopes import ByTelescope, of_camera, values

ARRAY = {
    "run": np.array([0, 0, 0, 1], dtype=np.uint32),
    "tel_id": np.array([1, 2, 7, 1], dtype=np.int16),
    "type": np.array(["LST", "MST", "MST", "SST"]),
    "name": np.array(["LST", "MST", "MST", "ASTRI"]),
    "camera_name": np.array(["LSTCam", "NectarCam", "FlashCam", "CHEC"]),
}
RUN = np.array([0, 1, 0, 0, 0], dtype=np.uint32)
TEL_ID = np.array([2, 1, 7, 1, 2], dtype=np.int16)


class Cuts(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    picture: ByTelescope[float] = 10.0


def of(parameter):
    return values(parameter, {"array": ARRAY}, RUN, TEL_ID)


def test_one_value_holds_for_all_and_needs_no_array():
    np.testing.assert_array_equal(values(7.5, {}, RUN, TEL_ID), np.full(5, 7.5))


@pytest.mark.parametrize(
    ("parameter", "expected"),
    [
        ({"*": 1, "LST": 2}, [1, 1, 1, 2, 1]),
        ({"LST": 2, "*": 1}, [1, 1, 1, 1, 1]),  # the last that matches holds
        ({"*": 1, "MST_MST_*": 3, "MST_*_FlashCam": 4}, [3, 1, 4, 1, 3]),
        ({"*": 1, "NectarCam": 5}, [5, 1, 1, 1, 5]),
        ({"*": 1, "tel 1": 6}, [1, 6, 1, 6, 1]),
        ({"?ST": 2.5}, [2.5, 2.5, 2.5, 2.5, 2.5]),
    ],
)
def test_patterns(parameter, expected):
    np.testing.assert_array_equal(of(parameter), expected)


def test_unmatched_telescope_is_explained():
    with pytest.raises(ValueError, match=r"telescope 7 \(MST_MST_FlashCam\).*LST_LST_LSTCam.*'\*'"):
        of({"LST": 1, "SST": 1, "NectarCam": 2})


def test_telescope_that_the_array_does_not_name():
    with pytest.raises(ValueError, match="telescope 9 of run 3"):
        values({"*": 1}, {"array": ARRAY}, np.array([3]), np.array([9]))


def test_no_readouts():
    assert len(values({"*": 1.0}, {"array": ARRAY}, RUN[:0], TEL_ID[:0])) == 0


@given(st.permutations(range(5)))
def test_order_of_readouts_does_not_matter(order):
    parameter = {"*": 1, "LST": 2, "tel 2": 3, "CHEC": 4}
    np.testing.assert_array_equal(
        values(parameter, {"array": ARRAY}, RUN[order], TEL_ID[order]), of(parameter)[order]
    )


def test_as_a_pydantic_field():
    assert Cuts(picture=8).picture == 8
    assert Cuts(picture={"*": 8, "LST": 6}).picture == {"*": 8, "LST": 6}
    assert Cuts.model_validate_json('{"picture": {"*": 8}}') == Cuts(picture={"*": 8})
    with pytest.raises(ValidationError, match="picture"):
        Cuts(picture="bright")


STATIC = {"array": ARRAY, "optics/lstcam": {c: ARRAY[c][:1] for c in ("type", "name", "camera_name")}}


@pytest.mark.parametrize(
    ("patterns", "message"),
    [
        ({"*": 6, "LTS*": 5}, r"picture: the pattern 'LTS\*' matches no telescope; did you mean 'LST\*'\?"),
        ({"*": 6, "lst": 5}, r"'lst' matches no telescope; did you mean 'LST'\?"),
        ({"*": 6, "NektarCam": 5}, r"did you mean 'NectarCam'\?.*there are .*SST_ASTRI_CHEC"),
        ({"*": 6, "tel7": 5}, r"'tel7' matches no telescope; did you mean 'tel 7'\?"),
        ({"LST*": 5, "MST*": 6}, r"picture: no value for telescope 1 \(SST_ASTRI_CHEC\)"),
        ({"MAGIC*": 5}, r"no value for telescope \d \("),
    ],
)
def test_a_wrong_pattern_is_named_before_the_run(patterns, message):
    with pytest.raises(ConfigError, match=message):
        et.iact.Clean(picture=patterns).check(et.schema.Schema({}), STATIC)


@pytest.mark.parametrize(
    "patterns", [{"*": 6, "MAGIC*": 5}, {"?ST": 4}, {"*": 6, "tel 70": 5}, {"*": 6, "SST_GCT*": 5}]
)
def test_a_telescope_that_is_known_need_not_be_there(patterns):
    et.iact.Clean(picture=patterns).check(et.schema.Schema({}), STATIC)


def test_the_shipped_pipeline_runs_on_any_array():
    assert (et.open("simulated://gamma?n_showers=3&seed=1") | et.find_pipeline("iact")).plan()


def test_a_misspelt_pattern_stops_the_plan():
    flow = et.open("simulated://gamma?n_showers=3&seed=1")
    chain = et.iact.Calibrate() | et.iact.Integrate() | et.iact.Clean(picture={"*": 6, "SimCan": 5})
    with pytest.raises(PipelineError, match=r"stage 'Clean': picture: .*did you mean 'SimCam'\?"):
        (flow | chain).plan()


def test_patterns_without_telescopes():
    with pytest.raises(ValueError, match=r"no table 'array'.*give one value for all"):
        et.iact.Clean(picture={"*": 6}).check(et.schema.Schema({}), {})


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"window": 100}, "stage 'Integrate': window = 100, but a readout of 'simcam' has 40 samples"),
        ({"window": {"*": 7, "MST*": 41}}, "window = 41, .*expected 40 at most"),
        ({"shift": 40}, "shift = 40, .*expected 39 at most"),
        ({"shift": -40}, "shift = -40"),
    ],
)
def test_a_window_fits_the_readout(parameters, message):
    flow = et.open("simulated://gamma?n_showers=3&seed=1") | et.iact.Calibrate()
    with pytest.raises(PipelineError, match=message):
        (flow | et.iact.Integrate(**parameters)).plan()


def test_values_of_a_camera_are_those_of_its_telescopes():
    parameter = {"*": 1, "LST": 9, "SST": 3}
    np.testing.assert_array_equal(of_camera(parameter, "lstcam", STATIC), [9])
    np.testing.assert_array_equal(of_camera(4, "lstcam", {}), [4])


@pytest.mark.parametrize(
    "parameters",
    [
        {"picture": np.nan},
        {"picture": {"*": 8, "LST": np.nan}},
        {"boundary": np.inf},
        {"picture": -1},
        {"boundary": {"*": -0.5}},
        {"min_neighbors": -1},
    ],
)
def test_thresholds_are_finite_and_not_negative(parameters):
    with pytest.raises(ValidationError, match=next(iter(parameters))):
        et.iact.Clean(**parameters)

"""Parameters by telescope."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict, ValidationError

from etendue.iact.telescopes import ByTelescope, values

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

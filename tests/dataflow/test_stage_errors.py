"""What is wrong with a stage is told when it is made; what goes wrong in it, with where and on what."""

import pickle

import numpy as np
import pytest

import etendue as et
from etendue.dataflow.pipeline import PipelineError
from etendue.dataflow.stage import Stage
from etendue.dataflow.stage_error import StageError
from etendue.schema import SchemaError


@et.stage(reads="events/event_id", writes={"events/inverse": ("event", "float64", "m-1")})
def inverse(event_id):
    """Fail at event 13."""
    if 13 in event_id:
        raise KeyError("thirteen")
    return {"events/inverse": 1.0 / (event_id + 1.0)}


def line_of(text):
    """The line of this file that begins with a text."""
    with open(__file__) as file:
        return next(number for number, line in enumerate(file, 1) if line.strip().startswith(text))


def expected(path, first, last):
    place = f"test_stage_errors.py, line {line_of('raise KeyError')}"
    return f"{path}: events {first} to {last}: stage 'inverse' failed in {place}: KeyError: 'thirteen'"


def test_stage_file_line_and_events_are_named(toy):
    paths = [toy("a", "toy 10 1"), toy("b", "toy 40 1")]
    flow = et.open(*paths, partition_bytes=200) | inverse
    with pytest.raises(KeyError) as caught:  # it is still of its own class
        flow.compute()
    assert isinstance(caught.value, StageError)
    first, last = (int(word) for word in str(caught.value).split("events ")[1].split(":")[0].split(" to "))
    assert str(caught.value) == expected(paths[1], first, last)
    assert first <= 13 <= last < 39
    assert isinstance(caught.value.__cause__, KeyError)


def test_the_error_crosses_processes(toy):
    path = toy("a", "toy 20 1")
    with pytest.raises(KeyError) as caught:
        (et.open(path, partition_bytes=1 << 20) | inverse).compute()
    again = pickle.loads(pickle.dumps(caught.value))
    assert isinstance(again, StageError)
    assert isinstance(again, KeyError)
    assert str(again) == expected(path, 0, 19)


@et.stage(reads="events/event_id", writes={"events/half": ("event", "float64")})
def half(event_id):
    return {"events/half": event_id[::2].astype(float)}


@et.stage(reads="events/event_id", writes={"events/a": ("event", "int64"), "events/b": ("event", "int64")})
def forgets(event_id):
    return {"events/a": event_id}


def test_wrong_results_name_stage_and_input(toy):
    path = toy("a", "toy 20 1")
    with pytest.raises(SchemaError, match=rf"{path}: events 0 to 19: stage 'half' failed: .*differ"):
        (et.open(path) | half).compute()
    with pytest.raises(PipelineError, match="stage 'forgets' declares 'events/b', and did not return it"):
        (et.open(path) | forgets).compute()


def test_skipping_names_the_stage(toy, tmp_path):
    flow = et.open(toy("a", "toy 20 1"), on_error="skip") | inverse
    (failure,) = flow.write(tmp_path / "s", "p").outcome.failures
    assert failure.message.startswith("stage 'inverse' failed in test_stage_errors.py, line ")


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        (("event", "flaot32"), "dtype 'flaot32'; expected the name of a dtype"),
        (("event", float), "with the dtype <class 'float'>"),
        (("event", "object"), "dtype 'object'"),
        (("event", "float32", "GeW"), "units that astropy does not know.*GeW"),
        (("event", "float32", 3), "with the units 3"),
        (("event",), r"expected \(dimensions, dtype\[, units"),
        ("event", r"expected \(dimensions"),
        (((), "float32"), r"with the dimensions \(\)"),
        ((("event", 3), "float32"), "with the dimensions"),
    ],
)
def test_a_declaration_is_checked_when_the_stage_is_made(spec, message):
    with pytest.raises(SchemaError, match=f"'events/x'.*{message}"):
        et.stage(reads="events/time", writes={"events/x": spec})(lambda time: {})
    with pytest.raises(SchemaError, match=message):
        type("Mine", (Stage,), {"__module__": __name__, "writes": {"events/x": spec}})


def test_photo_electrons_are_a_unit():
    for units in ("pe", "pe2", "pe adu-1", "pe / ns", "m ns-1", "1e3 TeV"):
        et.stage(reads="events/time", writes={"events/x": ("event", "float32", units)})(lambda time: {})


def test_a_function_takes_what_it_reads():
    def two(a, b):
        return {}

    with pytest.raises(SchemaError, match=r"two\(a, b\) is given 1 columns, events/time; it must"):
        et.stage(reads="events/time", writes={"events/x": ("event", "float32")})(two)
    et.stage(reads=("events/time", "events/run"), writes={"events/x": ("event", "float32")})(two)
    et.stage(reads=("events/time", "events/run"), writes={"events/x": ("event", "float32")})(lambda *a: {})


@pytest.mark.parametrize(
    ("reference", "dims", "message"),
    [
        (
            "events/x",
            "evnt",
            r"dimensions \('evnt',\), but the rows of table 'events' are of the dimension 'event'",
        ),
        (
            "hits/x",
            ("hit", "sampel"),
            r"dimension 'sampel', which table 'hits' does not have; did you mean 'sample'",
        ),
        ("hist/x", "hit", r"there is no table 'hist'; did you mean 'hits'\?"),
    ],
)
def test_dimensions_are_checked_before_the_run(toy, reference, dims, message):
    wrong = et.stage(reads="events/time", writes={reference: (dims, "float32")})(lambda time: {})
    with pytest.raises(PipelineError, match=f"stage '<lambda>': writes '{reference}'.*{message}"):
        (et.open(toy("a", "toy 5 1")) | wrong).plan()


def test_a_single_array_may_be_returned(toy):
    writes = {"events/twice": ("event", "float64", "s")}
    twice = et.stage(reads="events/time", writes=writes)(lambda time: 2 * time)
    tree = (et.open(toy("a", "toy 5 1")) | twice).compute()
    np.testing.assert_array_equal(tree["events"]["twice"].values, 2 * tree["events"]["time"].values)

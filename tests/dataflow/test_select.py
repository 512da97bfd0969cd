"""Cuts as text: what they keep, what they are not, and marks that stages declare."""

import pickle

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

import etendue as et
from etendue.dataflow.cuts import CutError, evaluate, parse
from etendue.dataflow.pipeline import PipelineError
from etendue.dataflow.registry import ConfigError, parse_pipeline
from etendue.schema import SchemaError

NAN = np.nan
COLUMNS = {
    "x": np.array([1.0, 2.0, NAN, 4.0]),
    "y": np.array([4.0, NAN, NAN, 2.0]),
    "n": np.array([1, 2, 3, 4], dtype=np.uint16),
    "big": np.array([0, 2**53, 2**53 + 1, 2**64 - 1], dtype=np.uint64),
    "f": np.array([0.1, 0.2, 0.3, 0.4], dtype=np.float32),
    "good": np.array([True, False, True, False]),
    "name": np.array(["a", "b", "a", "c"], dtype=np.dtypes.StringDType()),
}


def kept(text):
    cut = parse(text)
    return evaluate(cut, {name: COLUMNS[name] for name in cut.names}).tolist()


@pytest.mark.parametrize(
    ("cut", "expected"),
    [
        ("x > 1", [0, 1, 0, 1]),
        ("not x > 1", [1, 0, 0, 0]),  # NaN: neither it nor its negation
        ("not (x > 1 and y > 1)", [1, 0, 0, 0]),  # false at once, whatever y
        ("x > 1 or y > 1", [1, 1, 0, 1]),
        ("not (x > 1 or y > 100)", [1, 0, 0, 0]),
        ("x != 1", [0, 1, 0, 1]),
        ("x == x", [1, 1, 0, 1]),
        ("isnan(y)", [0, 1, 1, 0]),
        ("not isfinite(x)", [0, 0, 1, 0]),
        ("1 < x <= 4 and good", [0, 0, 0, 0]),
        ("1 <= x < 4", [1, 1, 0, 0]),
        ("not 1 <= x < 4", [0, 0, 0, 1]),
        ("x * 2 + y > 5", [1, 0, 0, 1]),
        ("x / y < 1", [1, 0, 0, 0]),
        ("n - 3 < 0", [1, 1, 0, 0]),  # unsigned differences do not wrap
        ("-n < -3", [0, 0, 0, 1]),
        ("n % 2 == 0", [0, 1, 0, 1]),
        ("n % 0 == 0", [0, 0, 0, 0]),
        ("n ** 2 >= 9", [0, 0, 1, 1]),
        ("n in (1, 4)", [1, 0, 0, 1]),
        ("n not in (1, 4)", [0, 1, 1, 0]),
        ("x not in (1, 2)", [0, 0, 0, 1]),
        ("big == 9007199254740993", [0, 0, 1, 0]),
        ("big > -1", [1, 1, 1, 1]),
        ("f > 0.1", [1, 1, 1, 1]),  # float32(0.1) is above 0.1
        ("f >= 0.3", [0, 0, 1, 1]),
        ("name == 'a'", [1, 0, 1, 0]),
        ("name in ('b', 'c') or not good", [0, 1, 0, 1]),
        ("good", [1, 0, 1, 0]),
        ("not good and n > 2", [0, 0, 0, 1]),
        ("sqrt(x) >= 2 or log10(n) == 0", [1, 0, 0, 1]),
        ("abs(x - 3) < 1.5", [0, 1, 0, 1]),
    ],
)
def test_what_is_kept(cut, expected):
    assert kept(cut) == [bool(e) for e in expected]


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.integers(-5, 5), st.integers(-5, 5), st.lists(st.integers(-6, 6), min_size=1))
def test_cuts_are_what_python_says(a, b, values):
    cut = f"{a} < v <= {b} or not (v % 3 == 1 and v * v > {a}) and v != {b}"
    expected = [a < v <= b or not (v % 3 == 1 and v * v > a) and v != b for v in values]  # noqa: RUF021
    assert evaluate(parse(cut), {"v": np.array(values)}).tolist() == expected


@pytest.mark.parametrize(
    ("cut", "message"),
    [
        ("", "is not a cut"),
        ("x >", "is not a cut"),
        ("x > 1 & y > 2", "write 'and', 'or' between conditions"),
        ("~good", "write 'not' before a condition"),
        ("x + 1", "is not a condition"),
        ("5 > 3", "names no column"),
        ("__import__('os').system('true') == 0", "is not a value; the functions are abs"),
        ("open('/etc/passwd') == 1", "the functions are"),
        ("x.__class__ == 1", "is not a value"),
        ("x[0] > 1", "is not a value"),
        ("(lambda: x)() > 1", "is not a value"),
        ("[x for x in y] == 1", "is not a value"),
        ("x > 1 if y else z", "is not a condition"),
        ("x is None", "compare with"),
        ("x > None", "is not a value"),
        ("x in y", "after 'in' comes a list"),
        ("x > 1e999", "no number to compare with"),
        ("abs(x, y) > 1", "takes one value"),
        ("@camera > 1", "names no column"),
        ("f'{x}' == 'a'", "is not a value"),
        ("x > 1; y", "is not a cut"),
        ("x := 3", "is not a cut"),
        ("(" * 3000 + "x > 1" + ")" * 3000, "is not a cut"),
        ("not " * 2400 + "good", "is not a cut"),
        ("x > 1" + " or x > 1" * 2000, "characters"),
        ("x\0 > 1", "is not a cut"),
    ],
)
def test_what_is_no_cut(cut, message):
    with pytest.raises(ValidationError, match=message):
        et.Select(cut)


def test_a_cut_in_a_file_is_named_with_its_place():
    with pytest.raises(ConfigError, match=r"mine.toml: stage 1 \(Select\): cut = 'x >': 'x >' is not a cut"):
        parse_pipeline("[[stage]]\nuse = 'Select'\ncut = 'x >'", "mine.toml")
    with pytest.raises(ConfigError, match=r"stage 1 .*cut.*Field required"):
        parse_pipeline("[[stage]]\nuse = 'Select'", "mine.toml")
    pipeline = parse_pipeline("[[stage]]\nuse = 'Select'\ncut = 'x > 3'", "mine.toml")
    assert pipeline.stages == (et.Select("x > 3"),)
    assert pickle.loads(pickle.dumps(pipeline)) == pipeline


def test_events_are_kept_with_their_hits(toy):
    flow = et.open(toy("a", "toy 20 1"))
    whole, tree = flow.compute(), (flow | et.Select("event_id % 2 == 1 and time < 5")).compute()
    assert tree["events"]["event_id"].values.tolist() == [1, 3, 5, 7, 9]
    n_hits = whole["events"]["n_hits"].values
    first = np.concatenate([[0], np.cumsum(n_hits)])
    expected = [whole["hits"]["charge"].values[first[i] : first[i + 1]] for i in (1, 3, 5, 7, 9)]
    np.testing.assert_array_equal(tree["hits"]["charge"].values, np.concatenate(expected))


@pytest.mark.parametrize("cut", ["charge > 0", "hits/charge > 0", "@hits/charge > 0"])
def test_rows_of_a_child_are_kept(toy, cut):
    flow = et.open(toy("a", "toy 20 1"))
    charge = flow.compute()["hits"]["charge"].values
    tree = (flow | et.Select(cut)).compute()
    np.testing.assert_array_equal(tree["hits"]["charge"].values, charge[charge > 0])
    assert tree["events"].sizes["event"] == 20
    assert tree["events"]["n_hits"].values.sum() == (charge > 0).sum()


def test_what_one_cut_drops_no_other_brings_back(toy):
    flow = et.open(toy("a", "toy 20 1"))
    chain = et.Select("event_id >= 5") | et.Select("event_id < 8")
    assert (flow | chain).compute()["events"]["event_id"].values.tolist() == [5, 6, 7]
    turned = et.Select("event_id < 8") | et.Select("event_id >= 5")
    assert (flow | turned).compute()["events"]["event_id"].values.tolist() == [5, 6, 7]


def test_all_cameras_are_cut():
    flow = et.open("simulated://gamma?n_showers=10&seed=1")
    flow = flow | et.Select("true_image_sum > 100", table="@camera")
    assert flow.compute()["simcam"]["true_image_sum"].values.min() > 100


@pytest.mark.parametrize(
    ("cut", "message"),
    [
        ("chrage > 0", r"no column 'chrage' in events, hits; did you mean 'charge'\?"),
        ("hits/chrage > 0", r"no column 'chrage' in hits; did you mean 'charge'\?"),
        ("hit/charge > 0", r"no table 'hit'; did you mean 'hits'\?"),
        ("time/charge > 0", "no table 'time'.*write / with spaces around it to divide"),
        ("@hit/charge > 0", r"no table '@hit'; did you mean '@hits'\?"),
        ("charge > 0 and time < 5", "charge is of hits; time is of events; give each a Select of its own"),
        ("hits/charge > 0 and events/time < 5", "several tables"),
        ("samples > 0", "hits/samples has a value for each sample"),
        ("charge", "charge is not a condition but of float32; compare it"),
        ("charge == 'a'", "compares text with a number"),
        ("time and event_id > 3", "time is not a condition"),
    ],
)
def test_a_cut_is_checked_before_the_run(toy, cut, message):
    with pytest.raises(PipelineError, match=rf"stage .Select\(.*{message}"):
        (et.open(toy("a", "toy 5 1")) | et.Select(cut)).plan()


def test_a_name_of_several_tables_is_asked_for():
    flow = et.open("simulated://gamma?n_showers=10&seed=1")
    with pytest.raises(PipelineError, match="could be about events, simcam; write events/event_id, or"):
        (flow | et.Select("event_id > 3")).plan()


@pytest.mark.parametrize("name", ["selectd", "Selected", "select", "seleted", "selected_"])
def test_a_misspelt_mark_is_refused_when_the_stage_is_made(name):
    with pytest.raises(SchemaError, match="selects nothing: marks of rows to keep are called 'selected'"):
        et.stage(reads="events/time", writes={f"events/{name}": ("event", "bool")})(lambda time: {})


def test_other_columns_of_bools_may_be_written():
    for name in ("is_good", "triggered", "selection_1", "preselection"):
        et.stage(reads="events/time", writes={f"events/{name}": ("event", "bool")})(lambda time: {})
    et.stage(reads="events/time", writes={"events/selects": ("event", "int32")})(lambda time: {})


@et.stage(reads="events/time", marks="events")
def early(time, *, before: float = 3.0):
    """Keep early events."""
    return time < before


def test_a_stage_declares_its_mark(toy):
    flow = et.open(toy("a", "toy 20 1"))
    assert (flow | early(before=2.0)).compute()["events"]["time"].values.tolist() == [0, 0.5, 1, 1.5]


@pytest.mark.parametrize("returned", [{}, {"events/selectd": np.ones(20, bool)}, None])
def test_a_mark_that_is_not_returned_is_an_error(toy, returned):
    @et.stage(reads="events/time", marks="events")
    def forgetful(time):
        return returned

    with pytest.raises(Exception, match=r"'forgetful'.*(did not|does not|returned NoneType)"):
        (et.open(toy("a", "toy 20 1")) | forgetful).compute()


def test_a_mark_is_one_bool_a_row():
    with pytest.raises(SchemaError, match="declare it as one bool a row"):
        et.stage(reads="events/time", writes={"events/selected": ("event", "int32")})(lambda time: {})


def test_text_is_compared_with_text():
    with pytest.raises(CutError, match="compares text with a number"):
        kept("name > 3")
    with pytest.raises(CutError, match="is text; it cannot be calculated with"):
        kept("name + 'a' == 'aa'")

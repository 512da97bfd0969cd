"""Requests: what they read, and which tables and columns go together."""

import numpy as np
import pytest

from etendue.histogram import Request
from etendue.histogram.axis import Integer, Regular, Variable
from etendue.schema import Schema, SchemaError

LENGTH = Regular("lstcam/length", 10, 0, 5)


@pytest.fixture(scope="module")
def schema(partition_of) -> Schema:
    return partition_of(0, 1).schema


def test_reads_each_column_once():
    request = Request(
        [LENGTH, Regular("events/x", 3, 0, 1)], weight="events/x", where="~lstcam/selected_by_hand"
    )
    assert request.reads == ("lstcam/length", "events/x", "lstcam/selected_by_hand")
    assert (request.mask, request.negated) == ("lstcam/selected_by_hand", True)
    assert request.shape == (12, 5)
    assert request.name == "length_x"


def test_requests_compare_by_what_they_ask_for():
    assert Request(LENGTH) == Request([Regular("lstcam/length", 10, 0, 5)])
    assert hash(Request(LENGTH)) == hash(Request([LENGTH]))
    assert Request(LENGTH) != Request(LENGTH, where="events/valid")


def test_the_rows_of_the_lowest_table_count(schema):
    (target,) = Request([Regular("events/x", 3, 0, 1), Regular("islands/size", 3, 0, 1)]).targets(schema)
    assert target.table.name == "islands"
    (target,) = Request([Regular("lstcam/image", 3, 0, 1)], where="events/valid").targets(schema)
    assert (target.table.name, target.inner) == ("lstcam", ("pixel",))


def test_a_kind_stands_for_all_its_tables(schema):
    targets = Request([Regular("@camera/length", 3, 0, 1), Regular("events/x", 3, 0, 1)]).targets(schema)
    assert [target.table.name for target in targets] == ["lstcam", "nectarcam"]
    assert targets[1].columns == {"@camera/length": "nectarcam/length", "events/x": "events/x"}


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        (Request(Regular("lstcam/lenght", 3, 0, 1)), "did you mean 'length'"),
        (Request(Regular("lstcm/length", 3, 0, 1)), "did you mean 'lstcam'"),
        (Request(Regular("@telescope/length", 3, 0, 1)), "no table matches '@telescope'"),
        (Request([LENGTH, Regular("nectarcam/length", 3, 0, 1)]), "does not own the rows"),
        (Request([LENGTH, Regular("@camera/length", 3, 0, 1)]), "does not own the rows"),
        (Request([Regular("@camera/length", 3, 0, 1), Regular("l*/length", 3, 0, 1)]), "make it two"),
        (
            Request(LENGTH, where="lstcam/length"),
            "where takes a column of booleans; lstcam/length is float64",
        ),
        (Request(Integer("events/x", 0, 3)), "Integer axis takes a column of integers; events/x is float64"),
        (Request(Regular("array/pos_x", 3, 0, 1)), "array/pos_x is of a static table"),
        (Request(LENGTH, weight="events/wieght"), "did you mean 'weight'"),
    ],
)
def test_what_does_not_fit_is_refused(schema, request_, message):
    with pytest.raises(SchemaError, match=message):
        request_.check(schema)


def test_other_inner_dimensions_are_refused(schema):
    cut = schema["lstcam"].variables["image"].__class__("trace", ("readout", "sample"), "float32")
    with pytest.raises(SchemaError, match=r"\('sample',\)"):
        Request([Regular("lstcam/image", 3, 0, 1), Regular("lstcam/trace", 3, 0, 1)]).check(
            schema.with_variables({"lstcam/trace": cut})
        )


def test_nothing_to_fill_and_too_much():
    with pytest.raises(TypeError, match="needs axes"):
        Request([])
    with pytest.raises(TypeError, match="needs axes"):
        Request("events/x")
    with pytest.raises(ValueError, match="is the most"):
        Request(
            [Regular("events/x", 2000, 0, 1), Variable("events/y", np.arange(2000)), LENGTH, LENGTH, LENGTH]
        )

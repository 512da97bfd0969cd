"""Accumulators: beside hist filled at once, and the same bits however the data are cut."""

import math
import pickle
from concurrent.futures import ThreadPoolExecutor

import hist
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from etendue.histogram import Accumulator, Request, pooled
from etendue.histogram.axis import Integer, Log, Regular, Variable
from etendue.schema import SchemaError

X, Y = Regular("events/x", 20, -3, 3), Regular("events/y", 7, -1, 2)
LENGTH = Log("@camera/length", 12, 0.1, 10)
REQUESTS = (
    Request([X, Y, Integer("events/k", 0, 8)]),
    Request([X, Y], weight="events/weight", where="events/valid"),
    Request([LENGTH, X], weight="events/weight"),
    Request(Variable("@camera/image", [0, 1, 5, 50]), where="@camera/image_mask"),
    Request(
        [Variable("lstcam/image", [0, 1, 5, 50]), Regular("lstcam/length", 4, 0, 2)], where="~events/valid"
    ),
    Request([Integer("islands/size", 0, 90), X], weight="lstcam/length"),
)


def filled(requests, *partitions) -> Accumulator:
    accumulator = Accumulator(requests)
    for partition in partitions:
        accumulator.fill(partition)
    return accumulator


def views(accumulator) -> list[bytes]:
    return [histogram.view(flow=True).tobytes() for histogram in accumulator.results()]


def histogram_of(request, *columns, where=True, storage=None) -> hist.Hist:
    axes = [axis.to_hist(f"a{i}") for i, axis in enumerate(request.axes)]
    columns = np.broadcast_arrays(*columns, where)
    return hist.Hist(*axes, storage=storage or hist.storage.Int64()).fill(
        *(c[columns[-1]] for c in columns[:-1])
    )


def assert_weighted(histogram, request, columns, weights) -> None:
    """Compare with fsum, bin by bin; bins as hist numbers them."""
    numbers = [
        np.asarray(axis.to_hist("a").index(column)) + 1
        for axis, column in zip(request.axes, columns, strict=True)
    ]
    flat = np.ravel_multi_index(numbers, request.shape)
    view = histogram.view(flow=True).ravel()
    for b in range(request.n_bins):
        inside = weights[flat == b]
        assert view["value"][b] == math.fsum(inside)
        assert view["variance"][b] == math.fsum(inside**2)


@pytest.fixture(scope="module")
def partition(partition_of):
    return partition_of(3, 400)


@pytest.fixture(scope="module")
def owned(partition):
    """Column of an owner for each row of a camera table, made the plain way."""

    def column(name, table):
        return np.repeat(partition[name], partition[f"events/n_{table}"])

    return column


def test_events_as_hist(partition):
    (histogram,) = filled(REQUESTS[:1], partition).results()
    expected = histogram_of(REQUESTS[0], *(partition[f"events/{c}"] for c in "xyk"))
    np.testing.assert_array_equal(histogram.view(flow=True), expected.view(flow=True))
    assert histogram.storage_type is hist.storage.Int64
    assert [axis.name for axis in histogram.axes] == ["x", "y", "k"]


def test_weights_as_fsum(partition):
    (histogram,) = filled(REQUESTS[1:2], partition).results()
    valid = partition["events/valid"]
    columns = [partition["events/x"][valid], partition["events/y"][valid]]
    assert_weighted(histogram, REQUESTS[1], columns, partition["events/weight"][valid])
    assert histogram.storage_type is hist.storage.Weight
    expected = histogram_of(REQUESTS[1], *columns, storage=hist.storage.Weight())
    np.testing.assert_array_equal(histogram.axes.edges[0], expected.axes.edges[0])


def test_owners_values_count_for_each_row_of_each_camera(partition, owned):
    (histogram,) = filled(REQUESTS[2:3], partition).results()
    cameras = ("lstcam", "nectarcam")
    length = np.concatenate([partition[f"{c}/length"] for c in cameras])
    x, weight = (np.concatenate([owned(f"events/{name}", c) for c in cameras]) for name in ("x", "weight"))
    assert_weighted(histogram, REQUESTS[2], [length, x], weight)


def test_owners_of_owners(partition, owned):
    (histogram,) = filled(REQUESTS[5:], partition).results()
    n_islands = partition["lstcam/n_islands"]
    x, length = (np.repeat(c, n_islands) for c in (owned("events/x", "lstcam"), partition["lstcam/length"]))
    assert_weighted(histogram, REQUESTS[5], [partition["islands/size"], x], length)


def test_each_pixel_counts(partition, owned):
    by_mask, by_event = filled(REQUESTS[3:5], partition).results()
    expected = sum(
        histogram_of(REQUESTS[3], partition[f"{c}/image"], where=partition[f"{c}/image_mask"])
        for c in ("lstcam", "nectarcam")
    )
    np.testing.assert_array_equal(by_mask.view(flow=True), expected.view(flow=True))
    invalid = ~owned("events/valid", "lstcam")[:, None]
    expected = histogram_of(
        REQUESTS[4], partition["lstcam/image"], partition["lstcam/length"][:, None], where=invalid
    )
    np.testing.assert_array_equal(by_event.view(flow=True), expected.view(flow=True))


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 2**32 - 1), st.integers(0, 60), st.integers(1, 6))
def test_same_bits_for_any_order_and_cut(partition_of, pieces_of, seed, n_events, n_pieces):
    rng = np.random.default_rng(seed)
    partition = partition_of(seed, n_events)
    pieces = pieces_of(partition, rng, n_pieces)
    expected = views(filled(REQUESTS, partition))
    assert views(filled(REQUESTS, *pieces)) == expected
    driver = Accumulator(REQUESTS)
    for piece in pieces:
        driver.add(pickle.loads(pickle.dumps(filled(REQUESTS, piece).payload())))
    assert views(driver) == expected
    first, *others = (filled(REQUESTS, piece) for piece in pieces)
    for other in others:
        first.merge(other)
    assert views(pickle.loads(pickle.dumps(first))) == expected


def test_same_bits_from_any_number_of_threads(partition, pieces_of):
    pieces = pieces_of(partition, np.random.default_rng(0), 12)

    def task(span):
        with pooled(REQUESTS) as accumulator:
            for piece in span:
                accumulator.fill(piece)
            return accumulator.payload()

    expected = views(filled(REQUESTS, partition))
    for n_threads, size in ((1, 5), (3, 2), (4, 1)):
        driver = Accumulator(REQUESTS)
        with ThreadPoolExecutor(n_threads) as threads:
            for payload in threads.map(task, [pieces[i : i + size] for i in range(0, 12, size)]):
                driver.add(payload)
        assert views(driver) == expected


def test_a_thread_uses_its_memory_again_and_starts_empty(partition):
    with pooled(REQUESTS) as first:
        first.fill(partition)
        expected = pickle.dumps(first.payload())
    with pooled(REQUESTS) as second:
        assert second is first
        assert not any(part.bins.any() for part in second.payload().parts)
        second.fill(partition)
        assert pickle.dumps(second.payload()) == expected
    with pooled(REQUESTS[:1]) as other:
        assert other is not first


def test_a_task_that_failed_leaves_nothing_behind(partition):
    def fail():
        with pooled(REQUESTS) as accumulator:
            accumulator.fill(partition)
            raise OSError

    with pytest.raises(OSError):  # noqa: PT011
        fail()
    with pooled(REQUESTS) as accumulator:
        assert views(accumulator) == views(Accumulator(REQUESTS))


def test_payload_is_compact(one_table):
    axes = [Regular("events/x", 1000, 0, 1), Regular("events/y", 1000, 0, 1)]
    few = one_table(x=np.linspace(0, 1, 100), y=np.linspace(0, 1, 100), w=np.ones(100))
    rng = np.random.default_rng(0)
    many = one_table(x=rng.random(100_000), y=rng.random(100_000), w=np.ones(100_000))
    for partition, request, limit in (
        (few, Request(axes), 100 * 5 + 1000),
        (few, Request(axes, weight="events/w"), 100 * (4 + 2 * 16) + 1000),
        (many, Request(axes), 10**6 // 8 + 100_000 + 1000),
    ):
        assert len(pickle.dumps(filled([request], partition).payload())) < limit


def test_weights_that_are_not_finite_show_as_in_hist(one_table):
    x = np.array([0.5, 0.5, 1.5, 2.5, 2.5, 3.5, 4.5])
    weight = np.array([1.0, np.inf, np.nan, np.inf, -np.inf, 1e200, 2.0])
    request = Request(Regular("events/x", 5, 0, 5), weight="events/w")
    accumulator = Accumulator([request])
    for i in range(len(x)):
        accumulator.merge(filled([request], one_table(x=x[i : i + 1], w=weight[i : i + 1])))
    (histogram,) = accumulator.results()
    expected = hist.Hist(hist.axis.Regular(5, 0, 5), storage=hist.storage.Weight()).fill(x, weight=weight)
    np.testing.assert_array_equal(histogram.values(flow=True), expected.values(flow=True))
    np.testing.assert_array_equal(histogram.variances(flow=True), expected.variances(flow=True))


def test_masked_weights_do_not_count_even_if_not_finite(one_table):
    request = Request(Regular("events/x", 1, 0, 1), weight="events/w", where="events/ok")
    ok = np.array([True, False, False])
    partition = one_table(x=np.full(3, 0.5), w=np.array([2.0, np.nan, np.inf]), ok=ok)
    (histogram,) = filled([request], partition).results()
    assert histogram.values()[0] == 2.0
    assert partition["events/w"][0] == 2.0


def test_counts_beyond_32_bits_add_up():
    request = Request(X)
    driver = Accumulator([request])
    payload = Accumulator([request]).payload()
    (part,) = payload.parts
    big = type(part)(np.array([3], dtype=np.int32), np.array([2**53 + 1], dtype=np.uint64))
    for _ in range(2):
        driver.add(type(payload)((big,)))
    assert driver.results()[0].view(flow=True)[3] == 2**54 + 2


def test_an_absent_table_is_no_rows(partition):
    tables = {name: columns for name, columns in partition.tables.items() if name != "nectarcam"}
    without = type(partition)(0, partition.schema, tables)
    (histogram,) = filled([Request(LENGTH)], without).results()
    assert histogram.sum(flow=True) == partition.rows("lstcam") > 0


def test_axes_are_labelled_with_units_and_names_differ(partition):
    request = Request([LENGTH, X, X], name="lengths")
    (histogram,) = Accumulator([request], partition.schema).results()
    assert [axis.label for axis in histogram.axes] == ["length [deg]", "x [m]", "x [m]"]
    assert [axis.name for axis in histogram.axes] == ["length_0", "x_1", "x_2"]
    assert histogram.name == "lengths"


def test_errors_come_before_any_data(partition):
    with pytest.raises(SchemaError, match="did you mean 'length'"):
        Accumulator([Request(Regular("lstcam/lenght", 3, 0, 1))], partition.schema)
    with pytest.raises(ValueError, match="merge accumulators of equal requests"):
        Accumulator(REQUESTS[:1]).merge(Accumulator(REQUESTS[1:2]))

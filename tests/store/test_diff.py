"""Differences of two passes, against passes that are in memory as a whole."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from etendue.schema import Schema, SchemaError, Table, variables
from etendue.store.diff import diff
from etendue.store.distribution import Binning, Moments, chi_square, kolmogorov_distance
from etendue.store.draw import draw
from etendue.store.matching import match_rows

from .events import SCHEMA, cut, keep, make_events, write_events

EVENTS = make_events(300, seed=1)
EDGES = [0, 40, 40, 130, 131, 300]


def changed(table, column, values):
    return {**EVENTS, table: {**EVENTS[table], column: values}}


def by_name(found):
    return {column.name: column for column in found.columns}


@pytest.fixture
def store(tmp_path):
    """A store with the events as pass `a`."""
    path = str(tmp_path / "s")
    write_events(path, "a", cut(EVENTS, EDGES))
    return path


def test_equal_passes(store):
    write_events(store, "b", cut(EVENTS, EDGES))
    found = diff(f"{store}@a", "b")
    assert found.is_empty
    assert len(found.equal) == sum(len(table.variables) for table in SCHEMA.values()) + 5  # of failures
    assert found.partitions == (5, 0, 0)


def test_what_moved(store):
    energy = EVENTS["events"]["energy"].copy()
    energy[150:] *= 1.5  # of the last partition only
    energy[150:160] = np.nan
    write_events(store, "b", cut(changed("events", "energy", energy), EDGES))
    found = diff(f"{store}@a", "b")
    (column,) = found.columns
    assert column.name == "events/energy"
    assert column.partitions.tolist() == [4]
    a, b = column.moments
    before, after = EVENTS["events"]["energy"], energy[np.isfinite(energy)]
    assert (a.n, a.n_nan, b.n, b.n_nan) == (300, 0, 290, 10)
    expected = [before.mean(), before.std(), before.min(), before.max()]
    np.testing.assert_allclose([a.mean, a.std, a.min, a.max], expected, rtol=1e-12)
    np.testing.assert_allclose([b.mean, b.std], [after.mean(), after.std()], rtol=1e-12)
    assert column.distance == pytest.approx(stats.ks_2samp(before, after).statistic, abs=0.02)
    assert found.matched == {"events": 300}
    assert (column.matched.rows, column.matched.different) == (300, 150)
    shift = (energy - before)[np.isfinite(energy)]
    assert column.matched.mean_shift == pytest.approx(shift.mean())
    assert column.matched.largest == pytest.approx(np.abs(shift).max())
    parsed = json.loads(json.dumps(found.to_json(), allow_nan=False))
    assert parsed["columns"][0]["b"]["n_nan"] == 10
    assert sum(parsed["columns"][0]["a"]["counts"]) == 300


def test_columns_of_one_pass_and_static_and_condition_tables(store):
    extra = Table("events", "event", variables("event", zenith=("float32", "deg", "")))
    schema = Schema({**SCHEMA, "events": SCHEMA["events"].with_variables(extra.variables.values())})
    tables = changed("periods", "gain", EVENTS["periods"]["gain"] + 1)
    partitions = cut(tables, EDGES)
    for partition in partitions:
        partition["events"]["zenith"] = np.zeros(len(partition["events"]["run"]), np.float32)
    write_events(store, "b", partitions, schema)
    found = diff(f"{store}@a", f"{store}@b")
    assert found.only_b == ["events/zenith"]
    assert found.only_a == []
    assert [column.name for column in found.columns] == ["periods/gain"]
    np.testing.assert_allclose(found.columns[0].moments[1].mean - found.columns[0].moments[0].mean, 1)
    assert found.columns[0].partitions.tolist() == [0]


def test_recut_passes_are_equal_row_by_row(store):
    """However the second pass is cut, every row finds its fellow."""
    write_events(store, "b", cut(EVENTS, [0, 7, 100, 300]))
    found = diff(f"{store}@a", "b", ["events/*", "hits/*"])
    assert found.is_empty
    assert "hits/samples" in found.recut
    assert found.matched == {"events": 300, "hits": len(EVENTS["hits"]["charge"])}


def test_rows_are_matched_where_the_second_pass_lost_some(tmp_path, store):
    """Selected events, another store, other partitions, and hits that another cut dropped."""
    rng = np.random.default_rng(5)
    mask = rng.random(300) < 0.7
    fewer = keep(EVENTS, mask)
    charge = fewer["hits"]["charge"] + 1
    fewer = {**fewer, "hits": {**fewer["hits"], "charge": charge}}
    write_events(tmp_path / "t", "b", cut(fewer, [0, 50, mask.sum()]))
    found = diff(f"{store}@a", f"{tmp_path / 't'}@b")
    column = by_name(found)["hits/charge"]
    assert found.rows["events"] == (300, mask.sum())
    assert found.matched["events"] == mask.sum()
    assert found.matched["hits"] == len(charge) == column.matched.different
    assert column.matched.mean_shift == pytest.approx(1, abs=1e-6)
    assert by_name(found)["hits/samples"].matched.different == 0


@pytest.mark.parametrize("without", [(2,), (0, 4), range(5)], ids=["one", "ends", "all"])
def test_partitions_without_rows_of_a_table(tmp_path, store, without):
    """As of a camera that had no part in the events of a file."""

    def passes(scale):
        for n, tables in enumerate(cut(EVENTS, EDGES)):
            hits = {**tables["hits"], "samples": tables["hits"]["samples"] + 3 * scale}
            if n in without:
                hits = {name: column[:0] for name, column in hits.items()}
                tables["events"] = {**tables["events"], "n_hits": 0 * tables["events"]["n_hits"]}
            yield {**tables, "hits": hits}

    a, b = (
        write_events(tmp_path / f"{n}", "p", list(passes(n))) and f"{tmp_path / f'{n}'}@p" for n in (0, 1)
    )
    n_hits = sum(len(tables["hits"]["charge"]) for tables in passes(0))
    found = diff(a, b)
    assert found.matched.get("hits", 0) == n_hits
    assert [column.name for column in found.columns] == (["hits/samples"] if n_hits else [])
    for column in found.columns:
        assert (column.matched.rows, column.matched.different) == (n_hits, n_hits)
        assert (column.matched.mean_shift, column.matched.largest) == (3, 3)
    against = by_name(diff(a, f"{store}@a"))  # where the other has rows
    assert against["events/n_hits"].matched.rows == 300


def test_text_and_shapes(store):
    labels = EVENTS["events"]["label"].copy()
    labels[3] = "moon"
    write_events(store, "b", cut(changed("events", "label", labels), EDGES))
    (column,) = diff(f"{store}@a", "b").columns
    assert column.moments is None
    assert (column.matched.rows, column.matched.different) == (300, 1)
    assert column.partitions.tolist() == [0]


def test_errors(store):
    with pytest.raises(ValueError, match="no pass 'nothing'"):
        diff(f"{store}@a", "nothing")
    with pytest.raises(SchemaError, match="neither pass has a column"):
        diff(f"{store}@a", f"{store}@a", ["events/eenergy"])


def test_pictures(store, tmp_path):
    write_events(store, "b", cut(changed("events", "energy", EVENTS["events"]["energy"] * 2), EDGES))
    found = diff(f"{store}@a", "b")
    (picture,) = draw(found, tmp_path / "moved.png")
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert [path.name for path in draw(found, tmp_path / "folder")] == ["events.energy.png"]
    assert draw(diff(f"{store}@a", "a"), tmp_path / "nothing.png") == []


NUMBERS = st.floats(width=64) | st.sampled_from([0.0, -0.0, 1e-300, 1e300, np.inf, -np.inf, np.nan])


@settings(deadline=None, max_examples=50)
@given(values=st.lists(NUMBERS, max_size=50), cuts=st.lists(st.integers(0, 50), max_size=3))
def test_moments_do_not_depend_on_the_partitions(values, cuts):
    values = np.array([v for v in values if not abs(v) > 1e100], np.float64)
    values = np.append(values, [np.inf, np.nan])
    whole = Moments.of(values)
    parts = sum((Moments.of(part) for part in np.split(values, sorted(cuts))), start=Moments())
    finite = values[np.isfinite(values)]
    for found in (whole, parts):
        assert (found.n, found.n_nan, found.n_inf) == (
            len(finite),
            np.isnan(values).sum(),
            np.isinf(values).sum(),
        )
        assert found.coarse.sum() == len(finite)
    if len(finite):
        np.testing.assert_allclose(parts.mean, finite.mean(), rtol=1e-9, atol=1e-9 * np.abs(finite).max())
        np.testing.assert_allclose(parts.std, finite.std(), rtol=1e-6, atol=1e-9 * np.abs(finite).max())
        assert (parts.min, parts.max) == (finite.min(), finite.max())


@settings(deadline=None)
@given(values=st.lists(st.floats(-1e150, 1e150), min_size=1, max_size=300))
def test_bins_hold_all_but_the_tails(values):
    values = np.array(values)
    moments = Moments.of(values)
    binning = Binning.over(moments, integer=False)
    counts = binning.count(values)
    assert counts.sum() == len(values)
    assert counts[0] + counts[-1] <= 2 * 0.005 * len(values)
    slack = 0.5 + 1e-12 * np.abs(values).max()
    assert values.min() - slack <= binning.low < binning.high <= values.max() + slack


@given(values=st.lists(st.integers(-(2**40), 2**40), min_size=1, max_size=100))
def test_integers_have_bins_of_their_own(values):
    values = np.array(values)
    binning = Binning.over(Moments.of(values), integer=True)
    assert binning.count(values).sum() == len(values)
    assert binning.n_bins <= 101
    if np.ptp(values) < 100:
        counts = binning.count(values)
        numbers, times = np.unique(values, return_counts=True)
        np.testing.assert_array_equal(counts[1:-1][numbers - values.min()], times)


def test_figures_against_scipy():
    rng = np.random.default_rng(3)
    a, b = (
        np.histogram(rng.normal(0, 1, 5000), 30, (-4, 4))[0],
        np.histogram(rng.normal(0.1, 1, 3000), 30, (-4, 4))[0],
    )
    filled = (a + b) > 0
    truth = stats.chi2_contingency(np.array([a, b])[:, filled], correction=False)
    assert chi_square(a, b) == pytest.approx(truth.statistic / truth.dof)
    distance = np.abs(np.cumsum(a) / a.sum() - np.cumsum(b) / b.sum()).max()
    assert kolmogorov_distance(a, b) == pytest.approx(distance)
    assert kolmogorov_distance(a, a) == chi_square(a, a) == 0
    assert np.isnan(kolmogorov_distance(a, 0 * b))


@given(
    a=st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), max_size=20),
    b=st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), max_size=20),
)
def test_matched_rows_have_equal_keys_in_order(a, b):
    keys_a, keys_b = (np.array(keys, np.int64).reshape(-1, 2) for keys in (a, b))
    rows_a, rows_b = match_rows(list(keys_a.T), list(keys_b.T))
    np.testing.assert_array_equal(keys_a[rows_a], keys_b[rows_b])
    expected = [key for key in set(a) if a.count(key) == b.count(key)]
    assert sorted(map(tuple, keys_a[rows_a].tolist())) == sorted(
        k for key in expected for k in [key] * a.count(key)
    )
    for key in expected:
        mine = rows_a[(keys_a[rows_a] == key).all(axis=1)]
        assert mine.tolist() == sorted(mine.tolist())

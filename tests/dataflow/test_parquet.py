"""The export to Parquet, read back by pyarrow and pandas."""

import json

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from etendue.dataflow.parquet import write_parquet
from tests.store.ragged import STATIC

from .exported import ROWS, SCHEMA, owned_partitions, truth

pq = pytest.importorskip("pyarrow.parquet")

ROW_COUNTS = [(3, 4, 0, 1), (0, 0, 0, 0), (5, 6, 2, 0), (2, 0, 0, 1)]
PARTITIONS = owned_partitions(ROW_COUNTS, seed=1)


def column_of(path, table, name, shape):
    """A column as an array, with its inner dimensions."""
    column = pq.read_table(path / f"{table}.parquet", columns=[name])[name]
    values = np.array(column.to_pylist(), dtype=object if shape == () else None)
    return values.reshape((len(column), *shape))


@settings(max_examples=10, deadline=None)
@given(rows=st.lists(ROWS, max_size=4), seed=st.integers(0, 9))
def test_pyarrow_reads_every_column(tmp_path_factory, rows, seed):
    path = tmp_path_factory.mktemp("p") / "run.parquet"
    partitions = owned_partitions(rows, seed)
    counts = write_parquet(path, SCHEMA, partitions, STATIC)
    for table in SCHEMA.values():
        for name, variable in table.variables.items():
            if name == "empty":
                assert name not in pq.read_schema(path / f"{table.name}.parquet").names
                continue
            expected = truth(partitions, table.name, name)
            assert counts[table.name] == len(expected)
            read = column_of(path, table.name, name, expected.shape[1:])
            if variable.dtype.startswith("float"):
                read = read.astype(variable.dtype)
            np.testing.assert_array_equal(
                read, expected.astype(object) if variable.dtype == "str" else expected
            )


def test_fields_and_row_groups(tmp_path):
    path = tmp_path / "run.parquet"
    write_parquet(path, SCHEMA, PARTITIONS, STATIC, {"labels": {"cam": "x"}})
    file = pq.ParquetFile(path / "cam.parquet")
    assert [file.metadata.row_group(n).num_rows for n in range(file.num_row_groups)] == [4, 6]
    fields = file.schema_arrow
    assert fields.field("image").metadata[b"units"] == b"pe"
    assert fields.field("image").metadata[b"dimensions"] == b"readout pixel"
    assert str(fields.field("image").type).startswith("fixed_size_list<")
    assert fields.field("image").type.list_size == 7
    assert fields.field("r0_waveform").type.value_type.value_type.list_size == 7
    assert str(fields.field("image_mask").type.value_type) == "bool"
    top = pq.read_schema(path / "events.parquet").metadata
    assert json.loads(top[b"etendue"]) == {"labels": {"cam": "x"}}


def test_pandas_joins_rows_to_their_events(tmp_path):
    path = tmp_path / "run.parquet"
    write_parquet(path, SCHEMA, PARTITIONS, STATIC)
    events = pd.read_parquet(path / "events.parquet")
    cam = pd.read_parquet(path / "cam.parquet", columns=["event", "event_id", "vector_index", "valid"])
    assert events["event"].tolist() == list(range(10))
    assert cam.groupby("event").size().reindex(range(10), fill_value=0).tolist() == events["n_cam"].tolist()
    merged = cam.merge(events, on="event", suffixes=("", "_of_event"))
    assert (merged["event_id"] == merged["event_id_of_event"]).all()
    for row in events.itertuples():
        mine = cam.iloc[row.first_cam : row.first_cam + row.n_cam]
        assert (mine["event"] == row.event).all()
        assert mine["vector_index"].tolist() == list(range(row.n_cam))
    np.testing.assert_array_equal(cam["valid"], truth(PARTITIONS, "cam", "valid"))


def test_what_is_there_is_not_written_over(tmp_path):
    path = tmp_path / "run.parquet"
    path.write_text("something else")
    with pytest.raises(FileExistsError, match="there already, and is not written over"):
        write_parquet(path, SCHEMA, PARTITIONS, STATIC)
    assert path.read_text() == "something else"


def test_a_run_that_fails_leaves_nothing(tmp_path):
    def partitions():
        yield PARTITIONS[0]
        raise RuntimeError("broken input")

    with pytest.raises(RuntimeError, match="broken input"):
        write_parquet(tmp_path / "run.parquet", SCHEMA, partitions(), STATIC)
    assert list(tmp_path.iterdir()) == []

"""Names that a foreign store may bring: none leads out of what an export makes."""

import numpy as np
import pytest

from etendue.dataflow.hdf5 import write_hdf5
from etendue.dataflow.parquet import write_parquet
from etendue.dataflow.plain_zarr import write_zarr
from etendue.provenance.crate import _locate
from etendue.schema import Schema, SchemaError, Table, variables
from etendue.store.diff import ColumnDifference, Difference
from etendue.store.distribution import Binning
from etendue.store.draw import draw
from etendue.store.paths import StoreError
from tests.store.events import SCHEMA


@pytest.mark.parametrize("write", [write_hdf5, write_parquet, write_zarr])
@pytest.mark.parametrize(
    ("table", "column"),
    [
        ("../../out", "x"),
        ("a/../../out", "x"),
        ("/out", "x"),
        ("t", "../../out"),
        ("a\\b", "x"),
        ("t", "x\n"),
    ],
)
def test_names_that_lead_out_are_refused(tmp_path, write, table, column):
    extra = Table(table, "row", variables("row", **{column: ("int64", "", "")}), role="static")
    (tmp_path / "a" / "b").mkdir(parents=True)
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(SchemaError, match="is not exported"):
        write(
            tmp_path / "a" / "b" / "out",
            Schema({**SCHEMA, table: extra}),
            [],
            {table: {column: np.arange(3)}},
        )
    assert sorted(tmp_path.rglob("*")) == before


def test_pictures_stay_in_their_folder(tmp_path):
    counts = np.array([0, 1, 0])
    column = ColumnDifference(
        "../../up/x", "", np.arange(1), binning=Binning(0, 1, 1), counts=(counts, counts)
    )
    (made,) = draw(Difference("a", "b", {}, (1, 0, 0), [], [], [], [column]), tmp_path / "pictures")
    assert made.resolve().parent == tmp_path / "pictures"


def test_addresses_of_a_crate_do_not_lead_out_of_it(tmp_path):
    assert _locate(f"{tmp_path}/crate/../secret", tmp_path / "crate") == (tmp_path / "secret").as_uri()
    assert _locate(f"{tmp_path}/crate/s.etendue", tmp_path / "crate") == "s.etendue"


@pytest.mark.parametrize("write", [write_hdf5, write_parquet, write_zarr])
def test_places_that_take_no_file_are_told_in_words(tmp_path, write):
    for length in (250, 252, 300):  # with what stands beside it while it is made
        with pytest.raises(StoreError, match=r"cannot be written: the name .* bytes; give a shorter name"):
            write(tmp_path / ("x" * length), SCHEMA, [], {})
    (tmp_path / "file").touch()
    with pytest.raises(StoreError, match=r"file is a file; give a path in a folder"):
        write(tmp_path / "file" / "out", SCHEMA, [], {})
    assert [path.name for path in tmp_path.iterdir()] == ["file"]

"""The source ``prometheus``: the Parquet files of the simulation Prometheus (arXiv:2304.14526).

A file has one row an event and two columns: ``mc_truth``, a record of the neutrino with lists of the
particles of its final state, and ``photons``, a record of lists with one entry a photon that a module saw.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from etendue.dataflow.partition import Partition
from etendue.dataflow.source import OnError, Scan, SourceError
from etendue.schema import Columns, Schema, Table, variables

#: Units of fields, by the end of their names; angles come in radians and leave in degrees.
_UNITS = {"energy": "GeV", "zenith": "deg", "azimuth": "deg", "x": "m", "y": "m", "z": "m", "depth": "g cm-2"}
#: What photons are called here.
_HITS = {
    "t": ("t", "float64", "ns", "time that the photon came"),
    "sensor_pos_x": ("pos_x", "float64", "m", "position of the module"),
    "sensor_pos_y": ("pos_y", "float64", "m", "position of the module"),
    "sensor_pos_z": ("pos_z", "float64", "m", "position of the module"),
    "string_id": ("string", "int32", "", "string number"),
    "sensor_id": ("om", "int32", "", "module on its string"),
    "id_idx": ("particle", "int32", "", "number of the particle that the photon is of"),
}
#: Each photon counts as one.
_CHARGE = ("float32", "pe", "1 a photon")
_TRUTH, _PHOTONS = "mc_truth", "photons"


class PrometheusSource:
    """Parquet files of Prometheus: events with their truth, photons, and the particles of the final state."""

    name = "prometheus"

    def accepts(self, path: str) -> bool:
        """Whether the file is Parquet with the columns ``mc_truth`` and ``photons``."""
        if not Path(path).is_file():
            return False
        with open(path, "rb") as file:
            if file.read(4) != b"PAR1":
                return False
        try:
            return {_TRUTH, _PHOTONS} <= set(_open(path).schema_arrow.names)
        except SourceError:
            return False

    def scan(self, path: str, on_error: OnError = "raise") -> Scan:
        """Count events, photons and particles.

        Raises
        ------
        SourceError
            If the file is not whole, or its columns are of other kinds.
        """
        schema, rows = _layout(path)
        return Scan(
            path=path,
            source=self.name,
            schema=schema,
            static={"observation": {"run": np.zeros(1, np.uint32)}},
            rows=rows,
            splittable=True,
            size=Path(path).stat().st_size,
        )

    def read(
        self,
        scan: Scan,
        ranges: Sequence[tuple[int, int]],
        columns: frozenset[str],
        on_error: OnError = "raise",
    ) -> Iterator[Partition]:
        """Read ranges of events; see `etendue.dataflow.source.Source.read`."""
        records = _read(scan.path)
        for number, (first, stop) in enumerate(ranges):
            tables = _tables(scan.path, {n: r.slice(first, stop - first) for n, r in records.items()}, first)
            kept = {
                table: {c: a for c, a in made.items() if c.startswith("n_") or f"{table}/{c}" in columns}
                for table, made in tables.items()
            }
            yield Partition(number, scan.schema, kept, dict(scan.static))


def _open(path: str) -> Any:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError:
        raise SourceError(
            path, "file", "reading Parquet needs pyarrow: pip install 'etendue[parquet]'"
        ) from None
    try:
        return pyarrow.parquet.ParquetFile(path)
    except (pyarrow.ArrowException, OSError) as error:
        raise SourceError(path, "file", f"not a Parquet file that is whole: {error}") from None


def _read(path: str) -> dict[str, Any]:
    """The two records of all events, as Arrow arrays."""
    import pyarrow

    try:
        table = _open(path).read([_TRUTH, _PHOTONS])
    except (pyarrow.ArrowException, OSError, KeyError) as error:
        raise SourceError(path, "columns", f"cannot be read: {error}") from None
    found = {}
    for name in (_TRUTH, _PHOTONS):
        found[name] = _plain(table[name].combine_chunks())
        if not pyarrow.types.is_struct(found[name].type):
            raise SourceError(path, f"column {name}", f"expected a record, got {found[name].type}")
        if found[name].null_count:
            raise SourceError(path, f"column {name}", f"{found[name].null_count} events have none")
    return found


def _plain(array: Any) -> Any:
    """An array as it is stored: in a process with Awkward, its own types stand around those of its files."""
    return getattr(array, "storage", array)


def _units(name: str) -> str:
    return _UNITS.get(name.rpartition("_")[2], "")


def _converted(name: str, values: np.ndarray) -> np.ndarray:
    return np.degrees(values) if _units(name) == "deg" else values


def _tables(path: str, records: dict[str, Any], first: int) -> dict[str, Columns]:
    """The tables of some events."""
    import pyarrow

    n = len(records[_TRUTH])
    events: Columns = {"run": np.zeros(n, np.uint32), "event_id": np.arange(first, first + n)}
    tables: dict[str, Columns] = {"events": events, "hits": {}, "mc_tracks": {}}
    for record, table in ((_TRUTH, "mc_tracks"), (_PHOTONS, "hits")):
        for field, stored in zip(records[record].type, records[record].flatten(), strict=True):
            place, values = f"{record}.{field.name}", _plain(stored)
            if not (pyarrow.types.is_list(values.type) or pyarrow.types.is_large_list(values.type)):
                column = _numbers(path, place, values)
                events[f"mc_{field.name}"] = _converted(field.name, column)
                continue
            counts = np.diff(values.offsets.to_numpy()).astype(np.int32)
            if (events.setdefault(f"n_{table}", counts) != counts).any():
                raise SourceError(path, place, "its lists are not as long as those of the other fields")
            column = _numbers(path, place, values.flatten())
            if table == "mc_tracks":
                own = field.name.removeprefix("final_state_")
                if own in tables[table]:
                    raise SourceError(path, place, f"two fields would be the column {own}; rename one")
                tables[table][own] = _converted(field.name, column)
            elif field.name in _HITS:
                name, dtype, _, _ = _HITS[field.name]
                tables[table][name] = column.astype(dtype)
    for table in ("hits", "mc_tracks"):
        events.setdefault(f"n_{table}", np.zeros(n, np.int32))
    tables["hits"]["charge"] = np.ones(int(events["n_hits"].sum()), np.float32)
    return tables


def _numbers(path: str, place: str, values: Any) -> np.ndarray:
    column = _plain(values).to_numpy(zero_copy_only=False)
    if column.dtype.kind not in "iufb":
        raise SourceError(path, place, f"expected numbers, got {values.type}")
    return column


def _layout(path: str) -> tuple[Schema, dict[str, np.ndarray]]:
    """Declarations of the tables, and the rows of each event."""
    tables = _tables(path, _read(path), 0)
    missing = [name for name, *_ in _HITS.values() if name != "particle" and name not in tables["hits"]]
    if missing:
        raise SourceError(
            path, _PHOTONS, f"expected the fields {', '.join(_HITS)}; there is none for {missing[0]}"
        )
    known = {name: (dtype, units, about) for name, dtype, units, about in _HITS.values()} | {
        "charge": _CHARGE
    }

    def declared(table: str, dim: str, about: str, parent: str | None = None) -> Table:
        specs = {
            name: known[name] if table == "hits" else (column.dtype.name, _units(name), "")
            for name, column in tables[table].items()
            if not name.startswith("n_")
        }
        return Table(table, dim, variables(dim, **specs), parent=parent, description=about)

    schema = Schema({}).with_tables(
        [
            declared("events", "event", "one row an event, with the truth of its neutrino"),
            declared("hits", "hit", "one row a photon that a module saw", "events"),
            declared("mc_tracks", "mc_track", "one row a particle of the final state", "events"),
            Table(
                "observation",
                "observation",
                variables("observation", run=("uint32", "", "number of the input")),
                role="static",
                description="one row an input",
            ),
        ]
    )
    events = tables["events"]
    n = len(events["run"])
    rows = {"events": np.ones(n, np.int64)}
    return schema, rows | {name: events[f"n_{name}"].astype(np.int64) for name in ("hits", "mc_tracks")}

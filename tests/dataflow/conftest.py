"""A detector that no physicist knows: events that own hits, made from a seed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from etendue.dataflow import source as source_module
from etendue.dataflow.partition import Failure, Partition
from etendue.dataflow.source import Scan, SourceError
from etendue.schema import Schema, Table, Variable, variables

EVENTS = Table(
    "events",
    "event",
    variables(
        "event",
        run=("uint32", "", "run"),
        event_id=("int64", "", "number"),
        time=("float64", "s", "time"),
    ),
)


WEIGHT, NAME = Variable("weight", ("event",), "float64"), Variable("name", ("event",), "str")


def hits_table(width: int) -> Table:
    return Table(
        "hits",
        "hit",
        variables(
            "hit",
            charge=("float32", "pe", "charge"),
            samples=(("sample",), "uint16", "adu", "raw samples", True),
        ),
        sizes={"sample": width},
        kind="hits",
        parent="events",
    )


class ToySource:
    """Reads files whose text is ``toy <n events> <seed> [<samples>] [broken <event>] [weighted]``."""

    name = "toy"

    def accepts(self, path: str) -> bool:
        return Path(path).is_file() and Path(path).read_bytes().startswith(b"toy")

    def _facts(self, path: str) -> tuple[int, int, int, int]:
        words = Path(path).read_text().split()
        broken = int(words[words.index("broken") + 1]) if "broken" in words else -1
        width = int(words[3]) if len(words) > 3 and words[3].isdigit() else 4
        return int(words[1]), int(words[2]), width, broken

    def _counts(self, n: int, seed: int) -> np.ndarray:
        return np.random.default_rng(seed).integers(0, 4, n).astype(np.int32)

    def _events(self, path: str) -> Table:
        weighted = "weighted" in Path(path).read_text().split()
        return EVENTS.with_variables([WEIGHT, NAME] if weighted else [])

    def scan(self, path: str, on_error: str = "raise") -> Scan:
        n, seed, width, _ = self._facts(path)
        counts = self._counts(n, seed)
        return Scan(
            path,
            self.name,
            Schema({"events": self._events(path), "hits": hits_table(width)}),
            {},
            {"events": np.ones(n, np.int64), "hits": counts.astype(np.int64)},
            labels={"hits": f"width {width}"},
            size=Path(path).stat().st_size,
        )

    def read(self, scan, ranges, columns, on_error="raise"):
        n, seed, width, broken = self._facts(scan.path)
        counts = self._counts(n, seed)
        rng = np.random.default_rng(seed + 1)
        charge = rng.normal(size=counts.sum()).astype(np.float32)
        samples = rng.integers(0, 4096, (counts.sum(), width)).astype(np.uint16)
        starts = np.concatenate([[0], np.cumsum(counts)])
        for number, (first, stop) in enumerate(ranges):
            keep, failures = np.arange(first, stop), ()
            if first <= broken < stop:
                error = SourceError(scan.path, f"event {broken}", "expected a whole event", 1)
                if on_error == "raise":
                    raise error
                keep, failures = keep[keep != broken], (error.failure,)
            rows = np.concatenate([np.arange(starts[i], starts[i + 1]) for i in keep] or [[]]).astype(int)
            tables = {
                "events": {
                    "run": np.zeros(len(keep), np.uint32),
                    "event_id": keep.astype(np.int64),
                    "time": keep * 0.5,
                    "n_hits": counts[keep],
                    "weight": keep + 1.0,
                    "name": np.array([f"event {i}" for i in keep], dtype=np.dtypes.StringDType()),
                },
                "hits": {"charge": charge[rows], "samples": samples[rows]},
            }
            tables = {
                t: {c: a for c, a in cols.items() if f"{t}/{c}" in columns} for t, cols in tables.items()
            }
            yield Partition(number, scan.schema, tables, failures=failures)


class _Entry:
    def load(self) -> type[ToySource]:
        return ToySource


@pytest.fixture
def toy(tmp_path, monkeypatch):
    """Make toy inputs: ``toy("a", "toy 10 1")`` writes a file and returns its path."""
    registered = {**source_module._registered(), "toy": _Entry()}
    monkeypatch.setattr(source_module, "_registered", lambda: registered)
    source_module.get_source.cache_clear()

    def make(name: str, text: str) -> str:
        path = tmp_path / name
        path.write_text(text)
        return str(path)

    yield make
    source_module.get_source.cache_clear()


@pytest.fixture
def failure() -> type[Failure]:
    return Failure

"""What a written pass came to, for people."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from etendue.dataflow.outcome import Outcome
from etendue.dataflow.plan import Plan
from etendue.reprs import Legible, Section


@dataclass(frozen=True, repr=False)
class Summary(Legible):
    """What a written pass came to."""

    plan: Plan
    outcome: Outcome
    histograms: Mapping[str, Any]
    store: str
    tag: str

    @property
    def rows(self) -> dict[str, int]:
        """Rows written, by table."""
        return {name: int(n.sum()) for name, n in self.outcome.rows.items()}

    def to_json(self) -> dict[str, Any]:
        """The summary as plain values; times in seconds, CPU by stage."""
        outcome = self.outcome
        return {
            "store": self.store,
            "pass": self.tag,
            "snapshot": outcome.snapshot,
            "rows": self.rows,
            "rows_read": {name: int(n.sum()) for name, n in outcome.rows_read.items()},
            "selected": outcome.selected,
            "wall_seconds": outcome.wall,
            "cpu_seconds": outcome.seconds,
            "failures": [asdict(failure) for failure in outcome.failures],
            "events_lost": outcome.events_lost,
        }

    def facts(self) -> dict[str, str]:
        """The summary in a few lines, for people."""
        schema, outcome = self.plan.pipeline.schema, self.outcome
        top = schema.top.name
        children = {t.name: int(outcome.rows[t.name].sum()) for t in schema.children(top)}
        n_read = int(outcome.rows_read[top].sum())
        n_rows = sum(int(outcome.rows_read[name].sum()) for name in children)
        if not len(self.plan.partitions) and not outcome.failures:
            return {"nothing new": f"{self.tag} in {self.store} has all inputs ({outcome.snapshot})"}
        return {
            top: f"{self.rows[top]:,} written of {n_read:,} read",
            **{name: f"{n:,}" for name, n in children.items() if n},
            **_rates(top, n_read, n_rows, outcome.wall),
            "time": f"{outcome.wall:.2f} s wall, {sum(outcome.seconds.values()):.2f} s CPU in tasks",
            "failures": f"{len(outcome.failures)} ({outcome.events_lost} {top} lost)",
            "pass": f"{self.tag} in {self.store} ({outcome.snapshot})",
        }

    def sections(self) -> Iterator[Section]:
        """What could not be read, and CPU time by stage."""
        if failures := self.outcome.failures:
            heads = ("input", "place", "what", "lost")
            yield "failures", heads, [(f.path, f.place, f.message, str(f.events_lost)) for f in failures]
        seconds = self.outcome.seconds
        yield "CPU seconds", ("stage", "s"), [(name, f"{s:.3f}") for name, s in seconds.items()]

    def __str__(self) -> str:
        width = max(map(len, self.facts()))
        return "\n".join(f"{key:<{width}}  {value}" for key, value in self.facts().items())


def _rates(top: str, n_read: int, n_rows: int, wall: float) -> dict[str, str]:
    """How fast it went; nothing where nothing was to do."""
    return {"rate": f"{n_read / wall:,.0f} {top}/s, {n_rows / wall:,.0f} rows/s"} if wall else {}

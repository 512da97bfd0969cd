"""What inputs hold, as plain values."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from etendue.dataflow.flow import Flow
    from etendue.dataflow.plan import Plan
    from etendue.schema import Table


def contents(flow: Flow) -> dict[str, Any]:
    """What inputs hold, by their scans: decodes no event.

    Parameters
    ----------
    flow : Flow
        The inputs, without stages.

    Returns
    -------
    dict
        ``inputs`` (path, source and bytes of each), ``source`` (of all), ``bytes``, ``runs``, ``failures``,
        and ``tables``: of each its declaration and its rows, None of tables of which the rows are met along
        the way.
    """
    plan = flow.plan()
    scans = plan.inputs.scans
    return {
        "inputs": [{"path": scan.path, "source": scan.source, "bytes": scan.size} for scan in scans],
        "source": ", ".join(sorted({scan.source for scan in scans})),
        "bytes": sum(scan.size for scan in scans),
        "runs": sum(scan.n_runs for scan in scans),
        "failures": [asdict(failure) for failure in plan.inputs.failures],
        "tables": {
            table.name: {"rows": _rows(plan, table), **table.to_json()}
            for table in plan.inputs.schema.values()
        },
    }


def _rows(plan: Plan, table: Table) -> int | None:
    if table.role == "static":
        return len(next(iter(plan.inputs.static[table.name].values())))
    return plan.rows(table.name) if table.role == "rows" else None

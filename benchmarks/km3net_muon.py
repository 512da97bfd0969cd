"""How fast KM3NeT's events become tracks and showers, on one core.

Run it with km3net-testdata installed::

    python benchmarks/km3net_muon.py

The events are simulated ones of ORCA with 6 strings (57 to 474 hits an event) and of ARCA with 21 (524 to
18,174 hits). Prints CPU seconds (best of several) of each stage on events in memory.
"""

from __future__ import annotations

from common import best, table

ORCA = "offline/mcv6.0.gsg_muon_highE-CC_50-500GeV.km3sim.jterbr00008357.jorcarec.aanet.905.root"
NU_E = "offline/mcv6.gsg_nue-CCHEDIS_1e4-1e6GeV.sirene.jte.jchain.aanet.1.root"
ARCA = "online/muon_cc_daqevents.root"


def read(name: str, stages: list, needed: tuple[str, ...]):
    """All events of a file in one partition, through some stages."""
    from km3net_testdata import data_path

    from etendue.dataflow.pipeline import Pipeline
    from etendue.neutrino.sources.km3net.source import KM3NeTSource

    source = KM3NeTSource()
    scan = source.scan(data_path(name))
    pipeline = Pipeline(stages=tuple(stages)).check(scan.schema)
    n_events = len(scan.rows["events"])
    columns = frozenset(pipeline.read) | {c for c in needed if c in scan.schema} | {"events/n_hits"}
    (partition,) = source.read(scan, [(0, n_events)], columns)
    return pipeline.apply(partition).partition, n_events


def main() -> None:
    from km3net_testdata import data_path

    from etendue.neutrino.km3net.calibration import CalibrateHits
    from etendue.neutrino.km3net.muon import ReconstructMuon
    from etendue.neutrino.km3net.shower import ReconstructShower

    det_133 = data_path("detx/KM3NeT_00000133_20221025.detx")
    det_115 = data_path("detx/KM3NeT_-00000001_20171212.detx")
    cases = (
        ("muons, ORCA, 6 strings", ORCA, [], ReconstructMuon()),
        ("muons, ARCA, 21 strings", ARCA, [CalibrateHits(detector=det_133)], ReconstructMuon()),
        ("showers, ARCA, 115 strings", NU_E, [], ReconstructShower(detector=det_115)),
    )
    rows = []
    for title, name, before, stage in cases:
        stages = [*before, stage]
        partition, n_events = read(name, stages, tuple(c.rstrip("?") for c in stage.reads))
        seconds = best(lambda stage=stage, partition=partition: stage(partition), repeat=3)
        hits = partition.rows("hits") / n_events
        rows.append(
            [
                title,
                f"{n_events}",
                f"{hits:.0f}",
                f"{1e3 * seconds / n_events:.1f}",
                f"{n_events / seconds:.0f}",
            ]
        )
    table(["stage", "events", "hits an event", "ms an event", "events/s"], rows)


if __name__ == "__main__":
    main()

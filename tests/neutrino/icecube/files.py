"""Events of real IceCube files, with their pulses placed."""

from functools import cache

from etendue.dataflow.partition import Partition
from etendue.neutrino.icecube.geometry import PlacePulses
from etendue.neutrino.sources.icecube.source import IceCubeSource

#: Files of Monte Carlo events with the reconstructions that IceCube made of them: level 3 and 7.
SIMULATED = (
    "oscNext_genie_level3_v02_first_5_frames.i3.gz",
    "oscNext_genie_level7_v02_first_5_frames.i3.gz",
    "oscNext_muongun_level3_v02_first_5_frames.i3.gz",
    "oscNext_noise_level3_v02_first_5_frames.i3.gz",
)
REALTIME = (
    "event_HESE_2017-11-28.json", "hese_event_00.json", "hese_event_01.json", "hese_event_02.json",
    "hese_event_03.json", "138632_31747601.json",
)  # fmt: skip


@cache
def read(path, geometry, keys, series) -> Partition:
    """All events of a file: the columns of the objects with these keys, and the named pulse series."""
    source = IceCubeSource()
    scan = source.scan(str(path))
    n_events = len(scan.rows["events"])
    columns = {f"{name}/{v}" for name in series for v in scan.schema[name].variables}
    columns |= {f"events/n_{name}" for name in series}
    columns |= {
        f"events/{name}"
        for name in scan.schema["events"].variables
        if name in (*keys, "run", "run_id", "event_id") or name.startswith(tuple(f"{key}_" for key in keys))
    }
    (partition,) = source.read(scan, [(0, n_events)], frozenset(columns))
    pulse_tables = [name for name in series if "string" in scan.schema[name].variables]
    for name in pulse_tables:
        stage = PlacePulses(geometry=str(geometry), pulses=name)
        brought = {table: data for table, (_, data) in stage.brings().items()}
        wanted = frozenset(f"{name}/pos_{axis}" for axis in "xyz")
        given = Partition(
            0, partition.schema, partition.tables, {**partition.conditions, **brought}, wanted=wanted
        )
        schema = given.schema.with_variables(stage.provides(given.schema))
        partition = given.with_columns(stage(given), schema)
    return partition


def simulated(shared, name, keys, series):
    geometry = shared / "data/icecube/geometry/retro_geo_array.npy"
    return read(shared / "data/icecube/i3" / name, geometry, keys, series)


def realtime(shared):
    """The real-time events that are there, by name."""
    folder = shared / "data/icecube/realtime_json"
    geometry = shared / "data/icecube/geometry/retro_geo_array.npy"
    paths = [folder / name for name in REALTIME if (folder / name).is_file()]
    return [read(path, geometry, ("HESE",), ("SplitUncleanedInIcePulses",)) for path in paths]

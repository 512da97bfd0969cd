"""Partitions with images for the tests of stereo reconstruction."""

from functools import cache

import numpy as np

from etendue.dataflow.partition import Partition
from etendue.iact import schema
from etendue.iact.stereo import ReconstructStereo
from etendue.schema import Schema, variables

PREFIX = {"telescope": "", "camera": "camera_frame_"}
COG = {"telescope": ("fov_lon", "fov_lat"), "camera": ("x", "y")}
RESULTS = [
    name.removeprefix("events/HillasReconstructor_") for name in ReconstructStereo.writes if "ev" in name
]


POSITIONS = {
    3: (-70.0, -52.0, 43.0), 4: (75.0, 10.0, 31.0), 7: (30.0, -150.0, 25.0),
    9: (-120.0, 90.0, 38.0), 12: (210.0, 160.0, 20.0),
}  # fmt: skip
FOCAL_LENGTH = {"near": 28.0, "wide": 16.0}
LABEL = {3: "near", 4: "near", 7: "wide", 9: "wide", 12: "wide"}


def hillas_columns(frame):
    return [f"{PREFIX[frame]}hillas_{n}" for n in (*COG[frame], "psi", "intensity", "length", "width")]


@cache
def camera_columns(size=0.05):
    """A small square camera."""
    x, y = (a.ravel() * size for a in np.meshgrid(np.arange(-10.0, 11), np.arange(-10.0, 11)))
    return {
        "pixel_x": x,
        "pixel_y": y,
        "pixel_area": np.full(x.size, size**2),
        "pixel_shape": np.full(x.size, 2, dtype=np.int8),
    }


CAMERAS = {label: (camera_columns(0.1 if label == "near" else 0.17), f) for label, f in FOCAL_LENGTH.items()}


def optics(focal_length):
    return {
        "equivalent_focal_length": np.array([focal_length]),
        "effective_focal_length": np.array([focal_length]),
        "camera_rotation": np.zeros(1),
    }


def make_partition(events, readouts, positions, cameras, reference_altitude=2000.0):
    """A partition of one run.

    ``events``: columns; ``readouts``: by label, columns with ``event``; ``positions``: by tel_id;
    ``cameras``: by label, (pixels, focal length).
    """
    n_events, tables = len(events["array_altitude"]), [schema.EVENTS, schema.ARRAY, schema.OBSERVATION]
    data = {"events": {"run": np.zeros(n_events, dtype=np.uint32), **events}}
    for label, columns in readouts.items():
        columns = dict(columns)
        order = np.argsort(columns.pop("event"), kind="stable")
        counts = np.bincount(readouts[label]["event"], minlength=n_events)
        data["events"][f"n_{label}"] = counts.astype(np.int32)
        data[label] = {name: np.asarray(column)[order] for name, column in columns.items()}
        table = schema.camera_table(label, n_gains=1, n_samples=1, n_pixels=1)
        extra = {n: ("float64", "", "") for frame in PREFIX for n in hillas_columns(frame)}
        tables.append(table.with_variables(variables("readout", **extra).values()))
        tables[-1] = tables[-1].with_variables(
            variables("readout", morphology_n_pixels=("int32", "", ""), selected=("bool", "", "")).values()
        )
    conditions = {
        "array": {
            "run": np.zeros(len(positions), dtype=np.uint32),
            "tel_id": np.array(list(positions), dtype=np.int16),
            **{f"pos_{a}": np.array([p[k] for p in positions.values()]) for k, a in enumerate("xyz")},
        },
        "observation": {"run": np.zeros(1, np.uint32), "reference_altitude": np.array([reference_altitude])},
    }
    for label, (pixels, focal_length) in cameras.items():
        conditions |= {f"camera/{label}": pixels, f"optics/{label}": optics(focal_length)}
    stage_schema = Schema({table.name: table for table in tables})
    return Partition(0, stage_schema, data, conditions)


def reconstruct(partition, **parameters):
    """Run the stage; the event columns by short name, and all columns by full name."""
    stage = ReconstructStereo(**parameters)
    made = stage(partition)
    provided = stage.provides(partition.schema)
    assert made.keys() == provided.keys()
    for name, column in made.items():
        assert column.dtype == provided[name].dtype
        table = name.rpartition("/")[0]
        assert len(column) == partition.rows(table)
    return {name: made[f"events/HillasReconstructor_{name}"] for name in RESULTS}, made


def random_readouts(rng, n_events, *, divergence=0.0, tel_ids=tuple(POSITIONS)):
    """Random images in random events, with pointings that differ by up to ``divergence`` degrees."""
    event, tel_id = (a.ravel() for a in np.meshgrid(np.arange(n_events), tel_ids, indexing="ij"))
    kept = rng.random(event.size) < 0.8
    event, tel_id = event[kept], tel_id[kept]
    n = event.size
    altitude, azimuth = rng.uniform(30, 80, n_events), rng.uniform(-200, 400, n_events)
    width = rng.uniform(0.02, 0.3, n)
    columns = {
        "event": event,
        "tel_id": tel_id.astype(np.int16),
        "pointing_altitude": altitude[event] + rng.uniform(-divergence, divergence, n),
        "pointing_azimuth": azimuth[event] + rng.uniform(-divergence, divergence, n),
        "fov_lon": rng.uniform(-2, 2, n),
        "fov_lat": rng.uniform(-2, 2, n),
        "psi": rng.uniform(-90, 90, n),
        "intensity": rng.lognormal(5, 1, n),
        "length": width * rng.uniform(1, 4, n),
        "width": width,
        "morphology_n_pixels": rng.integers(4, 60, n),
    }
    return {"array_altitude": altitude, "array_azimuth": azimuth}, columns


def as_frame(columns, frame, label):
    """Name the random parameters; in the camera frame, take them as metres of a like size."""
    scale = 1.0 if frame == "telescope" else np.deg2rad(FOCAL_LENGTH[label])
    names = {"fov_lon": COG[frame][0], "fov_lat": COG[frame][1]}
    hillas = {}
    for name in ("fov_lon", "fov_lat", "length", "width"):
        hillas[names.get(name, name)] = columns[name] * scale
    hillas |= {name: columns[name] for name in ("psi", "intensity")}
    rest = ("event", "tel_id", "pointing_altitude", "pointing_azimuth", "morphology_n_pixels", "selected")
    return {f"{PREFIX[frame]}hillas_{n}": c for n, c in hillas.items()} | {
        name: columns[name] for name in rest if name in columns
    }


def make_random(rng, n_events, frame="telescope", labels=("near", "wide"), **kwargs):
    """A partition with random images."""
    return split_by_camera(*random_readouts(rng, n_events, **kwargs), frame, labels)


def split_by_camera(events, columns, frame="telescope", labels=("near", "wide")):
    """Put the readouts into the tables of their cameras."""
    of = np.array([LABEL[i] for i in columns["tel_id"].tolist()], dtype="U4")
    readouts = {
        label: as_frame({n: c[of == label] for n, c in columns.items()}, frame, label) for label in labels
    }
    return make_partition(events, readouts, POSITIONS, CAMERAS)

"""The tables of a file: which telescopes share one, what is declared, and what the header fills."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

import numpy as np

from etendue.iact.schema import (
    ARRAY,
    EVENTS,
    OBSERVATION,
    SIMULATION,
    calibration_table,
    camera_table,
    camera_tables,
)
from etendue.iact.sources.simtel.decode import altitude_of, azimuth_of
from etendue.iact.sources.simtel.header import Camera, Header
from etendue.schema import Columns, Schema, Table


@dataclass(frozen=True)
class Labels:
    """Which telescopes share a table.

    Parameters
    ----------
    cameras : dict of int to Camera
        By telescope.
    n_samples : dict of str to int
        Samples of a readout, by label.
    fingerprints : dict of str to str
        `Camera.fingerprint` by label.
    """

    cameras: Mapping[int, Camera]
    n_samples: Mapping[str, int]
    fingerprints: Mapping[str, str]

    @classmethod
    def of(cls, cameras: Mapping[int, Camera], seen: Iterable[tuple[int, int]]) -> Labels:
        """Name the tables of an array.

        Parameters
        ----------
        cameras : mapping of int to Camera
            By telescope.
        seen : iterable of (tel_id, n_samples)
            What the events hold. A telescope without events has as many samples as an equal one, or as
            the header says.
        """
        by_camera: dict[bytes, set[int]] = {}
        for tel_id, n in seen:
            by_camera.setdefault(cameras[tel_id].content, set()).add(n)
        n_samples: dict[str, int] = {}
        fingerprints: dict[str, str] = {}
        for camera in cameras.values():
            for n in sorted(by_camera.get(camera.content, {camera.n_samples})):
                fingerprint = camera.fingerprint(n)
                if fingerprint in fingerprints.values():
                    continue
                label, k = camera.label, 1
                while label in fingerprints:
                    k += 1
                    label = f"{camera.label}_{k}"
                n_samples[label], fingerprints[label] = n, fingerprint
        return cls(cameras, n_samples, fingerprints)

    def label(self, tel_id: int, n_samples: int) -> str | None:
        """Table of a readout; None if there is none."""
        fingerprint = self.cameras[tel_id].fingerprint(n_samples)
        return next((label for label, known in self.fingerprints.items() if known == fingerprint), None)

    def labels(self, tel_id: int) -> list[str]:
        """Tables of a telescope: one, unless its events differ in their samples."""
        camera = self.cameras[tel_id]
        return [
            label for label, n in self.n_samples.items() if camera.fingerprint(n) == self.fingerprints[label]
        ]

    def camera(self, label: str) -> Camera:
        """The camera of a table."""
        return next(self.cameras[tel_id] for tel_id in self.cameras if label in self.labels(tel_id))


def schema(labels: Labels) -> Schema:
    """All tables of a file."""
    tables: list[Table] = [EVENTS, ARRAY, OBSERVATION, SIMULATION]
    for label, n_samples in labels.n_samples.items():
        camera = labels.camera(label)
        shape = {"n_gains": camera.n_gains, "n_pixels": camera.n_pixels}
        readouts = camera_table(label, n_samples=n_samples, **shape)
        if n_samples == 1:  # a sum of samples can be greater than any sample
            sums = replace(readouts.variables["r0_waveform"], dtype="uint32")
            readouts = readouts.with_variables([sums])
        n_pulse_samples = camera.channels["reference_pulse_shape"].shape[1]
        tables += [
            readouts,
            calibration_table(label, **shape),
            *camera_tables(label, n_pulse_samples=n_pulse_samples, **shape),
        ]
    return Schema({table.name: table for table in tables})


def static(header: Header, labels: Labels, n_simulated: float, is_closed: bool) -> dict[str, Columns]:
    """Contents of the static tables: what the header says, and what the walk through the file has counted."""
    counted = {"n_simulated": np.array([n_simulated], np.float64), "is_closed": np.array([is_closed])}
    tables = {
        "array": _array(header),
        "observation": _observation(header),
        "simulation": _simulation(header) | counted,
    }
    for label in labels.fingerprints:
        camera = labels.camera(label)
        tables[f"camera/{label}"] = camera.pixels
        tables[f"readout/{label}"] = camera.channels
        tables[f"optics/{label}"] = {
            "type": np.array([camera.size]),
            "name": np.array([camera.optics]),
            "camera_name": np.array([camera.name]),
            "equivalent_focal_length": np.array([camera.equivalent_focal_length]),
            "effective_focal_length": np.array([camera.effective_focal_length]),
            "mirror_area": np.array([camera.mirror_area]),
            "n_mirrors": np.array([camera.n_mirrors], dtype=np.int32),
            "camera_rotation": np.array([camera.camera_rotation]),
        }
    return tables


def _array(header: Header) -> Columns:
    tel_ids = sorted(header.cameras)
    cameras = [header.cameras[tel_id] for tel_id in tel_ids]
    index = [header.index[tel_id] for tel_id in tel_ids]
    x, y, z = header.positions[index].T
    return {
        "run": np.zeros(len(tel_ids), dtype=np.uint32),
        "tel_id": np.array(tel_ids, dtype=np.int16),
        "type": np.array([camera.size for camera in cameras]),
        "name": np.array([camera.optics for camera in cameras]),
        "camera_name": np.array([camera.name for camera in cameras]),
        "pos_x": x,
        "pos_y": y,
        "pos_z": z,
        "equivalent_focal_length": np.array([camera.equivalent_focal_length for camera in cameras]),
        "effective_focal_length": np.array([camera.effective_focal_length for camera in cameras]),
    }


def _observation(header: Header) -> Columns:
    """The run, and where on Earth the array is."""
    latitude, longitude, altitude = (np.array([value], dtype=np.float64) for value in header.place)
    ra, dec = header.run["direction"] if header.run["tracking_mode"] else (np.nan, np.nan)
    return {
        "run": np.zeros(1, dtype=np.uint32),
        "obs_id": np.array([header.run["run"]], dtype=np.int64),
        "reference_altitude": altitude,
        "latitude": latitude,
        "longitude": longitude,
        "array_ra": np.array([azimuth_of(ra)]),
        "array_dec": np.array([altitude_of(dec)]),
    }


def _simulation(header: Header) -> Columns:
    """How the last MC run header says that events were sampled."""
    mc = header.mc_run
    numbers = {
        "energy_range_min": mc["E_range"][0],
        "energy_range_max": mc["E_range"][1],
        "spectral_index": mc["spectral_index"],
        "min_alt": altitude_of(mc["alt_range"][0]),
        "max_alt": altitude_of(mc["alt_range"][1]),
        "min_az": azimuth_of(mc["az_range"][0]),
        "max_az": azimuth_of(mc["az_range"][1]),
        "min_viewcone_radius": mc["viewcone"][0],
        "max_viewcone_radius": mc["viewcone"][1],
        "min_scatter_range": mc["core_range"][0],
        "max_scatter_range": mc["core_range"][1],
    }
    return {
        "run": np.zeros(1, dtype=np.uint32),
        "n_showers": np.array([mc["n_showers"]], dtype=np.int64),
        "shower_reuse": np.array([mc["n_use"]], dtype=np.int64),
        **{name: np.array([value], dtype=np.float64) for name, value in numbers.items()},
    }

"""Images for tests: those of the ctapipe reference, and a hexagonal toy camera."""

from collections.abc import Iterator
from typing import NamedTuple

import h5py
import numpy as np

from etendue.dataflow.partition import Partition
from etendue.iact.camera import Geometry
from etendue.iact.schema import ARRAY, EVENTS, camera_table, camera_tables
from etendue.schema import Schema

REFERENCE = "reference/iact/ctapipe-0.32.h5"


class Group(NamedTuple):
    """Images of one camera of one file, with what ctapipe made of them."""

    name: str
    data: h5py.Group
    camera: h5py.Group

    @property
    def pixels(self) -> dict[str, np.ndarray]:
        """Static table of the camera, from what ctapipe stored of it."""
        stored = self.camera["geometry"]
        shape = 2 if "SQUARE" in stored.attrs["pix_type"] else 1
        columns = {
            f"pixel_{name}": stored[f"pix_{name}_{unit}"][:]
            for name, unit in (("x", "m"), ("y", "m"), ("area", "m2"))
        }
        return columns | {"pixel_shape": np.full(len(columns["pixel_x"]), shape, dtype=np.int8)}

    def geometry(self, frame: str) -> Geometry:
        """Geometry of the camera as ctapipe stored it."""
        stored = self.camera["geometry"]
        names = ("pix_x_m", "pix_y_m", "pix_area_m2", "pixel_width_m")
        x, y, area, width = (stored[name][:] for name in names)
        if frame == "telescope":
            sky = self.camera["geometry_telescope_frame"]
            scale = np.sqrt(sky["pix_area_deg2"][:] / area)
            x, y, area = (sky[name][:] for name in ("fov_lon_deg", "fov_lat_deg", "pix_area_deg2"))
            width = width * scale
        indptr, indices = (stored[f"neighbor_{name}"][:].astype(np.int32) for name in ("indptr", "indices"))
        borders = (stored[f"border_mask_w{n}"][:] for n in (1, 2))
        return Geometry(x, y, area, width, indptr, indices, *borders)


def reference_images(shared) -> Iterator[Group]:
    """All groups of the reference that hold gain-selected images."""
    with h5py.File(shared / REFERENCE) as reference:
        for name, file in reference.items():
            for label, data in file["images"].items():
                if "dl1" in data and data["dl1/image"].ndim == 2:
                    yield Group(f"{name}/{label}", data, file["cam"][label.partition("__")[0]])


def hexagonal_camera(n: int = 12, spacing: float = 0.05) -> dict[str, np.ndarray]:
    """Static table of a camera of n x n hexagons, centred."""
    column, row = np.meshgrid(np.arange(n), np.arange(n))
    x, y = (column + 0.5 * (row % 2)).ravel() * spacing, (row * np.sqrt(3) / 2).ravel() * spacing
    return {
        "pixel_x": x - x.mean(),
        "pixel_y": y - y.mean(),
        "pixel_area": np.full(n * n, np.sqrt(3) / 2 * spacing**2),
        "pixel_shape": np.full(n * n, 1, dtype=np.int8),
    }


def shower(geometry: Geometry, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Charges and peak times of one elliptical image on noise."""
    centre = rng.uniform(-0.15, 0.15, 2)
    angle = rng.uniform(0, np.pi)
    dx, dy = geometry.pixel_x - centre[0], geometry.pixel_y - centre[1]
    along, across = (
        dx * np.cos(angle) + dy * np.sin(angle),
        dy * np.cos(angle) - dx * np.sin(angle),
    )
    light = 60 * np.exp(-0.5 * ((along / 0.1) ** 2 + (across / 0.05) ** 2))
    image = rng.normal(0, 1.5, dx.size) + rng.poisson(light)
    peak_time = np.where(
        light > 3, 20 + 30 * along + rng.normal(0, 0.7, dx.size), rng.uniform(0, 40, dx.size)
    )
    return image.astype(np.float32), peak_time.astype(np.float32)


def partition_of(columns, counts, pixels=None, focal_length: float = 10.5) -> Partition:
    """A partition with the table ``toycam`` of readouts, of two telescope types that share the camera."""
    pixels = pixels or hexagonal_camera()
    n_pixels = len(pixels["pixel_x"])
    tables = [EVENTS, ARRAY, camera_table("toycam", n_gains=1, n_samples=1, n_pixels=n_pixels)]
    tables += camera_tables("toycam", n_gains=1, n_pixels=n_pixels, n_pulse_samples=1)
    array = {
        "run": np.zeros(2, dtype=np.uint32),
        "tel_id": np.array([1, 2], dtype=np.int16),
        "type": np.array(["LST", "MST"]),
        "name": np.array(["LST", "MST"]),
        "camera_name": np.array(["ToyCam", "ToyCam"]),
    }
    optics = {
        "equivalent_focal_length": np.array([10.0]),
        "effective_focal_length": np.array([focal_length]),
        "camera_rotation": np.array([0.0]),
    }
    events = {"run": np.zeros(len(counts), dtype=np.uint32), "n_toycam": np.asarray(counts)}
    return Partition(
        number=0,
        schema=Schema({table.name: table for table in tables}),
        tables={"events": events, "toycam": columns},
        conditions={"array": array, "camera/toycam": pixels, "optics/toycam": optics},
    )

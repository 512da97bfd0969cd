"""Stereoscopic reconstruction: direction, impact point and height of a shower from its images' axes.

Lines and planes that are parallel to within rounding meet nowhere: what would follow from where they
meet is NaN. Vectors are as in `etendue.iact.directions`.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import atan, atan2, cos, sin, sqrt
from typing import ClassVar

import numpy as np
from pydantic import Field

from etendue.dataflow.partition import SELECTED, Partition
from etendue.dataflow.stage import Stage
from etendue.iact.camera import FocalLength, Frame, geometry_of
from etendue.iact.directions import (
    cross,
    direction_to_horizon,
    direction_to_offset,
    dot,
    impact_distance,
    offset_to_direction,
)
from etendue.iact.focal_length import DESCRIPTION, check_choice, choice, chosen
from etendue.iact.telescopes import telescope_rows
from etendue.kernel import kernel, offsets
from etendue.schema import Columns, Schema, Table, Variable

#: Squared sine of the angle up to which lines or planes count as parallel: rounding decides below it.
PARALLEL = 1e-12


@kernel
def image_planes(
    points: np.ndarray, pointing: np.ndarray, array_pointing: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The plane that each image's axis spans with its telescope.

    The normal is the product of the directions of two points of the axis. Seen in one camera that
    points where the array points, the axis has the angle psi = arctan(d lon / d lat), which is also
    the angle of its projection on the tilted ground frame (T. Gasparetto, PhD thesis, section 7.1.4).

    Parameters
    ----------
    points : float64 array, shape (n_images, 2, 2)
        Offsets (lon, lat) [rad] from the telescope's pointing: centre of gravity, second point of the axis.
    pointing, array_pointing : float64 array, shape (n_images, 2)
        Altitude and azimuth [rad] of the telescope and of the array.

    Returns
    -------
    cog, normal : float64 array, shape (n_images, 3)
        Direction of the centre of gravity; normal of the plane, not of unit length.
    psi : float64 array, shape (n_images,)
        Radians, between -pi/2 and pi/2.
    """
    n_images = len(points)
    cog, normal, psi = np.empty((n_images, 3)), np.empty((n_images, 3)), np.empty(n_images)
    for i in range(n_images):
        first = offset_to_direction(points[i, 0, 0], points[i, 0, 1], pointing[i, 0], pointing[i, 1])
        second = offset_to_direction(points[i, 1, 0], points[i, 1, 1], pointing[i, 0], pointing[i, 1])
        cog[i, 0], cog[i, 1], cog[i, 2] = first
        normal[i, 0], normal[i, 1], normal[i, 2] = cross(first, second)
        lon_1, lat_1 = direction_to_offset(first, array_pointing[i, 0], array_pointing[i, 1])
        lon_2, lat_2 = direction_to_offset(second, array_pointing[i, 0], array_pointing[i, 1])
        psi[i] = atan((lon_1 - lon_2) / (lat_1 - lat_2))
    return cog, normal, psi


@kernel
def crossing(normal_a: np.ndarray, normal_b: np.ndarray) -> tuple:
    """Where two planes cross, above the horizon; and whether they are parallel."""
    x, y, z = cross(normal_a, normal_b)
    limit = PARALLEL * dot(normal_a, normal_a) * dot(normal_b, normal_b)
    return ((-x, -y, -z) if z < 0 else (x, y, z)), x * x + y * y + z * z <= limit


@kernel
def shower_directions(
    starts: np.ndarray, normal: np.ndarray, weight: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Direction of each shower: mean of where the planes of its images cross, two at a time.

    d ~ sum over pairs of w_a w_b (n_a x n_b); the uncertainty is the mean angle between d and the
    pairs' crossings, all pairs alike (Hofmann et al. 1999, method 1, as in ctapipe's
    HillasReconstructor). Pairs of parallel planes do not count.

    Parameters
    ----------
    starts : int64 array, shape (n_events + 1,)
        First image of each event, and the end.
    normal : float64 array, shape (n_images, 3)
        Normals of the planes; their length is a part of the weight.
    weight : float64 array, shape (n_images,)
        Weights of the images.

    Returns
    -------
    direction : float64 array, shape (n_events, 3)
        Unit vectors; NaN where no planes cross.
    uncertainty : float64 array, shape (n_events,)
        Radians.
    """
    n_events = len(starts) - 1
    direction, uncertainty = np.full((n_events, 3), np.nan), np.full(n_events, np.nan)
    for event in range(n_events):
        first, end = starts[event], starts[event + 1]
        lines, n_pairs, total = np.empty(((end - first) ** 2, 3)), 0, np.zeros(3)
        for a in range(first, end):
            for b in range(a + 1, end):
                line, parallel = crossing(normal[a], normal[b])
                if not parallel:
                    for k in range(3):
                        lines[n_pairs, k] = line[k]
                        total[k] += weight[a] * weight[b] * line[k]
                    n_pairs += 1
        if n_pairs > 0:
            length = sqrt(dot(total, total))
            for k in range(3):
                direction[event, k] = total[k] / length
            angles = 0.0
            for pair in range(n_pairs):
                aside = cross(direction[event], lines[pair])
                angles += atan2(sqrt(dot(aside, aside)), dot(direction[event], lines[pair]))
            uncertainty[event] = angles / n_pairs
    return direction, uncertainty


@kernel
def impact_points(
    starts: np.ndarray, psi: np.ndarray, position: np.ndarray, array_pointing: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Impact point of each shower: the point next to its images' axes on the tilted ground frame.

    The tilted frame is the ground frame with its z axis turned to the array's pointing. The axes start
    at the telescopes with u = (cos psi, sin psi); least squares gives
    sum(I - u u^T) c = sum (I - u u^T) p. The ground point is c carried along the pointing to z = 0.

    Parameters
    ----------
    starts : int64 array, shape (n_events + 1,)
        First image of each event, and the end.
    psi : float64 array, shape (n_images,)
        Radians; as `image_planes` gives them.
    position : float64 array, shape (n_images, 3)
        Telescopes on the ground [m].
    array_pointing : float64 array, shape (n_events, 2)
        Altitude and azimuth [rad].

    Returns
    -------
    tilted, ground : float64 array, shape (n_events, 2)
        Metres; NaN where all axes are parallel.
    """
    n_events = len(starts) - 1
    tilted, ground = np.full((n_events, 2), np.nan), np.full((n_events, 2), np.nan)
    for event in range(n_events):
        sin_alt, cos_alt = sin(array_pointing[event, 0]), cos(array_pointing[event, 0])
        sin_az, cos_az = sin(array_pointing[event, 1]), cos(array_pointing[event, 1])
        xx = xy = yy = rx = ry = 0.0
        for i in range(starts[event], starts[event + 1]):
            north, west, up = position[i, 0], position[i, 1], position[i, 2]
            x = sin_alt * (cos_az * north - sin_az * west) - cos_alt * up
            y = sin_az * north + cos_az * west
            across = x * sin(psi[i]) - y * cos(psi[i])
            xx += sin(psi[i]) ** 2
            xy -= sin(psi[i]) * cos(psi[i])
            yy += cos(psi[i]) ** 2
            rx += across * sin(psi[i])
            ry -= across * cos(psi[i])
        determinant = xx * yy - xy * xy
        if determinant <= PARALLEL * (xx + yy) ** 2:
            continue
        x, y = (yy * rx - xy * ry) / determinant, (xx * ry - xy * rx) / determinant
        tilted[event, 0], tilted[event, 1] = x, y
        ground[event, 0] = cos_az * x / sin_alt + sin_az * y
        ground[event, 1] = cos_az * y - sin_az * x / sin_alt
    return tilted, ground


@kernel
def shower_heights(starts: np.ndarray, cog: np.ndarray, position: np.ndarray) -> np.ndarray:
    """Height of each shower's brightest point: where the lines of sight of its images come closest.

    Least squares as for the impact point, in space: sum(I - n n^T) s = sum(I - n n^T) p; z by Cramer's rule.

    Parameters
    ----------
    starts : int64 array, shape (n_events + 1,)
        First image of each event, and the end.
    cog, position : float64 array, shape (n_images, 3)
        Direction of the image's centre of gravity; telescope on the ground [m].

    Returns
    -------
    float64 array, shape (n_events,)
        Metres above the array; NaN where all lines of sight are parallel.
    """
    n_events = len(starts) - 1
    height = np.full(n_events, np.nan)
    for event in range(n_events):
        matrix, right = np.zeros((3, 3)), np.zeros(3)
        for i in range(starts[event], starts[event + 1]):
            along = dot(cog[i], position[i])
            for row in range(3):
                right[row] += position[i, row] - along * cog[i, row]
                matrix[row, row] += 1.0
                for column in range(3):
                    matrix[row, column] -= cog[i, row] * cog[i, column]
        cofactors = cross(matrix[0], matrix[1])
        determinant = dot(cofactors, matrix[2])
        n_images = starts[event + 1] - starts[event]
        if determinant > PARALLEL * n_images**3:
            height[event] = dot(cofactors, right) / determinant
    return height


class ReconstructStereo(Stage):
    """Direction, impact point and height of showers seen by two telescopes or more.

    The method of ctapipe's ``HillasReconstructor``. Images with too little light or too few pixels, of no
    width, or marked as not selected do not count. Events with fewer than two images that count, or
    whose images' axes are all parallel, are not valid: their results are NaN, and none of their images is
    used. Each other quantity stands for itself: direction and height follow from where the telescopes
    point, so that the impact point alone is NaN where the array's pointing is not known (a run that tracks
    right ascension and declination), and the height alone where the lines of sight are parallel.
    """

    min_intensity: float = Field(50.0, ge=0, description="images need more photo-electrons than this")
    min_pixels: int = Field(3, ge=0, description="images need more pixels than this")
    frame: Frame = Field("telescope", description="frame of the Hillas parameters")
    focal_length: FocalLength = Field("auto", description=DESCRIPTION)

    reads: ClassVar[tuple[str, ...]] = (
        "events/run", "events/array_altitude", "events/array_azimuth",
        "@camera/tel_id", "@camera/pointing_altitude", "@camera/pointing_azimuth",
        "@camera/morphology_n_pixels",
    )  # fmt: skip
    writes: ClassVar[Mapping[str, Variable | tuple]] = {
        f"events/HillasReconstructor_{name}": ("event", *spec)
        for name, spec in {
            "alt": ("float64", "deg", "reconstructed direction"),
            "az": ("float64", "deg", "reconstructed direction, from north to east"),
            "alt_uncert": ("float64", "deg", "mean angle between the direction and those of the pairs"),
            "az_uncert": ("float64", "deg", "the same angle as alt_uncert"),
            "core_x": ("float64", "m", "reconstructed impact point, to north"),
            "core_y": ("float64", "m", "reconstructed impact point, to west"),
            "core_tilted_x": ("float64", "m", "reconstructed impact point in the tilted ground frame"),
            "core_tilted_y": ("float64", "m", "reconstructed impact point in the tilted ground frame"),
            "h_max": ("float64", "m", "height of the shower's maximum above sea level"),
            "average_intensity": ("float64", "pe", "mean charge of the images used"),
            "is_valid": ("bool", "", "whether the direction was reconstructed"),
            "n_telescopes": ("int16", "", "images used"),
        }.items()
    } | {
        f"@camera/{name}": ("readout", *spec)
        for name, spec in {
            "HillasReconstructor_is_used": ("bool", "", "whether the image was used"),
            "HillasReconstructor_tel_impact_distance": (
                "float64", "m", "distance of the telescope from the reconstructed axis",
            ),
            "core_psi": ("float64", "deg", "angle of the image's axis in the tilted ground frame"),
        }.items()
    }  # fmt: skip

    def check(self, schema: Schema, static: Mapping[str, Columns]) -> None:
        """See that all cameras have the chosen focal length, and that their parameters were made with it."""
        super().check(schema, static)
        check_choice(self.focal_length, schema, static)

    def brings(self) -> dict[str, tuple[Table, Columns]]:
        """The choice of the focal length, unless it is that of the parameters in the telescope frame."""
        return choice(self.focal_length) if self.frame == "camera" else {}

    def requires(self, schema: Schema) -> list[str]:
        """Columns read, with the Hillas parameters of the chosen frame."""
        hillas = [name for column in self._hillas for name in schema.resolve(f"@camera/{column}")]
        return super().requires(schema) + hillas

    @property
    def _hillas(self) -> list[str]:
        prefix, cog = (
            ("camera_frame_", ("x", "y")) if self.frame == "camera" else ("", ("fov_lon", "fov_lat"))
        )
        return [f"{prefix}hillas_{name}" for name in (*cog, "psi", "intensity", "length", "width")]

    def __call__(self, partition: Partition) -> dict[str, np.ndarray]:
        labels = [table.name for table in partition.schema.matching("@camera")]
        tables = [self._readouts(partition, label) for label in labels]
        readouts = {name: np.concatenate([table[name] for table in tables]) for name in tables[0]}
        events, event = partition.tables["events"], readouts["event"]
        array = partition.conditions["array"]
        telescope = telescope_rows(array, events["run"][event], readouts["tel_id"])
        position = np.stack([array[f"pos_{axis}"][telescope] for axis in "xyz"], axis=-1)
        rows = np.flatnonzero(readouts["passes"])
        # this order makes the sums independent of the order of the camera tables
        rows = rows[np.lexsort((readouts["tel_id"][rows], event[rows]))]
        result, core_psi = _reconstruct(events, {n: c[rows] for n, c in readouts.items()}, position[rows])

        valid = result["is_valid"][event]
        result["h_max"] += _reference_altitude(partition.conditions["observation"], events["run"])
        axis = (result[name][event] for name in ("alt", "az", "core_x", "core_y"))
        of_readouts = {
            "HillasReconstructor_is_used": np.zeros(len(event), dtype=bool),
            "HillasReconstructor_tel_impact_distance": impact_distance(*axis, position),
            "core_psi": np.full(len(event), np.nan),
        }
        of_readouts["HillasReconstructor_is_used"][rows] = valid[rows]
        of_readouts["core_psi"][rows] = np.where(valid[rows], np.rad2deg(core_psi), np.nan)
        ends = np.cumsum([len(table["event"]) for table in tables])
        return {f"events/HillasReconstructor_{name}": column for name, column in result.items()} | {
            f"{label}/{name}": part
            for name, column in of_readouts.items()
            for label, part in zip(labels, np.split(column, ends[:-1]), strict=True)
        }

    def _readouts(self, partition: Partition, label: str) -> Columns:
        """What is needed of the readouts of one camera: angles in radians, ``points`` of `image_planes`."""
        columns = partition.tables.get(label, {})
        names = ("tel_id", "pointing_altitude", "pointing_azimuth", "morphology_n_pixels", *self._hillas)
        none = np.zeros(0, dtype=np.int64)
        tel_id, altitude, azimuth, n_pixels, x, y, psi, intensity, length, width = (
            columns.get(name, none) for name in names
        )
        passes = (intensity > self.min_intensity) & (n_pixels > self.min_pixels) & (width > 0)
        kind = self.focal_length if self.focal_length != "auto" else chosen(partition.conditions)
        radius = geometry_of(partition.conditions, label, self.frame, kind).radius
        psi = np.deg2rad(psi)
        cog = np.stack([x, y], axis=-1)
        points = np.stack([cog, cog + 0.1 * radius * np.stack([np.cos(psi), np.sin(psi)], axis=-1)], axis=1)
        if self.frame == "camera":  # x is along altitude there; and the camera's radius gives the scale
            points = points[..., ::-1] * (
                geometry_of(partition.conditions, label, "telescope", kind).radius / radius
            )
        return {
            "event": partition.owners(label),
            "tel_id": tel_id,
            "passes": passes & columns.get(SELECTED, True),
            "points": np.deg2rad(points),
            "pointing": np.deg2rad(np.stack([altitude, azimuth], axis=-1)),
            "intensity": intensity,
            "weight": intensity * length / np.where(passes, width, np.nan),
        }


def _reconstruct(events: Columns, used: Columns, position: np.ndarray) -> tuple[Columns, np.ndarray]:
    """Results by event, heights from the array's altitude, and the ``core_psi`` [rad] of each image."""
    array_pointing = np.deg2rad(np.stack([events["array_altitude"], events["array_azimuth"]], axis=-1))
    n_images = np.bincount(used["event"], minlength=len(array_pointing))
    starts = offsets(n_images)
    cog, normal, psi = image_planes(used["points"], used["pointing"], array_pointing[used["event"]])
    direction, uncertainty = shower_directions(starts, normal, used["weight"])
    tilted, ground = impact_points(starts, psi, position, array_pointing)
    altitude, azimuth = direction_to_horizon(tuple(direction.T.copy()))
    azimuth = np.rad2deg(azimuth) % 360
    total = np.bincount(used["event"], used["intensity"], minlength=len(n_images))
    result = {
        "alt": np.rad2deg(altitude),
        "az": np.where(azimuth < 360, azimuth, 0.0),  # the remainder of a tiny negative angle is 360
        "alt_uncert": np.rad2deg(uncertainty),
        "az_uncert": np.rad2deg(uncertainty),
        "core_x": ground[:, 0],
        "core_y": ground[:, 1],
        "core_tilted_x": tilted[:, 0],
        "core_tilted_y": tilted[:, 1],
        "h_max": shower_heights(starts, cog, position),
        "average_intensity": total / np.maximum(n_images, 1),
    }
    valid = np.isfinite(direction).all(axis=1)
    result = {name: np.where(valid, column, np.nan) for name, column in result.items()}
    n_telescopes = np.where(valid, n_images, 0).astype(np.int16)
    return result | {"is_valid": valid, "n_telescopes": n_telescopes}, psi


def _reference_altitude(observation: Columns, run: np.ndarray) -> np.ndarray:
    """Height of the array above sea level [m] for each event."""
    altitudes = dict(zip(observation["run"].tolist(), observation["reference_altitude"], strict=True))
    return np.array([altitudes[number] for number in run.tolist()])

"""Image parameters: what is kept of an image when its pixels are dropped.

Names and definitions are ctapipe's (its containers and its ``ImageProcessor``). An image is
parametrised if two or more pixels survived, with a positive sum and no negative charge; otherwise its
parameters are NaN, and -1 where they are integers.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, NamedTuple

import numpy as np
from pydantic import Field

from etendue.dataflow.partition import Partition
from etendue.dataflow.stage import TableStage
from etendue.iact.camera import FocalLength, Frame, Geometry, geometry_of
from etendue.iact.cleaning import pixels_above
from etendue.iact.focal_length import DESCRIPTION, check_choice, choice
from etendue.iact.hillas import (
    along_and_across,
    axis_uncertainty,
    concentration,
    major_axis,
    shape,
    spread,
    spread_uncertainty,
)
from etendue.iact.morphology import islands
from etendue.iact.schema import CAMERA
from etendue.iact.timing import timing
from etendue.kernel import kernel
from etendue.schema import Columns, Schema, Table, Variable


class Parameter(NamedTuple):
    """One image parameter; ``{length}`` stands for the unit of lengths in the frame."""

    name: str
    dtype: str
    units: str
    description: str
    true_dtype: str = ""  # of the simulated image, if it is another


PARAMETERS = tuple(
    Parameter(*row)
    for row in (
        ("hillas_intensity", "float64", "pe", "sum of the charges"),
        ("hillas_skewness", "float64", "", "asymmetry of the image along its major axis"),
        ("hillas_kurtosis", "float64", "", "tailedness along the major axis, 3 for a Gaussian"),
        ("hillas_x", "float64", "{length}", "centre of gravity"),
        ("hillas_y", "float64", "{length}", "centre of gravity"),
        ("hillas_r", "float64", "{length}", "distance of the centre of gravity from the camera's centre"),
        ("hillas_phi", "float64", "deg", "polar angle of the centre of gravity"),
        ("hillas_length", "float64", "{length}", "standard deviation along the major axis"),
        ("hillas_length_uncertainty", "float64", "{length}", "uncertainty of the length"),
        ("hillas_width", "float64", "{length}", "standard deviation across the major axis"),
        ("hillas_width_uncertainty", "float64", "{length}", "uncertainty of the width"),
        ("hillas_psi", "float64", "deg", "angle of the major axis to the x axis"),
        ("hillas_psi_uncertainty", "float64", "deg", "uncertainty of psi"),
        ("hillas_transverse_cog_uncertainty", "float64", "{length}", "of the centre across the major axis"),
        ("timing_slope", "float64", "ns {length}-1", "change of the arrival time along the major axis"),
        ("timing_intercept", "float64", "ns", "arrival time at the centre of gravity"),
        ("timing_deviation", "float64", "ns", "root mean square of the times about the line"),
        ("leakage_pixels_width_1", "float64", "", "fraction of the pixels in the camera's border"),
        ("leakage_pixels_width_2", "float64", "", "the same for a border of two pixels"),
        ("leakage_intensity_width_1", "float32", "", "fraction of the charge in the border", "float64"),
        ("leakage_intensity_width_2", "float32", "", "the same for a border of two pixels", "float64"),
        ("concentration_cog", "float64", "", "fraction of the charge within a pixel of the centre"),
        ("concentration_core", "float64", "", "fraction of the charge in the ellipse"),
        ("concentration_pixel", "float64", "", "fraction of the charge in the brightest pixel"),
        ("morphology_n_pixels", "int64", "", "pixels that survived cleaning"),
        ("morphology_n_islands", "int64", "", "connected groups of pixels"),
        ("morphology_n_small_islands", "int64", "", "islands of up to 2 pixels"),
        ("morphology_n_medium_islands", "int64", "", "islands of 3 to 50 pixels"),
        ("morphology_n_large_islands", "int64", "", "islands of more than 50 pixels"),
        ("intensity_max", "float32", "pe", "greatest charge of a pixel", "int32"),
        ("intensity_min", "float32", "pe", "least charge of a pixel", "int32"),
        ("intensity_mean", "float32", "pe", "mean charge of a pixel", "float64"),
        ("intensity_std", "float32", "pe", "standard deviation of the charges", "float64"),
        ("intensity_skewness", "float64", "", "skewness of the charges"),
        ("intensity_kurtosis", "float64", "", "excess kurtosis of the charges, 0 for a Gaussian"),
        ("peak_time_max", "float32", "ns", "latest arrival time"),
        ("peak_time_min", "float32", "ns", "earliest arrival time"),
        ("peak_time_mean", "float32", "ns", "mean arrival time"),
        ("peak_time_std", "float32", "ns", "standard deviation of the arrival times"),
        ("peak_time_skewness", "float64", "", "skewness of the arrival times"),
        ("peak_time_kurtosis", "float64", "", "excess kurtosis of the arrival times"),
    )
)

#: Record of one image's parameters, as kernels fill it, and that of a simulated image.
RECORD = np.dtype([(p.name, p.dtype) for p in PARAMETERS], align=True)
TRUE_RECORD = np.dtype([(p.name, p.true_dtype or p.dtype) for p in PARAMETERS], align=True)


class Scratch(NamedTuple):
    """Working memory for the images of one camera; made by `Scratch.of`, reused image by image."""

    values: np.ndarray
    order: np.ndarray
    member: np.ndarray

    @staticmethod
    def of(n_pixels: int) -> Scratch:
        """Working memory for images of ``n_pixels``."""
        return Scratch(
            np.empty((13, n_pixels)), np.empty(n_pixels, np.int32), np.zeros(n_pixels, dtype=np.bool_)
        )


@kernel
def statistics(values: np.ndarray) -> tuple[float, float, float, float, float, float]:
    """Maximum, minimum, mean, standard deviation, skewness and excess kurtosis; NaN if any value is."""
    greatest, least, total = values[0], values[0], 0.0
    for value in values:
        greatest, least = max(greatest, value), min(least, value)
        total += value
    mean = total / values.size
    second, third, fourth = 0.0, 0.0, 0.0
    for value in values:
        square = (value - mean) ** 2
        second += square
        third += square * (value - mean)
        fourth += square * square
    if np.isnan(mean):
        greatest, least = mean, mean
    variance = second / values.size
    std = np.sqrt(variance)
    skewness = third / values.size / (variance * std)
    return greatest, least, mean, std, skewness, fourth / values.size / (variance * variance) - 3


@kernel
def parametrise_image(
    image: np.ndarray,
    peak_time: np.ndarray,
    pixels: np.ndarray,
    geometry: Geometry,
    scratch: Scratch,
    record: np.void,
) -> None:
    """Compute the parameters of one image from its surviving pixels.

    Parameters
    ----------
    image : array, shape (n_pixels,)
        Charges [pe].
    peak_time : array, shape (n_pixels,) or (0,)
        Arrival times [ns]; none for a simulated image, whose record keeps its defaults for times.
    pixels : int32 array, shape (n,)
        The surviving pixels, ascending.
    geometry : Geometry
        Pixels of the camera, in the frame of the parameters.
    scratch : Scratch
        Working memory.
    record : record of dtype ``RECORD`` or ``TRUE_RECORD``
        Output: holds defaults, which remain if the image cannot be parametrised.
    """
    n = pixels.size
    values = scratch.values
    x, y, charge, area = values[0][:n], values[1][:n], values[2][:n], values[3][:n]
    width, times, longitudinal, transverse = values[4][:n], values[5][:n], values[6][:n], values[7][:n]
    size, n_negative = 0.0, 0
    for i in range(n):
        charge[i] = image[pixels[i]]
        size += charge[i]
        n_negative += charge[i] < 0
    if n < 2 or n_negative > 0 or not size > 0:
        return
    border_1, border_2, leaked_1, leaked_2 = 0, 0, 0.0, 0.0
    for i in range(n):
        pixel = pixels[i]
        x[i], y[i] = geometry.pixel_x[pixel], geometry.pixel_y[pixel]
        area[i], width[i] = geometry.pixel_area[pixel], geometry.pixel_width[pixel]
        if geometry.border_1[pixel]:
            border_1 += 1
            leaked_1 += charge[i]
        if geometry.border_2[pixel]:
            border_2 += 1
            leaked_2 += charge[i]
    record.leakage_pixels_width_1, record.leakage_pixels_width_2 = border_1 / n, border_2 / n
    record.leakage_intensity_width_1, record.leakage_intensity_width_2 = leaked_1 / size, leaked_2 / size

    _fill_hillas(x, y, charge, area, width, size, longitudinal, transverse, record)
    (
        record.intensity_max,
        record.intensity_min,
        record.intensity_mean,
        record.intensity_std,
        record.intensity_skewness,
        record.intensity_kurtosis,
    ) = statistics(charge)
    record.morphology_n_pixels = n
    (
        record.morphology_n_islands,
        record.morphology_n_small_islands,
        record.morphology_n_medium_islands,
        record.morphology_n_large_islands,
    ) = islands(pixels, geometry.indptr, geometry.indices, scratch.member, scratch.order)
    if peak_time.size > 0:
        for i in range(n):
            times[i] = peak_time[pixels[i]]
        record.timing_slope, record.timing_intercept, record.timing_deviation = timing(
            longitudinal, times, values[8:], scratch.order[:n]
        )
        (
            record.peak_time_max,
            record.peak_time_min,
            record.peak_time_mean,
            record.peak_time_std,
            record.peak_time_skewness,
            record.peak_time_kurtosis,
        ) = statistics(times)


@kernel
def _fill_hillas(x, y, charge, area, pixel_width, size, longitudinal, transverse, record):
    """Hillas and concentration parameters of the surviving pixels; fills their shower coordinates."""
    cog_x, cog_y, length, psi = major_axis(x, y, charge, size)
    along_and_across(x, y, cog_x, cog_y, psi, longitudinal, transverse)
    width = spread(transverse, charge, size)
    record.hillas_intensity = size
    record.hillas_x, record.hillas_y = cog_x, cog_y
    record.hillas_r, record.hillas_phi = np.hypot(cog_x, cog_y), np.rad2deg(np.arctan2(cog_y, cog_x))
    record.hillas_length, record.hillas_width = length, width
    record.hillas_length_uncertainty = spread_uncertainty(longitudinal, charge, size, length)
    record.hillas_width_uncertainty = spread_uncertainty(transverse, charge, size, width)
    record.hillas_psi = np.rad2deg(psi)
    record.hillas_skewness, record.hillas_kurtosis = shape(longitudinal, charge, size, length)
    psi_uncertainty, record.hillas_transverse_cog_uncertainty = axis_uncertainty(
        longitudinal, transverse, charge, area, length, width
    )
    record.hillas_psi_uncertainty = np.rad2deg(psi_uncertainty)
    record.concentration_cog, record.concentration_core, record.concentration_pixel = concentration(
        longitudinal, transverse, charge, pixel_width, size, length, width
    )


@kernel
def parametrise(
    images: np.ndarray,
    peak_times: np.ndarray,
    masks: np.ndarray,
    geometry: Geometry,
    scratch: Scratch,
    records: np.ndarray,
) -> None:
    """Compute the parameters of images of one camera type, see `parametrise_image`.

    Parameters
    ----------
    images : array, shape (n_readouts, n_pixels)
        Charges [pe].
    peak_times : array, shape (n_readouts, n_pixels) or (n_readouts, 0)
        Arrival times [ns]; none for simulated images.
    masks : uint8 array, shape (n_readouts, n_pixels)
        1 where a pixel survived.
    geometry : Geometry
        Pixels of the camera, in the frame of the parameters.
    scratch : Scratch
        Working memory.
    records : array of ``RECORD`` or ``TRUE_RECORD``, shape (n_readouts,)
        Output, with defaults in it.
    """
    pixels = np.empty(images.shape[1], dtype=np.int32)
    for row in range(images.shape[0]):
        n = pixels_above(masks[row], np.uint8(1), pixels)
        parametrise_image(images[row], peak_times[row], pixels[:n], geometry, scratch, records[row])


def default_records(n: int, dtype: np.dtype) -> np.ndarray:
    """Records of images that are not parametrised: NaN, and -1 for integers."""
    records = np.empty(n, dtype)
    for name in dtype.names:
        records[name] = np.nan if dtype[name].kind == "f" else -1
    return records


def column_name(parameter: str, frame: Frame) -> str:
    """Name of a parameter's column, as ctapipe writes it."""
    if frame == "camera":
        return f"camera_frame_{parameter}" if parameter.startswith(("hillas_", "timing_")) else parameter
    return {"hillas_x": "hillas_fov_lon", "hillas_y": "hillas_fov_lat"}.get(parameter, parameter)


class Parametrise(TableStage):
    """Compute image parameters from images and the masks of their surviving pixels.

    In the telescope frame lengths are degrees and columns are called ``hillas_fov_lon``,
    ``hillas_length``...; in the camera frame they are metres and ``camera_frame_hillas_x``.... Simulated
    images, where there are any, give the same columns with ``true_`` before their names, but for times.
    """

    kind: ClassVar[str] = CAMERA
    reads: ClassVar = ("@camera/image", "@camera/peak_time", "@camera/image_mask", "@camera/true_image?")

    frame: Frame = Field("telescope", description="degrees on the sky, or metres in the camera")
    true_images: bool = Field(False, description="parametrise simulated images, too")
    focal_length: FocalLength = Field("auto", description=DESCRIPTION)

    def check(self, schema: Schema, static: Mapping[str, Columns]) -> None:
        """See that all cameras have the chosen focal length."""
        super().check(schema, static)
        if self.frame == "telescope":
            check_choice(self.focal_length, schema, static)

    def brings(self) -> dict[str, tuple[Table, Columns]]:
        """The choice of the focal length."""
        return choice(self.focal_length) if self.frame == "telescope" else {}

    def requires(self, schema: Schema) -> list[str]:
        """The columns that this stage reads; simulated images only if they are to be parametrised."""
        names = super().requires(schema)
        return [name for name in names if self.true_images or not name.endswith("/true_image")]

    def provides(self, schema: Schema) -> dict[str, Variable]:
        """The columns that this stage writes."""
        made = {}
        for table in schema.matching(f"@{self.kind}"):
            for variable in self._variables(true=False):
                made[f"{table.name}/{variable.name}"] = variable
            if self.true_images and "true_image" in table.variables:
                for variable in self._variables(true=True):
                    made[f"{table.name}/{variable.name}"] = variable
        return made

    def process(self, table: str, columns: Columns, partition: Partition) -> Columns:
        """Parametrise the images of one camera type."""
        geometry = geometry_of(partition.conditions, table, self.frame, self.focal_length)
        image, scratch = columns["image"], Scratch.of(columns["image"].shape[1])
        records = default_records(len(image), RECORD)
        mask = np.ascontiguousarray(columns["image_mask"]).view(np.uint8)
        parametrise(image, columns["peak_time"], mask, geometry, scratch, records)
        made = self._columns(records, true=False)
        if self.true_images and "true_image" in columns:
            image = columns["true_image"]
            records = default_records(len(image), TRUE_RECORD)
            mask = np.ascontiguousarray(image > 0).view(np.uint8)
            parametrise(image, columns["peak_time"][:, :0], mask, geometry, scratch, records)
            made |= self._columns(records, true=True)
        return made

    def _parameters(self, true: bool) -> list[tuple[str, Parameter]]:
        """Parameters with the names of their columns; a simulated image has no times."""
        return [
            ("true_" * true + column_name(p.name, self.frame), p)
            for p in PARAMETERS
            if not (true and p.name.startswith(("timing_", "peak_time_")))
        ]

    def _variables(self, true: bool) -> list[Variable]:
        length = "m" if self.frame == "camera" else "deg"
        return [
            Variable(
                name,
                ("readout",),
                (true and p.true_dtype) or p.dtype,
                p.units.format(length=length),
                f"simulated image: {p.description}" if true else p.description,
            )
            for name, p in self._parameters(true)
        ]

    def _columns(self, records: np.ndarray, true: bool) -> Columns:
        return {name: np.ascontiguousarray(records[p.name]) for name, p in self._parameters(true)}

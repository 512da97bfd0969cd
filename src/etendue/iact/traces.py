"""From waveforms to images: each pixel's pulse is integrated to its charge and arrival time."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Literal

import numpy as np
from pydantic import Field, NonNegativeInt, PositiveInt

from etendue.dataflow.partition import Partition
from etendue.dataflow.registry import ConfigError
from etendue.iact.calibration import R1Waveform, calibration_rows, take_channel
from etendue.iact.camera import geometry_of
from etendue.iact.peaks import MAX_NEIGHBOURS, neighbour_table
from etendue.iact.pulses import Coefficients, Windows, integrate, integration_correction
from etendue.iact.schema import CAMERA
from etendue.iact.telescopes import ByTelescope, CameraStage, of_camera, values
from etendue.kernel import kernel
from etendue.schema import Columns, Schema, SchemaError


@kernel
def interpolate(
    image: np.ndarray,
    peak_time: np.ndarray,
    channel: np.ndarray,
    row: np.ndarray,
    broken: np.ndarray,
    indptr: np.ndarray,
    indices: np.ndarray,
) -> None:
    """Set broken pixels to the mean of their neighbours that are not broken; to 0 if there are none.

    Parameters
    ----------
    image, peak_time : float32 array, shape (n_readouts, n_pixels)
        Charges and times, changed in place.
    channel : uint8 array, shape (n_readouts, n_pixels)
        Gain channel of each pixel.
    row : int64 array, shape (n_readouts,)
        Row of ``broken`` that holds for each readout.
    broken : bool array, shape (n_rows, n_gains, n_pixels)
        Pixels to interpolate.
    indptr, indices : int32 array
        Neighbours of each pixel, see `etendue.iact.camera.Geometry`.

    Notes
    -----
    The rule of ctapipe's ``NeighborAverage``.
    """
    mask = np.empty(image.shape[1], dtype=np.bool_)
    for i in range(image.shape[0]):
        take_channel(broken[row[i]], channel[i], mask)
        for pixel in range(mask.size):
            if not mask[pixel]:
                continue
            charge, time, n_found = 0.0, 0.0, 0
            for other in indices[indptr[pixel] : indptr[pixel + 1]]:
                if not mask[other]:
                    charge += image[i, other]
                    time += peak_time[i, other]
                    n_found += 1
            image[i, pixel] = charge / max(n_found, 1)
            peak_time[i, pixel] = time / max(n_found, 1)


class Integrate(CameraStage):
    """Integrate each pixel's pulse to its charge and arrival time (R1 to DL1 images).

    Gives what ctapipe's ``NeighborPeakWindowSum`` or ``LocalPeakWindowSum`` and its ``CameraCalibrator``
    do: the window is set to the peak of the sum of a pixel's neighbours, or of the pixel itself; charges
    are corrected for the part of the reference pulse outside of the window.

    A pixel whose pedestal or dc_to_pe is not finite (or its samples, where waveforms come calibrated), or
    whose dc_to_pe is negative, counts as broken; without interpolation its charge is NaN. A camera with
    one sample gives that sample as charge, and times of 0.
    """

    reads: ClassVar = (
        "@camera/waveform",
        "@camera/selected_gain_channel?",
        "@camera/tel_id",
        "events/run",
        "events/event_index",
    )
    writes: ClassVar = {
        "@camera/image": (("readout", "pixel"), "float32", "pe", "charge of the pulse"),
        "@camera/peak_time": (("readout", "pixel"), "float32", "ns", "arrival time in the readout window"),
    }

    method: Literal["neighbor_peak", "local_peak"] = Field(
        "neighbor_peak",
        description="whose peak sets the window: that of the neighbours' sum or the pixel's own",
    )
    window: ByTelescope[PositiveInt] = Field(7, description="length of the window in samples")
    shift: ByTelescope[int] = Field(3, description="samples that the window starts before the peak")
    local_weight: ByTelescope[NonNegativeInt] = Field(
        0, description="how many times the pixel itself counts in the neighbours' sum"
    )
    correct: bool = Field(True, description="correct the charge for the pulse outside of the window")
    apply_time_shift: bool = Field(True, description="subtract the calibration's time shifts")
    interpolate_broken: bool = Field(True, description="set broken pixels to the mean of their neighbours")

    def check(self, schema: Schema, static: Mapping[str, Columns]) -> None:
        """See that the windows fit the readouts of each camera."""
        super().check(schema, static)
        for table in schema.matching(f"@{CAMERA}"):
            n_samples = table.sizes.get("sample", 1)
            if n_samples == 1:
                continue  # that sample is the charge, whatever the window
            for name, most in (("window", n_samples), ("shift", n_samples - 1)):
                found = of_camera(getattr(self, name), table.name, static)
                if (beyond := found[np.abs(found) > most]).size:
                    raise ConfigError(
                        f"{name} = {beyond[0]}, but a readout of {table.name!r} has {n_samples} samples; "
                        f"expected {most} at most"
                    )

    def process(self, table: str, columns: Columns, partition: Partition) -> Columns:
        waveform = columns["waveform"]
        n_readouts, n_samples, n_pixels = waveform.shape
        channel = columns.get("selected_gain_channel")
        if channel is None:
            channel = np.zeros((n_readouts, n_pixels), dtype=np.uint8)
        r0, row, coefficients = self._calibration(waveform, channel, table, partition)
        if n_samples == 1:
            image = np.array(waveform, dtype=np.float32)[:, 0]
            peak_time = np.zeros_like(image)
        else:
            sampling_rate, windows = self._windows(table, columns["tel_id"], partition)
            neighbours = np.empty((0, MAX_NEIGHBOURS), dtype=np.uint32)
            if self.method == "neighbor_peak":
                geometry = geometry_of(partition.conditions, table)
                neighbours = neighbour_table(geometry.indptr, geometry.indices)
            image, peak_time = integrate(r0, channel, row, coefficients, windows, neighbours, sampling_rate)
        if self.interpolate_broken and coefficients.broken.any():
            geometry = geometry_of(partition.conditions, table)
            interpolate(
                image, peak_time, channel, row, coefficients.broken, geometry.indptr, geometry.indices
            )
        return {"image": image, "peak_time": peak_time}

    def _calibration(
        self, waveform: R1Waveform | np.ndarray, channel: np.ndarray, table: str, partition: Partition
    ) -> tuple[np.ndarray, np.ndarray, Coefficients]:
        """Samples [readout, gain, sample, pixel], their coefficients, and the row of these by readout."""
        known = partition.conditions.get(f"calibration/{table}")
        if isinstance(waveform, R1Waveform):
            shift = known["time_shift"] if self.apply_time_shift else np.zeros_like(known["time_shift"])
            coefficients = Coefficients.of(waveform.pedestal, waveform.dc_to_pe, shift, known["broken"])
            return np.ascontiguousarray(waveform.r0), waveform.row, coefficients
        samples = np.ascontiguousarray(waveform, dtype=np.float32)
        shift, broken = np.zeros(channel.shape, dtype=np.float32), np.zeros(channel.shape, dtype=bool)
        if known is not None:
            pixel = (calibration_rows(partition, table)[:, None], channel, np.arange(channel.shape[1]))
            broken = known["broken"][pixel]
            shift = known["time_shift"][pixel] if self.apply_time_shift else shift
        factor = np.where(np.isfinite(samples).all(axis=1), np.float32(1), np.float32(np.nan))
        by_gain = (np.zeros_like(factor), factor, shift, broken)
        coefficients = Coefficients.of(*(array[:, None] for array in by_gain))
        return samples[:, None], np.arange(len(samples)), coefficients

    def _windows(self, table: str, tel_id: np.ndarray, partition: Partition) -> tuple[float, Windows]:
        """Sampling rate of the camera, and the windows of its readouts."""
        conditions = partition.conditions
        if f"readout/{table}" not in conditions:
            raise SchemaError(
                f"the run has no table 'readout/{table}', whose sampling rate and reference pulse are needed "
                f"to integrate the waveforms of {table!r}"
            )
        readout = conditions[f"readout/{table}"]
        run = partition["events/run"][partition.owners(table)]
        width, shift, local_weight = (
            values(parameter, conditions, run, tel_id).astype(np.int64)
            for parameter in (self.window, self.shift, self.local_weight)
        )
        sampling_rate = float(readout["sampling_rate"][0])
        pulse = readout["reference_pulse_shape"]
        correction = np.ones((len(tel_id), len(pulse)), dtype=np.float32)
        if self.correct:
            step = float(readout["reference_pulse_sample_width"][0])
            for w, s in np.unique(np.stack([width, shift], axis=1), axis=0):
                correction[(width == w) & (shift == s)] = integration_correction(
                    pulse, step, 1 / sampling_rate, w, s
                )
        return sampling_rate, Windows(width, shift, local_weight, correction)

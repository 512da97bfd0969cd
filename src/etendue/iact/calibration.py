"""Calibration of raw camera samples: gain selection, and R1 = (R0 - pedestal) * dc_to_pe.

R1 waveforms are twice as large as the raw samples and are hardly ever needed as a whole, so that
`Calibrate` leaves them unevaluated: an `R1Waveform` holds what they are made of.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
from pydantic import Field

from etendue.dataflow.partition import Partition
from etendue.dataflow.source import SourceError
from etendue.dataflow.stage import TableStage
from etendue.iact.schema import CAMERA
from etendue.kernel import kernel
from etendue.schema import Columns


@kernel
def select_gain(r0: np.ndarray, threshold: int) -> np.ndarray:
    """Gain channel of each pixel: 1 (low) where any high-gain sample is above a threshold, else 0.

    Parameters
    ----------
    r0 : uint16 array, shape (n_readouts, n_gains, n_samples, n_pixels)
        Raw samples; gain channel 0 is the high gain.
    threshold : int
        Counts.

    Returns
    -------
    uint8 array, shape (n_readouts, n_pixels)
        Zero throughout if there is one gain channel only.

    Notes
    -----
    The rule of ctapipe's ``ThresholdGainSelector``.
    """
    n_readouts, n_gains, n_samples, n_pixels = r0.shape
    channel = np.zeros((n_readouts, n_pixels), dtype=np.uint8)
    if n_gains == 1:
        return channel
    largest = np.empty(n_pixels, dtype=r0.dtype)
    for readout in range(n_readouts):
        for pixel in range(n_pixels):
            largest[pixel] = 0
        for sample in range(n_samples):
            row = r0[readout, 0, sample]
            for pixel in range(n_pixels):
                largest[pixel] = max(largest[pixel], row[pixel])
        for pixel in range(n_pixels):
            channel[readout, pixel] = largest[pixel] > threshold
    return channel


@kernel
def take_channel(by_gain: np.ndarray, channel: np.ndarray, out: np.ndarray) -> None:
    """Values of each pixel's gain channel: out[pixel] = by_gain[channel[pixel], pixel].

    Parameters
    ----------
    by_gain : array, shape (n_gains, n_pixels)
        Values of each gain channel.
    channel : uint8 array, shape (n_pixels,)
        Gain channel.
    out : array, shape (at least n_pixels,)
        The result.
    """
    row = by_gain[0]
    for pixel in range(row.size):
        out[pixel] = row[pixel]
    for gain in range(1, by_gain.shape[0]):
        row = by_gain[gain]
        for pixel in range(row.size):
            value, kept = row[pixel], out[pixel]
            out[pixel] = value if channel[pixel] == gain else kept


@kernel
def select_samples(r0: np.ndarray, channel: np.ndarray, out: np.ndarray) -> None:
    """Raw samples of each pixel's gain channel in one readout.

    Parameters
    ----------
    r0 : array, shape (n_gains, n_samples, n_pixels)
        Samples of all gain channels.
    channel : uint8 array, shape (n_pixels,)
        Gain channel.
    out : array, shape (n_samples, at least n_pixels)
        The result.
    """
    for gain in range(r0.shape[0]):
        for sample in range(out.shape[0]):
            row, kept = r0[gain, sample], out[sample]
            for pixel in range(row.size):
                new, old = row[pixel], kept[pixel]
                kept[pixel] = new if channel[pixel] == gain else old


@kernel
def calibrate(
    r0: np.ndarray, channel: np.ndarray, pedestal: np.ndarray, dc_to_pe: np.ndarray, row: np.ndarray
) -> np.ndarray:
    """R1 waveforms of the selected gain channels, x = (r0 - pedestal) * dc_to_pe in float32.

    Parameters
    ----------
    r0 : uint16 array, shape (n_readouts, n_gains, n_samples, n_pixels)
        Raw samples.
    channel : uint8 array, shape (n_readouts, n_pixels)
        Selected gain channel.
    pedestal, dc_to_pe : float32 array, shape (n_rows, n_gains, n_pixels)
        Calibration coefficients: counts, and photo-electrons a count.
    row : int64 array, shape (n_readouts,)
        Row of the coefficients that holds for each readout.

    Returns
    -------
    float32 array, shape (n_readouts, n_samples, n_pixels)
        Photo-electrons; NaN where a coefficient is NaN.
    """
    n_readouts, _, n_samples, n_pixels = r0.shape
    waveform = np.empty((n_readouts, n_samples, n_pixels), dtype=np.float32)
    samples = np.empty((n_samples, n_pixels), dtype=r0.dtype)
    offset = np.empty(n_pixels, dtype=np.float32)
    factor = np.empty(n_pixels, dtype=np.float32)
    for readout in range(n_readouts):
        take_channel(pedestal[row[readout]], channel[readout], offset)
        take_channel(dc_to_pe[row[readout]], channel[readout], factor)
        select_samples(r0[readout], channel[readout], samples)
        for sample in range(n_samples):
            raw, out = samples[sample], waveform[readout, sample]
            for pixel in range(n_pixels):
                out[pixel] = (np.float32(raw[pixel]) - offset[pixel]) * factor[pixel]
    return waveform


@dataclass(frozen=True, eq=False)
class R1Waveform:
    """Calibrated waveforms that are evaluated when NumPy asks for them.

    ``np.asarray`` gives the float32 array [readout, sample, pixel] in photo-electrons; indexing by rows
    gives another unevaluated waveform.

    Parameters
    ----------
    r0 : uint16 array, shape (n_readouts, n_gains, n_samples, n_pixels)
        Raw samples.
    selected_gain_channel : uint8 array, shape (n_readouts, n_pixels)
        Gain channel of each pixel.
    pedestal, dc_to_pe : float32 array, shape (n_rows, n_gains, n_pixels)
        Calibration coefficients.
    row : int64 array, shape (n_readouts,)
        Row of the coefficients that holds for each readout.
    """

    r0: np.ndarray
    selected_gain_channel: np.ndarray
    pedestal: np.ndarray
    dc_to_pe: np.ndarray
    row: np.ndarray

    dtype: ClassVar = np.dtype(np.float32)
    ndim: ClassVar = 3

    @property
    def shape(self) -> tuple[int, int, int]:
        """Readouts, samples, pixels."""
        n_readouts, _, n_samples, n_pixels = self.r0.shape
        return n_readouts, n_samples, n_pixels

    def __len__(self) -> int:
        return len(self.r0)

    def __getitem__(self, rows: slice | np.ndarray) -> R1Waveform:
        return replace(
            self,
            r0=self.r0[rows],
            selected_gain_channel=self.selected_gain_channel[rows],
            row=self.row[rows],
        )

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        if copy is False:
            raise ValueError(
                "calibrated waveforms are made when they are asked for: there is no view of them"
            )
        r0 = np.ascontiguousarray(self.r0)
        waveform = calibrate(r0, self.selected_gain_channel, self.pedestal, self.dc_to_pe, self.row)
        return waveform if dtype is None else waveform.astype(dtype, copy=False)


def calibration_rows(partition: Partition, camera: str) -> np.ndarray:
    """The row of ``calibration/<camera>`` that holds for each readout of a camera.

    It is the last row of the same run and telescope whose ``valid_from`` is not after the readout's
    event.

    Parameters
    ----------
    partition : Partition
        With ``events/run``, ``events/event_index`` and the camera's ``tel_id``.
    camera : str
        Name of the camera's table.

    Returns
    -------
    int64 array, shape (n_readouts,)
        Rows of ``partition.conditions["calibration/<camera>"]``.

    Raises
    ------
    SourceError
        If no row holds for some readout.
    """
    table = partition.conditions[f"calibration/{camera}"]
    event = partition.owners(camera)
    run, event_index = partition["events/run"][event], partition["events/event_index"][event]
    tel_id = partition[f"{camera}/tel_id"]
    # A row holds from (telescope of a run, valid_from) on; as one integer, valid_from is its rank.
    starts = np.unique(table["valid_from"])
    known, group = np.unique(_telescope(table["run"], table["tel_id"]), return_inverse=True)
    from_key = group * (len(starts) + 1) + np.searchsorted(starts, table["valid_from"], side="right")
    order = np.argsort(from_key, kind="stable")
    telescope = _telescope(run, tel_id)
    key = np.searchsorted(known, telescope) * (len(starts) + 1)
    key += np.searchsorted(starts, event_index, side="right")
    position = np.searchsorted(from_key[order], key, side="right") - 1
    row = order[position] if len(order) else np.zeros(len(key), dtype=np.int64)
    held = position >= 0
    held[held] = _telescope(table["run"], table["tel_id"])[row[held]] == telescope[held]
    if not held.all():
        first = int(np.argmin(held))
        raise SourceError(
            f"calibration/{camera}",
            f"run {run[first]}, telescope {tel_id[first]}, event_index {event_index[first]}",
            f"none of the {len(order)} rows holds for this readout; the input must give the calibration "
            "of a telescope before its first event or with it",
        )
    return row


def _telescope(run: np.ndarray, tel_id: np.ndarray) -> np.ndarray:
    """One number for each run and telescope."""
    return (run.astype(np.int64) << 16) + tel_id


class Calibrate(TableStage):
    """Select a gain channel for each pixel and calibrate its samples (R0 to R1).

    A pixel's low gain is selected where any of its high-gain samples is above the threshold, in events of
    every type. (ctapipe by default leaves both gain channels of calibration events, such as flat-fields.)

    The waveforms are an `R1Waveform`, evaluated only if they are written or read as an array.
    """

    kind: ClassVar = CAMERA
    reads: ClassVar = ("@camera/r0_waveform", "@camera/tel_id", "events/run", "events/event_index")
    writes: ClassVar = {
        "@camera/waveform": (
            ("readout", "sample", "pixel"), "float32", "pe", "calibrated samples of the selected channel",
            True,
        ),
        "@camera/selected_gain_channel": (
            ("readout", "pixel"), "uint8", "", "gain channel: 0 high gain, 1 low gain"
        ),
    }  # fmt: skip

    gain_threshold: float = Field(
        4000.0, ge=0, description="counts; a pixel with a high-gain sample above it is read in low gain"
    )

    def process(self, table: str, columns: Columns, partition: Partition) -> Columns:
        r0 = columns["r0_waveform"]
        channel = select_gain(r0, int(min(self.gain_threshold, np.iinfo(r0.dtype).max)))
        coefficients = partition.conditions[f"calibration/{table}"]
        waveform = R1Waveform(
            r0,
            channel,
            coefficients["pedestal"],
            coefficients["dc_to_pe"],
            calibration_rows(partition, table),
        )
        return {"waveform": waveform, "selected_gain_channel": channel}

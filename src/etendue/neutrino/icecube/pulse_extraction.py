"""Pulse series from the launches of IceCube's modules: baseline, choice of channel, unfolding."""

from __future__ import annotations

from typing import ClassVar, NamedTuple

import numpy as np
from pydantic import Field, PositiveFloat

from etendue.dataflow.parameters import Name
from etendue.dataflow.partition import Partition
from etendue.dataflow.stage import Stage
from etendue.kernel import kernel, owners
from etendue.neutrino.icecube.unfolding import ATWD, FADC, Digitiser, unfold
from etendue.neutrino.schema import pulse_table
from etendue.schema import Schema, Table

#: Count of the ATWD from which on it is saturated.
SATURATED = 900

#: Flags of pulses of launches in local coincidence (bits LC, ATWD, FADC), and of others (FADC).
HLC_FLAGS, SLC_FLAGS = 7, 4


@kernel
def baseline_subtracted(samples: np.ndarray, n_samples: int, scale: float) -> np.ndarray:
    """Voltage of a waveform over its median, which is the baseline of all but the brightest waveforms.

    Parameters
    ----------
    samples : uint16 array, shape (>= n_samples,)
        Samples [adu].
    n_samples : int
        How many were taken.
    scale : float
        Millivolts of a count.
    """
    taken = samples[:n_samples].astype(np.float64)
    return scale * (taken - np.median(taken))


@kernel
def best_channel(
    samples: np.ndarray,
    n_samples: np.ndarray,
    channel: np.ndarray,
    first: int,
    stop: int,
    most: int,
    saturation: int,
) -> int:
    """Row of a launch's ATWD waveform of the greatest gain that is not saturated; -1 for none."""
    for wanted in range(most):
        for row in range(first, stop):
            if channel[row] != wanted or n_samples[row] == 0:
                continue
            if wanted == most - 1 or np.max(samples[row, : n_samples[row]]) < saturation:
                return row
    return -1


class Calibration(NamedTuple):
    """Nominal calibration of the digitisers: millivolts of a count, and how waveforms were taken.

    Parameters
    ----------
    atwd_scale : tuple of float
        Of each channel [mV].
    fadc_scale : float
        Of the FADC [mV].
    atwd : tuple of Digitiser
        Of each channel.
    fadc : Digitiser
        Of the FADC.
    fadc_delay : float
        How much later than the ATWD's the FADC's first sample is [ns].
    """

    atwd_scale: tuple
    fadc_scale: float
    atwd: tuple
    fadc: Digitiser
    fadc_delay: float


@kernel
def extract(
    begin: np.ndarray,
    atwd: np.ndarray,
    atwd_samples: np.ndarray,
    atwd_channel: np.ndarray,
    atwd_starts: np.ndarray,
    fadc: np.ndarray,
    fadc_samples: np.ndarray,
    fadc_starts: np.ndarray,
    calibration: Calibration,
    spacing: float,
    tolerance: float,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Pulses of many launches, see `unfold`.

    Parameters
    ----------
    begin : float64 array, shape (n_launches,)
        Time of each launch [ns].
    atwd, fadc : uint16 array, shape (n_waveforms, n_samples)
        Samples of all waveforms [adu].
    atwd_samples, fadc_samples : uint16 array, shape (n_waveforms,)
        Samples taken.
    atwd_channel : uint8 array, shape (n_waveforms,)
        Amplifier.
    atwd_starts, fadc_starts : int64 array, shape (n_launches + 1,)
        First waveform of each launch, and the end.
    calibration : Calibration
        Nominal.
    spacing, tolerance : float
        Of the unfolding.

    Returns
    -------
    count : int64 array, shape (n_launches,)
        Pulses of each launch.
    time, charge : float64 array, shape (n_pulses,)
        Nanoseconds; photo-electrons.
    """
    count = np.zeros(begin.size, dtype=np.int64)
    times, charges = [np.empty(0)], [np.empty(0)]
    for launch in range(begin.size):
        row = best_channel(
            atwd, atwd_samples, atwd_channel, atwd_starts[launch], atwd_starts[launch + 1], 3, SATURATED
        )
        channel = atwd_channel[row] if row >= 0 else 0
        bright = np.empty(0)
        if row >= 0:
            bright = baseline_subtracted(atwd[row], atwd_samples[row], calibration.atwd_scale[channel])
        late = np.empty(0)
        if fadc_starts[launch + 1] > fadc_starts[launch]:
            row = fadc_starts[launch]
            late = baseline_subtracted(fadc[row], fadc_samples[row], calibration.fadc_scale)
        time, charge = unfold(
            bright, late, begin[launch], calibration.atwd[channel], calibration.fadc,
            calibration.fadc_delay, spacing, tolerance,
        )  # fmt: skip
        count[launch] = time.size
        times.append(time)
        charges.append(charge)
    total = np.sum(count)
    time, charge, n = np.empty(total), np.empty(total), 0
    for one, other in zip(times, charges):  # noqa: B905 - numba knows no strict zip
        time[n : n + one.size], charge[n : n + one.size] = one, other
        n += one.size
    return count, time, charge


class ExtractPulses(Stage):
    """Unfold the waveforms of launches into pulses: a new pulse series.

    The calibration is nominal, the same for all modules: the times lack the modules' own delays, and the
    charges their own gains.
    """

    launches: Name = Field("InIceRawData", description="table of launches; its waveforms are in two more")
    output: Name = Field("ExtractedPulses", description="name of the pulse series to make")
    spacing: float = Field(1.0, gt=0, description="of the start times that are tried, within the ATWD [ns]")
    tolerance: float = Field(
        4.0, gt=0, description="significance that a pulse must have, in standard deviations of the noise"
    )
    atwd_scale: tuple[PositiveFloat, PositiveFloat, PositiveFloat] = Field(
        (0.122, 0.98, 7.8), description="mV of a count, by channel"
    )
    fadc_scale: float = Field(0.088, gt=0, description="mV of a count of the FADC")
    atwd_bin: float = Field(10 / 3, gt=0, description="time of a sample of the ATWD [ns]")
    fadc_bin: float = Field(25.0, gt=0, description="time of a sample of the FADC [ns]")
    fadc_delay: float = Field(0.0, description="first sample of the FADC after that of the ATWD [ns]")
    noise: float = Field(2.0, gt=0, description="standard deviation of a sample [counts]")

    launch_columns: ClassVar = ("string", "om", "pmt", "time", "local_coincidence")

    def requires(self, schema: Schema) -> list[str]:
        """Launches and their waveforms."""
        atwd = [f"{self.launches}_atwd/{name}" for name in ("channel", "n_samples", "waveform")]
        fadc = [f"{self.launches}_fadc/{name}" for name in ("n_samples", "waveform")]
        return [*(f"{self.launches}/{name}" for name in self.launch_columns), *atwd, *fadc]

    def makes(self, schema: Schema) -> list[Table]:
        """The pulse series."""
        return [pulse_table(self.output)]

    def _calibration(self) -> Calibration:
        atwd = tuple(
            Digitiser(self.atwd_bin, self.noise * scale, template)
            for scale, template in zip(self.atwd_scale, ATWD, strict=True)
        )
        fadc = Digitiser(self.fadc_bin, self.noise * self.fadc_scale, FADC)
        return Calibration(self.atwd_scale, self.fadc_scale, atwd, fadc, self.fadc_delay)

    def __call__(self, partition: Partition) -> dict[str, np.ndarray]:
        name, made = self.launches, pulse_table(self.output)
        n_events = partition.rows("events")
        if not partition.rows(name):
            empty = {f"{self.output}/{c}": np.empty(0, v.dtype) for c, v in made.variables.items()}
            return {**empty, f"events/n_{self.output}": np.zeros(n_events, np.int32)}
        launch = {column: partition[f"{name}/{column}"] for column in self.launch_columns}
        count, time, charge = extract(
            launch["time"],
            *(partition[f"{name}_atwd/{column}"] for column in ("waveform", "n_samples", "channel")),
            partition.offsets(f"{name}_atwd"),
            *(partition[f"{name}_fadc/{column}"] for column in ("waveform", "n_samples")),
            partition.offsets(f"{name}_fadc"),
            self._calibration(),
            self.spacing,
            self.tolerance,
        )
        of_pulse = owners(count)
        event = partition.owners(name)[of_pulse]
        order = np.lexsort((time, *(launch[c][of_pulse] for c in ("pmt", "om", "string")), event))
        of_pulse = of_pulse[order]
        columns = {
            **{c: launch[c][of_pulse] for c in ("string", "om", "pmt")},
            "time": time[order],
            "charge": charge[order],
            "width": np.full(len(order), self.spacing),
            "flags": np.where(launch["local_coincidence"][of_pulse], HLC_FLAGS, SLC_FLAGS),
        }
        pulses = {f"{self.output}/{c}": a.astype(made.variables[c].dtype) for c, a in columns.items()}
        counts = np.bincount(event, minlength=n_events).astype(np.int32)
        return {**pulses, f"events/n_{self.output}": counts}

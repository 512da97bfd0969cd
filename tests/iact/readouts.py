"""Raw readouts for tests: those of the simtel files that the ctapipe reference was made of."""

from collections.abc import Iterator
from dataclasses import replace
from typing import NamedTuple

import h5py
import numpy as np
from eventio import SimTelFile

from etendue.dataflow.partition import Partition
from etendue.schema import Columns

from .images import REFERENCE, Group, partition_of


class Readouts(NamedTuple):
    """Readouts of one camera with the calibration of each, and ctapipe's results: [readout, gain, ...]."""

    group: Group
    r0: np.ndarray
    calibration: Columns
    gains: slice = slice(None)

    @property
    def selected(self) -> np.ndarray:
        """ctapipe's gain channels [readout, pixel]; -1 where it selected none."""
        return self.group.data["r1/selected_gain_channel"][:]

    @property
    def readout(self) -> Columns:
        """Static table of the camera's gain channels."""
        stored = self.group.camera["readout"]
        pulse = stored["reference_pulse_shape"][self.gains]
        return {
            "sampling_rate": np.full(len(pulse), stored.attrs["sampling_rate_GHz"]),
            "reference_pulse_sample_width": np.full(
                len(pulse), stored.attrs["reference_pulse_sample_width_ns"]
            ),
            "reference_pulse_shape": pulse,
        }

    def channel(self, gain: int) -> "Readouts":
        """One gain channel by itself."""
        one = slice(gain, gain + 1)
        calibration = {name: column[:, one] for name, column in self.calibration.items()}
        return self._replace(r0=self.r0[:, one], calibration=calibration, gains=one)

    def partition(self) -> Partition:
        """The readouts, one an event and each with its own calibration, as a table ``toycam``."""
        columns = {"r0_waveform": self.r0}
        return readout_partition(columns, self.calibration, self.readout, self.group.pixels)


def readout_partition(columns: Columns, calibration: Columns, readout: Columns, pixels: Columns) -> Partition:
    """A partition with one readout an event, of telescope 1, each with the next row of the calibration."""
    n = len(next(iter(columns.values())))
    partition = partition_of({"tel_id": np.ones(n, dtype=np.int16), **columns}, np.ones(n, dtype=int), pixels)
    partition.tables["events"]["event_index"] = np.arange(n)
    rows = {
        "run": np.zeros(n, dtype=np.uint32),
        "tel_id": np.ones(n, dtype=np.int16),
        "valid_from": np.arange(n),
    }
    known = {"calibration/toycam": {**rows, **calibration}, "readout/toycam": readout}
    return replace(partition, conditions={**partition.conditions, **known})


def reference_readouts(shared) -> Iterator[Readouts]:
    """All readouts that the reference holds, file by file and camera by camera."""
    with h5py.File(shared / REFERENCE) as reference:
        for name, file in reference.items():
            (path,) = (shared / "data/simtel").glob(f"{name}.simtel.*")
            with SimTelFile(path, skip_calibration=False) as stream:
                wanted = {
                    (int(event), int(tel)): (label, row)
                    for label, data in file["images"].items()
                    for row, (event, tel) in enumerate(
                        zip(data["index/event"][:], data["index/tel_id"][:], strict=True)
                    )
                }
                found = _read(stream, wanted)
            for label, data in file["images"].items():
                rows = [found[label][row] for row in range(len(data["index/tel_id"]))]
                r0, *coefficients = (np.stack(part) for part in zip(*rows, strict=True))
                names = ("pedestal", "dc_to_pe", "time_shift", "broken")
                group = Group(f"{name}/{label}", data, file["cam"][label.partition("__")[0]])
                yield Readouts(group, r0, dict(zip(names, coefficients, strict=True)))


def _read(stream: SimTelFile, wanted: dict) -> dict[str, dict[int, tuple]]:
    """Samples [gain, sample, pixel] and coefficients [gain, pixel] by camera and row of the reference."""
    found: dict[str, dict[int, tuple]] = {}
    try:
        for number, event in enumerate(stream):
            for tel, readout in event["telescope_events"].items():
                if (number, tel) not in wanted:
                    continue
                label, row = wanted[number, tel]
                samples = readout.get("adc_samples")
                samples = readout["adc_sums"][..., None] if samples is None else samples
                monitoring = event["camera_monitorings"][tel]
                calibration = event["laser_calibrations"][tel]
                broken = np.zeros(monitoring["pedestal"].shape, dtype=bool)
                broken[:, stream.telescope_descriptions[tel]["disabled_pixels"]["HV_disabled"]] = True
                found.setdefault(label, {})[row] = (
                    np.ascontiguousarray(samples.transpose(0, 2, 1), dtype=np.uint16),
                    (monitoring["pedestal"] / monitoring["n_ped_slices"]).astype(np.float32),
                    calibration["calib"].astype(np.float32),
                    calibration["tm_calib"].astype(np.float32),
                    broken,
                )
    except EOFError:
        pass  # one of the files was cut short
    return found

"""Simulated runs as a source: ``simulated://gamma?n_showers=1000&seed=1``."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence

import numpy as np
from pydantic import ValidationError

from etendue.dataflow.partition import Partition
from etendue.dataflow.source import OnError, Scan, SourceError
from etendue.iact import schema as iact
from etendue.iact.showers import instrument
from etendue.iact.simulate import BLOCK, SCHEME, Simulation, candidates, light_of, simulate_blocks, thrown
from etendue.schema import Columns, Schema

CALIBRATION, COUNT = f"calibration/{instrument.LABEL}", f"n_{instrument.LABEL}"


class SimulatedSource:
    """Simulations by their paths (`etendue.iact.simulate.Simulation.path`).

    A block is `etendue.iact.simulate.BLOCK` thrown showers with random numbers of its own, so that a run is
    the same however it is cut into partitions. How many of them trigger is not known before: ``Scan.rows``
    is how many may, by the light of the first block (some 1.3 times those that do), the same for all blocks.
    """

    name = "simulated"

    def accepts(self, path: str) -> bool:
        """Whether the path begins with ``simulated://``."""
        return path.startswith(SCHEME)

    def scan(self, path: str, on_error: OnError = "raise") -> Scan:
        """The tables of a simulated run; throws the light of the first block, and makes no waveform.

        Raises
        ------
        SourceError
            If a parameter is unknown or out of range.
        """
        simulation = _simulation(path)
        shower, _ = candidates(simulation, light_of(simulation, 0, thrown(simulation, 0)))
        n_thrown = np.full(simulation.n_blocks, BLOCK)
        n_thrown[-1] = simulation.n_showers - BLOCK * (simulation.n_blocks - 1)
        expected = {"events": len(np.unique(shower)), instrument.LABEL: len(shower)}
        tables = static_tables(simulation)
        content = {kind: tables[f"{kind}/{instrument.LABEL}"] for kind in ("camera", "readout", "optics")}
        mark = repr({kind: {c: a.tolist() for c, a in columns.items()} for kind, columns in content.items()})
        return Scan(
            path=path,
            source=self.name,
            schema=schema_of(simulation),
            static=tables,
            rows={name: -(-n_thrown * max(n, 1) // n_thrown[0]) for name, n in expected.items()},
            labels={instrument.LABEL: hashlib.sha256(mark.encode()).hexdigest()},
            splittable=True,
        )

    def read(
        self,
        scan: Scan,
        ranges: Sequence[tuple[int, int]],
        columns: frozenset[str],
        on_error: OnError = "raise",
    ) -> Iterator[Partition]:
        """Simulate ranges of blocks, one partition each, in order (see `etendue.dataflow.source.Source`)."""
        simulation = _simulation(scan.path)
        calibration = instrument.calibration_columns(
            len(simulation.positions), simulation.n_gains, simulation.night_sky_rate
        )
        first_met = {name: column[:0] for name, column in calibration.items()}
        for number, (first, stop) in enumerate(ranges):
            made = simulate_blocks(simulation, first, stop)
            tables = {
                table: {
                    c: array for c, array in made[table].items() if c == COUNT or f"{table}/{c}" in columns
                }
                for table in made
            }
            tables[CALIBRATION] = calibration if first == 0 else first_met
            yield Partition(number, scan.schema, tables, {**scan.static, CALIBRATION: calibration})
            del made, tables  # or they would stay in memory while the next ones are made

    def place(self, scan: Scan, block: int) -> str:
        """Which showers the block has, and the seed; a triggered shower gives the event its number."""
        simulation = _simulation(scan.path)
        first = block * BLOCK + 1
        stop = min(first + BLOCK, simulation.n_showers + 1)
        return f"seed {simulation.seed}, showers {first:,} to {stop - 1:,}: event_id is the shower's number"


def schema_of(simulation: Simulation) -> Schema:
    """The tables of a simulated run."""
    n_gains, n_pixels, label = simulation.n_gains, instrument.N_PIXELS, instrument.LABEL
    n_pulse_samples = len(instrument.readout_columns(1)["reference_pulse_shape"][0])
    return Schema({}).with_tables(
        [
            iact.EVENTS,
            iact.camera_table(label, n_gains=n_gains, n_samples=instrument.N_SAMPLES, n_pixels=n_pixels),
            iact.calibration_table(label, n_gains=n_gains, n_pixels=n_pixels),
            iact.ARRAY,
            iact.OBSERVATION,
            iact.SIMULATION,
            *iact.camera_tables(label, n_gains=n_gains, n_pixels=n_pixels, n_pulse_samples=n_pulse_samples),
        ]
    )


def static_tables(simulation: Simulation) -> dict[str, Columns]:
    """What is known of a simulated run beforehand."""
    run, obs_id = np.zeros(1, dtype=np.uint32), np.array([simulation.obs_id], dtype=np.int64)
    axis = simulation.axis
    sampling = {
        "n_showers": np.array([simulation.n_showers], dtype=np.int64),
        "shower_reuse": np.ones(1, dtype=np.int64),
        "n_simulated": float(simulation.n_showers),
        "is_closed": True,
        "energy_range_min": simulation.energy_range_min,
        "energy_range_max": simulation.energy_range_max,
        "spectral_index": simulation.spectral_index,
        "min_alt": axis[0],
        "max_alt": axis[0],
        "min_az": axis[1],
        "max_az": axis[1],
        "min_viewcone_radius": 0.0,
        "max_viewcone_radius": simulation.max_viewcone_radius,
        "min_scatter_range": 0.0,
        "max_scatter_range": simulation.max_scatter_range,
    }
    place = {"reference_altitude": np.array([instrument.ARRAY_ALTITUDE])}
    place |= {"latitude": np.zeros(1), "longitude": np.zeros(1)}
    place |= {"array_ra": np.full(1, np.nan), "array_dec": np.full(1, np.nan)}
    return {
        "array": instrument.array_columns(simulation.telescopes),
        "observation": {"run": run, "obs_id": obs_id, **place},
        "simulation": {"run": run} | {name: np.atleast_1d(value) for name, value in sampling.items()},
        f"camera/{instrument.LABEL}": instrument.camera_columns(),
        f"readout/{instrument.LABEL}": instrument.readout_columns(simulation.n_gains),
        f"optics/{instrument.LABEL}": instrument.optics_columns(),
    }


def _simulation(path: str) -> Simulation:
    try:
        return Simulation.of(path)
    except ValidationError as error:
        first = error.errors()[0]
        message = first["msg"].removeprefix("Value error, ")
        if not first["loc"]:
            raise SourceError(path, "parameters", message) from None
        raise SourceError(path, str(first["loc"][0]), f"{message}, not {first['input']!r}") from None
    except ValueError as error:
        raise SourceError(path, "parameters", str(error)) from None

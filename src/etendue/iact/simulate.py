"""Simulation of raw data: labelled gamma and proton showers as waveforms of a telescope array.

The physics is in `etendue.iact.showers`: showers as 3D photospheres, protons as hadronic cascades with
muons, a camera's front end. It is fast and closes the chain from raw samples to science products; gamma
showers have no structure inside the photosphere, so resolutions are somewhat better than in nature.
"""

from __future__ import annotations

import json
from difflib import get_close_matches
from functools import lru_cache
from typing import Any, Literal, NamedTuple, Self
from urllib.parse import parse_qsl, urlencode, urlsplit

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, model_validator

from etendue.iact.directions import direction_to_horizon, impact_distance, offset_to_direction
from etendue.iact.schema import EventType
from etendue.iact.showers import frontend, instrument, tables
from etendue.iact.showers.atmosphere import height_of
from etendue.iact.showers.light import array_light
from etendue.schema import Columns

SCHEME = "simulated://"
#: Showers that are thrown together, from one stream of random numbers.
BLOCK = 100
#: Time of the first shower (2026-01-01 UTC) and from one shower to the next, in ns.
START, INTERVAL = 1_767_225_600_000_000_000, 10_000_000
#: Telescopes that must trigger.
LEAST_TELESCOPES = 2
#: CORSIKA's codes of primaries.
PRIMARY = {"gamma": 0, "proton": 101}


class Simulation(BaseModel):
    """A run of simulated showers; `path` is what to open.

    Gamma rays come from a point by default, protons from all over the field of view. Events are what
    triggered at least two telescopes; the table ``simulation`` says how showers were thrown, so that
    effective areas are defined. Impact points are uniform in a disc across the shower's direction.

    Examples
    --------
    >>> Simulation(particle="gamma", n_showers=500, seed=3).path()
    'simulated://gamma?n_showers=500&seed=3'
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    particle: Literal["gamma", "proton"] = Field("gamma", description="what arrives")
    n_showers: int = Field(1000, ge=1, description="showers thrown")
    seed: int = Field(1, ge=0, lt=2**62, description="the same seed gives the same data")
    energy_range_min: float = Field(0.1, gt=0.02, description="least energy [TeV]")
    energy_range_max: float = Field(50.0, le=1000.0, description="greatest energy [TeV]")
    spectral_index: float = Field(-2.0, description="index of the power law of energies")
    altitude: float = Field(70.0, ge=30.0, le=90.0, description="pointing [deg]")
    azimuth: float = Field(0.0, ge=0.0, lt=360.0, description="pointing, from north to east [deg]")
    offset: float = Field(
        0.0, ge=0.0, le=10.0, description="view cone's axis from the pointing, to larger azimuth [deg]"
    )
    max_viewcone_radius: float = Field(
        default_factory=lambda given: 5.0 if given.get("particle") == "proton" else 0.0,
        ge=0.0,
        le=20.0,
        description="radius of the view cone [deg]; by default 0 for gamma rays, 5 for protons",
    )
    max_scatter_range: float = Field(
        default_factory=lambda given: 700.0 if given.get("particle") == "proton" else 600.0,
        gt=0.0,
        description="radius of the disc of impact points [m]; by default 600 for gamma rays, 700 for protons",
    )
    positions: tuple[tuple[float, float], ...] = Field(
        ((60.0, 60.0), (-60.0, 60.0), (-60.0, -60.0), (60.0, -60.0)),
        min_length=2,
        description="telescopes: metres to north and west",
    )
    night_sky_rate: float = Field(0.2, ge=0.0, le=5.0, description="photo-electrons a pixel and ns [GHz]")
    trigger_threshold: float = Field(
        20.0, gt=0.0, description="photo-electrons in a pixel and its neighbours, together in time"
    )
    n_gains: int = Field(1, ge=1, le=2, description="gain channels; one saturates at some 4000 p.e. a pixel")

    @model_validator(mode="before")
    @classmethod
    def _parse_positions(cls, given: Any) -> Any:
        if isinstance(given, dict) and isinstance(given.get("positions"), str):
            return {**given, "positions": json.loads(given["positions"])}
        return given

    @model_validator(mode="after")
    def _ordered_energies(self) -> Self:
        if self.energy_range_min >= self.energy_range_max:
            raise ValueError(
                f"energy_range_min is {self.energy_range_min} TeV; it must be less than energy_range_max, "
                f"which is {self.energy_range_max} TeV"
            )
        return self

    def path(self) -> str:
        """What `etendue.open` takes: ``simulated://particle?parameter=value&...``."""
        default = type(self)(particle=self.particle)
        given = {key: value for key, value in self if value != getattr(default, key)}
        query = urlencode({key: json.dumps(value) for key, value in given.items()}, safe="[],")
        return f"{SCHEME}{self.particle}" + (f"?{query}" if query else "")

    def __str__(self) -> str:
        return self.path()

    @classmethod
    def of(cls, path: str) -> Self:
        """The simulation that a path names: the inverse of `path`.

        Raises
        ------
        ValueError
            If a parameter is unknown or out of range; names the nearest one.
        """
        url = urlsplit(path)
        given = dict(parse_qsl(url.query, keep_blank_values=True, strict_parsing=bool(url.query)))
        for key in given:
            if key not in cls.model_fields or key == "particle":
                close = get_close_matches(key, cls.model_fields, n=1)
                hint = f"; did you mean {close[0]!r}" if close else ""
                known = ", ".join(sorted(cls.model_fields.keys() - {"particle"}))
                raise ValueError(f"unknown parameter {key!r}{hint}; there are: {known}")
        return cls(particle=url.netloc, **given)

    @property
    def obs_id(self) -> int:
        """Run number: even for gamma rays, odd for protons, so that both may have the same seed."""
        return 2 * self.seed + (self.particle == "proton")

    @property
    def axis(self) -> tuple[float, float]:
        """Altitude and azimuth of the view cone's axis in degrees."""
        pointing = np.deg2rad([self.altitude, self.azimuth])
        direction = offset_to_direction(np.deg2rad(self.offset), 0.0, *pointing)
        altitude, azimuth = np.rad2deg(direction_to_horizon(direction))
        return float(altitude), float(azimuth % 360)

    @property
    def n_blocks(self) -> int:
        """Blocks of `BLOCK` showers."""
        return -(-self.n_showers // BLOCK)

    @property
    def telescopes(self) -> np.ndarray:
        """Positions of the telescopes: float64 array, shape (n_telescopes, 3), in m."""
        return np.array([(x, y, 0.0) for x, y in self.positions])

    def random(self, block: int, stream: int) -> np.random.Generator:
        """The random numbers of one block: 0 for its primaries, 1 for their light, 2 for the cameras."""
        seeds = np.random.SeedSequence([self.seed, PRIMARY[self.particle], block, stream])
        return np.random.Generator(np.random.PCG64DXSM(seeds))


def thrown(simulation: Simulation, block: int) -> Columns:
    """The primaries of one block.

    Parameters
    ----------
    simulation : Simulation
        The run.
    block : int
        Number of the block.

    Returns
    -------
    dict of str to array
        ``event_index`` (number of the shower), ``true_energy`` [TeV] of the power law, ``true_alt`` and
        ``true_az`` [deg] uniform in the view cone, ``true_core_x`` and ``true_core_y`` [m] on the ground,
        where the axis through a uniform point of the disc across it comes down.
    """
    rng = simulation.random(block, 0)
    index = np.arange(block * BLOCK, min((block + 1) * BLOCK, simulation.n_showers))
    n = len(index)
    low, high, power = (
        simulation.energy_range_min, simulation.energy_range_max, simulation.spectral_index + 1
    )  # fmt: skip
    share = rng.random(n)
    if abs(power) < 1e-9:
        energy = low * (high / low) ** share
    else:
        energy = (low**power + share * (high**power - low**power)) ** (1 / power)
    centre = np.deg2rad(simulation.axis)
    cone = np.arccos(1 - rng.random(n) * (1 - np.cos(np.deg2rad(simulation.max_viewcone_radius))))
    angle = 2 * np.pi * rng.random(n)
    lon, lat = np.arctan(np.tan(cone) * np.cos(angle)), np.arcsin(np.sin(cone) * np.sin(angle))
    direction = np.stack(offset_to_direction(lon, lat, *centre), axis=-1)
    altitude, azimuth = direction_to_horizon(tuple(direction.T))
    radius, angle = simulation.max_scatter_range * np.sqrt(rng.random(n)), 2 * np.pi * rng.random(n)
    across = instrument.sky_axes(altitude, azimuth)[:, :2]
    point = radius[:, None] * (np.cos(angle)[:, None] * across[:, 0] + np.sin(angle)[:, None] * across[:, 1])
    core = point - (point[:, 2] / direction[:, 2])[:, None] * direction
    return {
        "event_index": index,
        "true_energy": energy,
        "true_alt": np.rad2deg(altitude),
        "true_az": np.rad2deg(azimuth) % 360,
        "true_core_x": core[:, 0].copy(),
        "true_core_y": core[:, 1].copy(),
    }


class Light(NamedTuple):
    """Photo-electrons of a block's showers in all telescopes: what `array_light` returns."""

    pixels: np.ndarray
    times: np.ndarray
    counts: np.ndarray
    first: np.ndarray
    maximum: np.ndarray


def light_of(simulation: Simulation, block: int, primaries: Columns) -> Light:
    """Throw the light of one block's primaries (`thrown`)."""
    altitude, azimuth = np.deg2rad(primaries["true_alt"]), np.deg2rad(primaries["true_az"])
    core = np.stack([primaries["true_core_x"], primaries["true_core_y"], np.zeros(len(altitude))], axis=1)
    eye = instrument.eye_at(np.deg2rad(simulation.altitude), np.deg2rad(simulation.azimuth))
    light = array_light(
        simulation.random(block, 1),
        simulation.particle == "proton",
        1e3 * primaries["true_energy"],
        instrument.sky_axes(altitude, azimuth),
        core,
        simulation.telescopes,
        eye,
    )
    return Light(*light)


def candidates(simulation: Simulation, light: Light) -> tuple[np.ndarray, np.ndarray]:
    """Shower and telescope (rows) of the cameras that may trigger.

    Those where a pixel and its neighbours get as many Cherenkov photo-electrons as the trigger needs (at
    whatever times), in showers where that is so in enough telescopes. So the night sky never triggers alone,
    nor lifts less light over the threshold (which it would do in 0.2 % of the triggers).
    """
    geometry = instrument.geometry()
    stops = np.cumsum(light.counts.ravel())
    patch = frontend.brightest_patches(light.pixels, stops, geometry.indptr, geometry.indices)
    bright = patch.reshape(light.counts.shape) >= simulation.trigger_threshold
    shower, telescope = np.nonzero(bright & (bright.sum(axis=1, keepdims=True) >= LEAST_TELESCOPES))
    return shower.copy(), telescope.copy()  # contiguous, whatever their number: one compiled kernel for all


@lru_cache(maxsize=8)
def electronics_of(simulation: Simulation) -> frontend.Electronics:
    """The front end of a simulation's cameras."""
    calibration = instrument.calibration_columns(
        len(simulation.positions), simulation.n_gains, simulation.night_sky_rate
    )
    geometry, pulses = instrument.geometry(), tables.pulse_table()
    gain = 1 / calibration["dc_to_pe"]
    return frontend.Electronics(
        baseline=calibration["pedestal"] - np.float32(simulation.night_sky_rate) * gain,
        gain=gain,
        time_shift=calibration["time_shift"],
        full_scale=np.float32(instrument.FULL_SCALE),
        noise_table=tables.normal_quantiles(instrument.ADC_NOISE),
        night_sky=simulation.night_sky_rate,
        night_sky_table=tables.night_sky_quantiles(simulation.night_sky_rate),
        pulses=pulses,
        n_samples=instrument.N_SAMPLES,
        indptr=geometry.indptr,
        indices=geometry.indices,
        threshold=float(simulation.trigger_threshold * pulses.max()),
    )


def simulate_blocks(simulation: Simulation, first: int, stop: int) -> dict[str, Columns]:
    """Simulate blocks: their triggered events and camera readouts.

    Parameters
    ----------
    simulation : Simulation
        The run.
    first, stop : int
        Range of the blocks; blocks are independent of one another.

    Returns
    -------
    dict of str to dict of str to array
        Columns of the tables ``events`` and ``simcam``.
    """
    primaries = [thrown(simulation, block) for block in range(first, stop)]
    lights = [light_of(simulation, block, p) for block, p in zip(range(first, stop), primaries, strict=True)]
    cameras = [candidates(simulation, light) for light in lights]
    n_most = sum(len(shower) for shower, _ in cameras)
    electronics = electronics_of(simulation)
    waveform = np.empty((n_most, simulation.n_gains, instrument.N_SAMPLES, instrument.N_PIXELS), np.uint16)
    image = np.empty((n_most, instrument.N_PIXELS), np.int32)
    n, parts = 0, []
    for block, truth, light, (shower, telescope) in zip(
        range(first, stop), primaries, lights, cameras, strict=True
    ):
        stops = np.cumsum(light.counts).reshape(light.counts.shape)
        span = np.stack([stops - light.counts, stops], axis=-1)[shower, telescope]
        kept, start, sample, n_trigger_pixels = frontend.read_out(
            simulation.random(block, 2), light.pixels, light.times, span, shower, telescope,
            LEAST_TELESCOPES, electronics, waveform[n:], image[n:],
        )  # fmt: skip
        n += len(kept)
        parts.append(
            _columns(
                simulation, truth, light, shower[kept], telescope[kept], start + sample, n_trigger_pixels
            )
        )
    events, readouts = (
        {name: np.concatenate([part[table][name] for part in parts]) for name in parts[0][table]}
        for table in ("events", instrument.LABEL)
    )
    bulk = {"r0_waveform": waveform[:n], "true_image": image[:n]}
    return {"events": events, instrument.LABEL: readouts | bulk}


def _columns(
    simulation: Simulation,
    truth: Columns,
    light: Light,
    shower: np.ndarray,
    telescope: np.ndarray,
    trigger_time: np.ndarray,
    n_trigger_pixels: np.ndarray,
) -> dict[str, Columns]:
    """All columns but the bulk ones of a block whose cameras (shower, telescope) were read out."""
    event, first_readout, count = np.unique(shower, return_index=True, return_counts=True)
    earliest = np.minimum.reduceat(trigger_time, first_readout) if len(event) else trigger_time
    n = len(shower)
    events = _event_columns(
        simulation,
        {name: column[event] for name, column in truth.items()},
        light.first[event],
        light.maximum[event],
    )
    events[f"n_{instrument.LABEL}"] = count.astype(np.int32)
    readouts = {
        "run": np.zeros(n, dtype=np.uint32),
        "obs_id": np.full(n, simulation.obs_id, dtype=np.int64),
        "event_id": truth["event_index"][shower] + 1,
        "tel_id": (telescope + 1).astype(np.int16),
        "pointing_altitude": np.full(n, simulation.altitude),
        "pointing_azimuth": np.full(n, simulation.azimuth),
        "trigger_time": trigger_time - np.repeat(earliest, count),
        "event_type": np.full(n, EventType.SUBARRAY, dtype=np.uint8),
        "n_trigger_pixels": n_trigger_pixels.astype(np.int32),
        "true_image_sum": light.counts[shower, telescope],
        "true_impact_distance": impact_distance(
            *(truth[name][shower] for name in ("true_alt", "true_az", "true_core_x", "true_core_y")),
            simulation.telescopes[telescope],
        ),
    }
    return {"events": events, instrument.LABEL: readouts}


def _event_columns(simulation: Simulation, truth: Columns, first: np.ndarray, maximum: np.ndarray) -> Columns:
    n = len(first)
    cos_zenith = np.sin(np.deg2rad(truth["true_alt"]))
    first_height = [height_of(depth) for depth in first * cos_zenith]
    return {
        **truth,
        "run": np.zeros(n, dtype=np.uint32),
        "obs_id": np.full(n, simulation.obs_id, dtype=np.int64),
        "event_id": truth["event_index"] + 1,
        "event_type": np.full(n, EventType.SUBARRAY, dtype=np.uint8),
        "time": START + INTERVAL * truth["event_index"],
        "array_altitude": np.full(n, simulation.altitude),
        "array_azimuth": np.full(n, simulation.azimuth),
        "true_h_first_int": np.array(first_height, dtype=np.float64),
        "true_x_max": maximum,
        "true_starting_grammage": np.zeros(n),
        "true_shower_primary_id": np.full(n, PRIMARY[simulation.particle], dtype=np.int64),
    }

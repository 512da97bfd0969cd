"""The simulated telescopes: 12 m class dishes with cameras of 1801 hexagonal pixels of 0.16 degrees, 1 GHz.

The figures are those of a medium-sized telescope of the CTAO (100 m2, focal length 16 m, field of view
7.7 degrees), not of one that exists. All calibration coefficients differ from pixel to pixel, and are the
same in every run.
"""

from __future__ import annotations

from functools import cache

import numpy as np

from etendue.iact.camera import Geometry
from etendue.iact.directions import offset_to_direction
from etendue.iact.showers.eye import ROW_STEP, Eye
from etendue.iact.showers.tables import PULSE_SAMPLES, pulse_shape
from etendue.schema import Columns

LABEL = "simcam"
#: Metres above sea level, as the Roque de los Muchachos.
ARRAY_ALTITUDE = 2150.0
FOCAL_LENGTH, MIRROR_AREA, MIRROR_TILES = 16.0, 100.0, 84
#: Mirror and light-guide reflectivity (0.8), shadow (0.9) and photon detection (0.23) over 300-600 nm.
OPTICAL_EFFICIENCY = 0.165
#: Point spread on the axis, and what each degree off axis adds in quadrature, in degrees.
POINT_SPREAD, COMA = 0.03, 0.012
PIXEL_PITCH, PIXEL_RINGS = 0.16, 24
N_PIXELS = 3 * PIXEL_RINGS * (PIXEL_RINGS + 1) + 1
N_SAMPLES = 40
#: Step of the reference pulse in ns.
PULSE_STEP = 0.1
#: Counts of the ADC: electronic baseline, sum of one photo-electron's pulse, rms noise, largest count.
BASELINE, COUNTS_PER_PE, ADC_NOISE, FULL_SCALE = 300.0, 40.0, 3.0, 16383.0
#: What the amplifier of a second gain channel makes of the first's signal.
LOW_GAIN = 1 / 16
#: Spread between pixels: baseline in counts, relative gain, transit time in ns.
BASELINE_SPREAD, GAIN_SPREAD, TIME_SPREAD = 5.0, 0.08, 0.5


@cache
def camera_columns() -> Columns:
    """The static table ``camera/simcam``: pixels row by row, rows along the first coordinate."""
    rows = np.arange(-PIXEL_RINGS, PIXEL_RINGS + 1)
    row = np.repeat(rows, 2 * PIXEL_RINGS + 1 - np.abs(rows))
    column = np.concatenate(
        [np.arange(2 * PIXEL_RINGS + 1 - abs(r)) - (PIXEL_RINGS - abs(r) / 2) for r in rows]
    )
    pitch = np.deg2rad(PIXEL_PITCH) * FOCAL_LENGTH
    return {
        "pixel_x": column * pitch,
        "pixel_y": row * ROW_STEP * pitch,
        "pixel_area": np.full(N_PIXELS, ROW_STEP * pitch**2),
        "pixel_shape": np.full(N_PIXELS, 1, dtype=np.int8),
    }


def geometry() -> Geometry:
    """Pixels and neighbours of the camera, in the camera frame."""
    return Geometry.of(camera_columns())


def readout_columns(n_gains: int) -> Columns:
    """The static table ``readout/simcam``."""
    pulse = pulse_shape(np.arange(0, PULSE_SAMPLES, PULSE_STEP))
    return {
        "sampling_rate": np.ones(n_gains),
        "reference_pulse_sample_width": np.full(n_gains, PULSE_STEP),
        "reference_pulse_shape": np.tile(pulse, (n_gains, 1)),
    }


def optics_columns() -> Columns:
    """The static table ``optics/simcam``."""
    return {
        **{name: _text([text]) for name, text in type_columns().items()},
        "equivalent_focal_length": np.array([FOCAL_LENGTH]),
        "effective_focal_length": np.array([FOCAL_LENGTH]),
        "mirror_area": np.array([MIRROR_AREA]),
        "n_mirrors": np.array([MIRROR_TILES], dtype=np.int32),
        "camera_rotation": np.zeros(1),
    }


def array_columns(positions: np.ndarray) -> Columns:
    """The static table ``array`` of telescopes at positions of shape (n_telescopes, 3) in m."""
    n = len(positions)
    return {
        "run": np.zeros(n, dtype=np.uint32),
        "tel_id": np.arange(1, n + 1, dtype=np.int16),
        **{name: _text([text] * n) for name, text in type_columns().items()},
        "pos_x": positions[:, 0].copy(),
        "pos_y": positions[:, 1].copy(),
        "pos_z": positions[:, 2].copy(),
        "equivalent_focal_length": np.full(n, FOCAL_LENGTH),
        "effective_focal_length": np.full(n, FOCAL_LENGTH),
    }


def type_columns() -> dict[str, str]:
    """What the telescopes are called."""
    return {"type": "MST", "name": "MST", "camera_name": "SimCam"}


def calibration_columns(n_telescopes: int, n_gains: int, night_sky: float) -> Columns:
    """The table ``calibration/simcam``: one row a telescope, which holds from the first event on.

    The pedestal is the mean count without Cherenkov light: the baseline and the night sky's
    ``night_sky`` photo-electrons a sample.
    """
    shape = (n_telescopes, n_gains, N_PIXELS)
    pedestal, gain, shift = np.empty(shape), np.empty(shape), np.empty(shape)
    for telescope in range(n_telescopes):
        rng = np.random.default_rng([telescope, N_PIXELS])
        gain[telescope] = COUNTS_PER_PE * (1 + GAIN_SPREAD * rng.standard_normal(N_PIXELS).clip(-3, 3))
        shift[telescope] = TIME_SPREAD * rng.standard_normal(N_PIXELS).clip(-3, 3)
        pedestal[telescope] = BASELINE + BASELINE_SPREAD * rng.standard_normal((2, N_PIXELS))[:n_gains]
    gain *= LOW_GAIN ** np.arange(n_gains)[:, None]
    return {
        "run": np.zeros(n_telescopes, dtype=np.uint32),
        "tel_id": np.arange(1, n_telescopes + 1, dtype=np.int16),
        "valid_from": np.zeros(n_telescopes, dtype=np.int64),
        "pedestal": (pedestal + night_sky * gain).astype(np.float32),
        "dc_to_pe": (1 / gain).astype(np.float32),
        "time_shift": shift.astype(np.float32),
        "broken": np.zeros(shape, dtype=bool),
    }


def sky_axes(altitude: np.ndarray, azimuth: np.ndarray) -> np.ndarray:
    """Unit vectors to larger altitude, to larger azimuth and to directions in the sky.

    Parameters
    ----------
    altitude, azimuth : float64 array, shape (n,)
        Directions in rad.

    Returns
    -------
    float64 array, shape (n, 3, 3)
        Components to north, west and up of the three vectors of each direction.
    """
    quarter, zero = np.full_like(altitude, np.pi / 2), np.zeros_like(altitude)
    offsets = ((zero, quarter), (quarter, zero), (zero, zero))
    vectors = [np.stack(offset_to_direction(*offset, altitude, azimuth), axis=-1) for offset in offsets]
    return np.stack(vectors, axis=-2)


def eye_at(altitude: float, azimuth: float) -> Eye:
    """The telescopes as the light sees them, when they point to an altitude and azimuth in rad."""
    pixels = camera_columns()
    lat, lon = pixels["pixel_x"] / FOCAL_LENGTH, pixels["pixel_y"] / FOCAL_LENGTH
    in_row = 2 * PIXEL_RINGS + 1 - np.abs(np.arange(-PIXEL_RINGS, PIXEL_RINGS + 1))
    return Eye(
        axes=sky_axes(np.array([altitude]), np.array([azimuth]))[0],
        direction=np.stack(offset_to_direction(lon, lat, altitude, azimuth), axis=1),
        row_start=np.concatenate([[0], np.cumsum(in_row)]),
        n_rings=PIXEL_RINGS,
        pitch=float(np.deg2rad(PIXEL_PITCH)),
        altitude=ARRAY_ALTITUDE,
        mirror_area=MIRROR_AREA,
        efficiency=OPTICAL_EFFICIENCY,
        psf=float(np.deg2rad(POINT_SPREAD)),
        coma=COMA,
    )


def _text(values: list[str]) -> np.ndarray:
    return np.array(values, dtype=np.dtypes.StringDType())

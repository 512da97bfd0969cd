"""Raw samples to image parameters on one core: against ctapipe's functions, and against reading memory.

Synthetic events of a camera of 1855 hexagons and 40 samples (night-sky noise, an elliptical shower), more
than a cache holds. Ours are the kernels of the stages Calibrate, Integrate, Clean and Parametrise, run on
blocks of readouts; theirs are the functions of the same steps, on the same arrays, without containers.

    python benchmarks/kernels.py
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from common import best, table  # isort: skip  (first: one thread for all libraries)

import astropy.units as u
import numpy as np
from ctapipe.containers import CameraHillasParametersContainer
from ctapipe.image import (
    concentration_parameters,
    descriptive_statistics,
    hillas_parameters,
    leakage_parameters,
    morphology_parameters,
    tailcuts_clean,
    timing_parameters,
)
from ctapipe.image.extractor import extract_around_peak, neighbor_average_maximum
from ctapipe.instrument import CameraGeometry

from etendue.iact.camera import Geometry
from etendue.iact.cleaning import tailcuts
from etendue.iact.parameters import RECORD, Scratch, default_records, parametrise
from etendue.iact.peaks import neighbour_table
from etendue.iact.pulses import Coefficients, Windows, integrate
from etendue.kernel import kernel

N_EVENTS, N_SAMPLES, N_PIXELS, BLOCK = 1024, 40, 1855, 64
N_CTAPIPE = 128
SPACING = 0.05
WIDTH, SHIFT, PICTURE, BOUNDARY = 7, 3, 8, 4
COUNTS_PER_PE = 20.0


class Camera(NamedTuple):
    """The toy camera and the calibration of its pixels."""

    columns: dict[str, np.ndarray]
    pedestal: np.ndarray
    dc_to_pe: np.ndarray

    @property
    def geometry(self) -> Geometry:
        return Geometry.of(self.columns)


def hexagonal_camera(rng: np.random.Generator) -> Camera:
    """The 1855 hexagons next to the centre, row by row."""
    q, r = (index.ravel() for index in np.meshgrid(np.arange(-40, 41), np.arange(-40, 41)))
    x, y = (q + r / 2) * SPACING, r * np.sqrt(3) / 2 * SPACING
    inner = np.argsort(np.hypot(x, y), kind="stable")[:N_PIXELS]
    x, y = x[inner], y[inner]
    order = np.lexsort((x, y))
    columns = {
        "pixel_x": x[order],
        "pixel_y": y[order],
        "pixel_area": np.full(N_PIXELS, np.sqrt(3) / 2 * SPACING**2),
        "pixel_shape": np.ones(N_PIXELS, dtype=np.int8),
    }
    pedestal = rng.normal(300, 3, N_PIXELS).astype(np.float32)
    dc_to_pe = (rng.normal(1, 0.05, N_PIXELS) / COUNTS_PER_PE).astype(np.float32)
    return Camera(columns, pedestal, dc_to_pe)


def events(camera: Camera, rng: np.random.Generator) -> np.ndarray:
    """Raw samples: noise of 3.5 counts, 0.2 pe of night sky in a trace, and a shower with a time gradient."""
    x, y = camera.columns["pixel_x"], camera.columns["pixel_y"]
    noise = rng.normal(0, 3.5, (64, N_SAMPLES, N_PIXELS)).astype(np.float32)
    sample = np.arange(N_SAMPLES, dtype=np.float32)[:, None]
    r0 = np.empty((N_EVENTS, 1, N_SAMPLES, N_PIXELS), dtype=np.uint16)
    for event in range(N_EVENTS):
        (x_0, y_0), angle = rng.uniform(-0.6, 0.6, 2), rng.uniform(0, np.pi)
        along = (x - x_0) * np.cos(angle) + (y - y_0) * np.sin(angle)
        across = (y - y_0) * np.cos(angle) - (x - x_0) * np.sin(angle)
        length, width = rng.uniform(0.1, 0.2), rng.uniform(0.04, 0.07)
        light = np.exp(-0.5 * ((along / length) ** 2 + (across / width) ** 2))
        charge = rng.poisson(10 ** rng.uniform(2.2, 3.2) * light / light.sum()).astype(np.float32)
        night = rng.poisson(0.2, N_PIXELS).astype(np.float32)
        arrival, stray = (20 + 5 * along).astype(np.float32), rng.uniform(0, 40, N_PIXELS).astype(np.float32)
        trace = charge * np.exp(-(((sample - arrival) / 2.5) ** 2)) + night * np.exp(
            -(((sample - stray) / 2.5) ** 2)
        )
        counts = noise[rng.integers(64)] + trace / (2.5 * np.sqrt(np.pi)) / camera.dc_to_pe
        r0[event, 0] = np.rint(np.clip(counts + camera.pedestal, 0, 65535))
    return r0


@kernel
def largest(r0: np.ndarray) -> int:
    """Read all samples and do next to nothing with them."""
    result = np.uint16(0)
    for i in range(r0.size):  # by index, since iterating over an array does not vectorise
        result = max(result, r0[i])
    return result


def ours(camera: Camera, r0: np.ndarray, neighbours: np.ndarray, images_only: bool = False) -> dict:
    """Parameters of all events, block by block, and images of the last block."""
    geometry, n = camera.geometry, len(r0)
    coefficients = Coefficients.of(
        camera.pedestal[None, None],
        camera.dc_to_pe[None, None],
        np.zeros((1, 1, N_PIXELS), dtype=np.float32),
        np.zeros((1, 1, N_PIXELS), dtype=bool),
    )
    one = np.ones(BLOCK, dtype=np.int64)
    windows = Windows(one * WIDTH, one * SHIFT, one * 0, np.ones((BLOCK, 1), dtype=np.float32))
    channel, row = np.zeros((BLOCK, N_PIXELS), dtype=np.uint8), np.zeros(BLOCK, dtype=np.int64)
    picture, boundary = np.full(BLOCK, PICTURE, np.float32), np.full(BLOCK, BOUNDARY, np.float32)
    records, scratch = default_records(n, RECORD), Scratch.of(N_PIXELS)
    for start in range(0, n, BLOCK):
        block = slice(start, start + BLOCK)
        image, time = integrate(r0[block], channel, row, coefficients, windows, neighbours, 1.0)
        if images_only:
            continue
        mask = tailcuts(image, picture, boundary, one * 2, False, geometry.indptr, geometry.indices)
        parametrise(image, time, mask.view(np.uint8), geometry, scratch, records[block])
    return {} if images_only else {"image": image, "time": time, "mask": mask, "records": records}


def theirs(camera: Camera, geometry: CameraGeometry, raw: np.ndarray, by_neighbours: bool) -> list:
    """The same steps by ctapipe, event by event; ``raw`` is [event, pixel, sample], as ctapipe keeps it."""
    results = []
    matrix = geometry.neighbor_matrix_sparse
    broken = np.zeros((1, N_PIXELS), dtype=bool)
    for samples in raw:
        waveform = ((samples - camera.pedestal[:, None]) * camera.dc_to_pe[:, None])[None]
        if by_neighbours:
            peak = neighbor_average_maximum(waveform, matrix.indices, matrix.indptr, 0, broken)
        else:
            peak = waveform.argmax(axis=-1)
        charge, time = (part[0] for part in extract_around_peak(waveform, peak, WIDTH, SHIFT, 1.0))
        mask = tailcuts_clean(geometry, charge, PICTURE, BOUNDARY, min_number_picture_neighbors=2)
        hillas = CameraHillasParametersContainer()
        if np.count_nonzero(mask) > 1:
            kept = geometry[mask]
            hillas = hillas_parameters(kept, charge[mask])
            timing_parameters(kept, charge[mask], time[mask], hillas)
            leakage_parameters(geometry, charge, mask)
            concentration_parameters(kept, charge[mask], hillas)
            morphology_parameters(geometry, mask)
            descriptive_statistics(charge[mask])
            descriptive_statistics(time[mask])
        results.append((charge, time, mask, hillas))
    return results


def check(camera: Camera, r0: np.ndarray, neighbours: np.ndarray, expected: list) -> None:
    """Assert that charges, times, pixels and Hillas parameters are those of ctapipe."""
    made = ours(camera, r0, neighbours)
    last = expected[-BLOCK:]
    for name, i in (("image", 0), ("time", 1)):
        np.testing.assert_allclose(made[name], [e[i] for e in last], rtol=1e-5, atol=1e-4)
    np.testing.assert_array_equal(made["mask"], [e[2] for e in last])
    for name, unit in (("intensity", ""), ("x", "m"), ("length", "m"), ("width", "m"), ("skewness", "")):
        values = [u.Quantity(getattr(e[3], name), unit).value for e in expected]
        np.testing.assert_allclose(made["records"][f"hillas_{name}"], values, rtol=1e-4, atol=1e-6)


def main() -> None:
    """Measure, check and print."""
    rng = np.random.default_rng(1)
    camera = hexagonal_camera(rng)
    r0 = events(camera, rng)
    geometry = CameraGeometry(
        "toy",
        np.arange(N_PIXELS),
        *(camera.columns[f"pixel_{axis}"] * u.m for axis in "xy"),
        camera.columns["pixel_area"] * u.m**2,
        "hexagon",
    )
    raw = np.ascontiguousarray(r0[:N_CTAPIPE, 0].transpose(0, 2, 1))
    near = neighbour_table(camera.geometry.indptr, camera.geometry.indices)

    def seconds(function: Callable, n: int, *arguments: object) -> float:
        return best(lambda: function(*arguments)) / n * 1e6

    memory = seconds(largest, N_EVENTS, r0.reshape(-1))
    rows = [["read memory", f"{memory:.1f}", "", "", "100 %"]]
    n_pixels = 0
    for name, table_ in (("local peak", near[:0]), ("neighbour peak", near)):
        by_neighbours = len(table_) > 0
        check(camera, r0[:N_CTAPIPE], table_, theirs(camera, geometry, raw, by_neighbours))
        charge = seconds(ours, N_EVENTS, camera, r0, table_, True)
        chain = seconds(ours, N_EVENTS, camera, r0, table_)
        peer = seconds(theirs, N_CTAPIPE, camera, geometry, raw, by_neighbours)
        rows.append([f"R0 to image, {name}", f"{charge:.1f}", "", "", f"{100 * memory / charge:.0f} %"])
        rows.append(
            [
                f"R0 to DL1, {name}",
                f"{chain:.1f}",
                f"{peer:.0f}",
                f"{peer / chain:.1f}",
                f"{100 * memory / chain:.0f} %",
            ]
        )
        n_pixels = np.maximum(ours(camera, r0, table_)["records"]["morphology_n_pixels"], 0).mean()
    print(
        f"{N_EVENTS} events, {r0.nbytes / 1e6:.0f} MB, {n_pixels:.0f} surviving pixels an image on average\n"
    )
    table(["chain", "us/image", "ctapipe us/image", "ratio", "of memory bandwidth"], rows)


if __name__ == "__main__":
    main()

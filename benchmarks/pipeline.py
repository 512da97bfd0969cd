"""Store to DL2 store against ctapipe's loop with the same steps; two threads against one.

Both sides process the same real events (prod5 protons, FlashCam and LSTCam), replayed. ctapipe gets them
already in memory; etendue reads them compressed from a store. One core each side.

    python benchmarks/pipeline.py [copies]
"""

from __future__ import annotations

import sys
import tempfile
from copy import deepcopy
from pathlib import Path
from time import perf_counter, process_time

import zstandard
from common import simtel, table

import etendue as et

FILE = "simtools__run202_proton_za20deg_azm0deg-North-Prod5_test-production-5-mini"
N_IMAGES = 36


def make_store(folder: Path, copies: int) -> str:
    """Raw data of many copies of the file, in one store."""
    source = simtel(FILE)
    links = [folder / f"copy{n:04d}.simtel.zst" for n in range(copies)]
    for n, link in enumerate(links):  # no two are the same: links, or copies, would be refused
        link.write_bytes(Path(source).read_bytes() + n * zstandard.compress(b""))
    et.open(*links).write(folder / "raw.etendue", "files")
    # One partition a file is what streams give; a pass over the store joins them.
    et.open(f"{folder / 'raw.etendue'}@files").write(folder / "raw.etendue", "raw")
    return f"{folder / 'raw.etendue'}@raw"


def etendue_seconds(store: str, folder: Path, workers: int, true_images: bool) -> tuple[float, float]:
    """CPU and wall seconds of one pass, kernels warm."""
    pipeline = et.find_pipeline("ctapipe")
    stages = tuple(
        s.model_copy(update={"true_images": true_images}) if s.name == "Parametrise" else s
        for s in pipeline.stages
    )
    flow = et.open(store, workers=workers) | pipeline.model_copy(update={"stages": stages})
    times = []
    for n in range(4):
        out = folder / f"dl2-{workers}-{true_images}-{n}.etendue"
        cpu, wall = process_time(), perf_counter()
        flow.write(out, "dl2", quiet=True)
        times.append((process_time() - cpu, perf_counter() - wall))
    return min(t[0] for t in times[1:]), min(t[1] for t in times[1:])


def ctapipe_seconds(folder: Path, replays: int, true_images: bool) -> float:
    """CPU seconds an image of ctapipe's loop over preloaded events, with writing."""
    from ctapipe.calib import CameraCalibrator
    from ctapipe.image import ImageProcessor
    from ctapipe.io import DataWriter, EventSource
    from ctapipe.reco import ShowerProcessor

    times = []
    for n in range(3):
        with EventSource(simtel(FILE), focal_length_choice="EQUIVALENT") as source:
            events = [deepcopy(event) for event in source]
            if not true_images:
                for event in events:
                    for camera in event.simulation.tel.values():
                        camera.true_image = None
            copies = [[deepcopy(event) for event in events] for _ in range(replays)]
            calibrate = CameraCalibrator(subarray=source.subarray)
            process = ImageProcessor(subarray=source.subarray)
            reconstruct = ShowerProcessor(subarray=source.subarray)
            with DataWriter(
                event_source=source,
                output_path=folder / f"peer{n}{true_images}.h5",
                write_dl1_images=True,
                write_dl1_parameters=True,
                write_dl2=True,
            ) as writer:
                start = process_time()
                for copy in copies:
                    for event in copy:
                        calibrate(event)
                        process(event)
                        reconstruct(event)
                        writer(event)
                times.append(process_time() - start)
    return min(times) / (replays * N_IMAGES)


def main(copies: int = 480) -> None:
    """Measure both sides and print the ratios."""
    rows = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        store = make_store(folder, copies)
        n = copies * N_IMAGES
        for true_images in (True, False):
            cpu, wall = etendue_seconds(store, folder, 1, true_images)
            _, wall_two = etendue_seconds(store, folder, 2, true_images)
            peer = ctapipe_seconds(folder, 10, true_images)
            what = "with true images" if true_images else "without true images"
            rows += [
                [
                    f"store to DL2, {what}",
                    f"{n / cpu:,.0f} images/s",
                    f"{1 / peer:,.0f} images/s",
                    f"{peer * n / cpu:.1f}x",
                ],
                [
                    f"two threads, {what}",
                    f"{n / wall_two:,.0f} images/s",
                    f"one: {n / wall:,.0f} images/s",
                    f"{wall / wall_two:.2f}x",
                ],
            ]
    table(["what", "etendue", "against", "ratio"], rows)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))

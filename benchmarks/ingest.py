"""simtel files to a store, against ctapipe's SimTelEventSource loop, which only reads them.

The test data are short; so a long file is made of one by repeating its events. One core each side: etendue
reads without a scan, decodes, turns, compresses and writes.

    python benchmarks/ingest.py [repeats]
"""

from __future__ import annotations

import sys
import tempfile
import warnings
from pathlib import Path
from time import process_time

from common import best, simtel, table

import etendue as et

FILES = (
    "ctapipe-extra__lst_muons",
    "simtools__run202_proton_za20deg_azm0deg-North-Prod5_test-production-5-mini",
    "pyeventio__prod4_pixelsettings_v3",
)
#: EventIO types of what belongs to events: MC showers and events, photo-electrons, array events.
EVENT_TYPES = {2020, 2021, 2026, 2010, 1204}


def lengthen(path: Path, out: Path, repeats: int) -> None:
    """Write a file with the header of another and its events many times, compressed with zstd."""
    import zstandard

    from etendue.iact.sources.simtel.stream import pieces
    from etendue.iact.sources.simtel.walk import ObjectWalk

    data = b"".join(pieces(str(path)))
    objects = [(found.type, found.offset) for found in ObjectWalk(str(path))]
    starts = [address for kind, address in objects if kind in EVENT_TYPES]
    after = [address for kind, address in objects if address > starts[-1] and kind not in EVENT_TYPES]
    first, stop = starts[0], after[0] if after else len(data)
    with zstandard.open(out, "wb", cctx=zstandard.ZstdCompressor(level=5)) as file:
        file.write(data[:first])
        for _ in range(repeats):
            file.write(data[first:stop])


def ctapipe_seconds(path: Path) -> tuple[float, int]:
    """CPU seconds of ctapipe's loop over a file, and how many images it holds."""
    from ctapipe.io import SimTelEventSource

    def loop() -> int:
        with SimTelEventSource(path, focal_length_choice="EQUIVALENT") as source:
            return sum(len(event.r1.tel) for event in source)

    return best(loop, 3), loop()


def etendue_seconds(path: Path, folder: Path) -> float:
    """CPU seconds of writing the file into a store."""
    times = []
    for tag in ("warm-up", "a", "b", "c"):
        start = process_time()
        et.open(path, workers=1).write(folder / f"{path.name}.etendue", tag, quiet=True)
        times.append(process_time() - start)
    return min(times[1:])


def main(repeats: int = 80) -> None:
    """Measure and print."""
    warnings.simplefilter("ignore")
    rows = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for file in FILES:
            path = folder / f"{file[:30]}.simtel.zst"
            lengthen(simtel(file), path, repeats)
            theirs, n_images = ctapipe_seconds(path)
            ours = etendue_seconds(path, folder)
            rows.append(
                [file[:30], f"{n_images:,}", f"{1e3 * ours / n_images:.2f} ms",
                 f"{1e3 * theirs / n_images:.2f} ms", f"{theirs / ours:.1f}x"]
            )  # fmt: skip
    table(["file", "images", "etendue, to store, an image", "ctapipe, reading alone", "ratio"], rows)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))

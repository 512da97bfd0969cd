"""How fast IceCube's frames become columns, on one core.

Run it with ``ETENDUE_TEST_DATA`` set to the folder of test data::

    python benchmarks/i3_read.py

No other package reads .i3 files, so the other side is a loop over the same bytes with Python's ``struct``.
The frames of small public files are written again and again into one plain file. Prints CPU seconds (best of
several): pulses by the way they are kept, from a file that was not seen before to columns, with all that the
source does to give them (index, keys, checksums, masks, columns), and with the engine around it, which also
counts the rows of all other tables; how long the steps take; decoding alone; and the index of files with the
same keys and objects of other sizes.
"""

from __future__ import annotations

import os
import struct
import tempfile
from pathlib import Path

from common import best, table

REPEATS = 400
FILES = {
    "message, 1157 pulses an event": (
        "realtime_json/hese_event_02.json",
        "UncleanedInIcePulses",
        "I3SuperDST",
    ),
    "simulation, 68 pulses an event": (
        "i3/oscNext_muongun_level3_v02_first_5_frames.i3.gz",
        "",
        "I3SuperDST",
    ),
    "Gen2 simulation, 125 pulses an event": ("i3/upgrade_genie_step4", "SplitInIcePulsesCleaned", ""),
}


def find(name: str) -> str:
    folder = Path(os.environ.get("ETENDUE_TEST_DATA", "../shared")) / "data/icecube"
    found = sorted(folder.glob(f"{name}*"))
    if not found:
        raise SystemExit(f"no file {name}* in {folder}: set ETENDUE_TEST_DATA to the folder of test data")
    return str(found[0])


def events_again(name: str, into: Path) -> None:
    """Write a file's DAQ and physics frames many times over."""
    from etendue.neutrino.sources.icecube import read_frames

    frames = [frame for frame in read_frames(find(name)) if frame.stop in "QP"]
    into.write_bytes(b"".join(frame.content for frame in frames) * REPEATS)


def read(path: Path, key: str) -> int:
    from etendue.neutrino.sources.icecube import IceCubeSource

    os.utime(path)  # a new file, of which nothing is known
    source = IceCubeSource()
    scan = source.scan(str(path))
    names = ("string", "om", "pmt", "time", "charge", "width", "flags")
    columns = frozenset({f"{key}/{name}" for name in names} | {f"events/n_{key}"})
    return next(iter(source.read(scan, [(0, len(scan.rows["events"]))], columns))).rows(key)


def collect(path: Path, key: str) -> int:
    import etendue

    os.utime(path)
    _, tables = etendue.open(str(path)).columns(f"{key}/*").collect()
    return len(tables[key]["time"])


def read_with_struct(blobs: list[bytes]) -> int:
    """The pulses of maps of pulses, one by one."""
    pulse, module, n_pulses = struct.Struct("<IdffB"), struct.Struct("<IiIB"), 0
    for blob in blobs:
        at = 8 + int.from_bytes(blob[4:8], "little") + 14
        n_modules, first, first_pulse = int.from_bytes(blob[at : at + 4], "little"), True, True
        at += 4
        for _ in range(n_modules):
            at += 4 * first
            module.unpack_from(blob, at)
            at += module.size + 2 * first
            n = int.from_bytes(blob[at : at + 4], "little")
            at, first = at + 4, False
            for _ in range(n):
                at += 2 * first_pulse
                pulse.unpack_from(blob, at)
                at, first_pulse = at + pulse.size, False
            n_pulses += n
    return n_pulses


def pulses(folder: Path) -> None:
    from etendue.neutrino.sources.icecube import read_frames

    rows = []
    for about, (name, kept, packed) in FILES.items():
        path = folder / "again.i3"
        events_again(name, path)
        for key in filter(None, (kept, packed)):
            n = read(path, key)
            assert collect(path, key) == n
            times = [best(lambda way=way, path=path, key=key: way(path, key), 9) for way in (read, collect)]
            loop = "-"
            if key == kept:
                blobs = [frame.blob(key) for frame in read_frames(str(path)) if key in frame]
                assert read_with_struct(blobs) == n
                loop = f"{n / best(lambda blobs=blobs: read_with_struct(blobs), 3) / 1e6:.2f}"
            rows.append([about, key, f"{n:,}", *(f"{n / seconds / 1e6:.1f}" for seconds in times), loop])
    table(["file", "pulses", "number", "source, Mpulse a CPU second", "with engine", "struct"], rows)


def steps(folder: Path) -> None:
    """What of a file goes where: the index and what is made of it, checksums; the rest is decoding."""
    import numpy as np

    from etendue.neutrino.sources.icecube import IceCubeSource
    from etendue.neutrino.sources.icecube.frame_walk import FrameWalk

    rows = []
    for about, (name, kept, packed) in FILES.items():
        path, key = folder / "again.i3", kept or packed
        events_again(name, path)

        def scan(path=path):
            os.utime(path)
            IceCubeSource().scan(str(path))

        (frames,) = FrameWalk(str(path))
        works = (
            lambda path=path, key=key: read(path, key),
            lambda path=path: list(FrameWalk(str(path))),
            scan,
            lambda frames=frames: frames.are_whole(np.arange(len(frames))),
        )
        whole, index, scanned, checksums = (1e3 * best(work, 9) for work in works)
        facts = [about, key, f"{path.stat().st_size / 1e6:.0f}", f"{len(frames.objects):,}"]
        times = (whole, index, scanned - index, checksums, whole - scanned - checksums)
        rows.append([*facts, *(f"{time:.1f}" for time in times)])
    header = ["file", "pulses", "MB", "objects", "all, ms", "index", "rest of the scan", "checksums", "rest"]
    table(header, rows)


def kernels(folder: Path) -> None:
    """Decoding alone, without checksums, keys and the table that a file becomes."""
    import numpy as np

    from etendue.neutrino.sources.icecube import read_frames
    from etendue.neutrino.sources.icecube.decode import decode_blobs
    from etendue.neutrino.sources.icecube.layouts import LAYOUTS
    from etendue.neutrino.sources.icecube.pulses import from_map, from_superdst

    name, kept, packed = FILES["message, 1157 pulses an event"]
    frames = {frame.stop: frame for frame in read_frames(find(name))}
    rows = []
    for stop, key, series_of in (("P", kept, from_map), ("Q", packed, from_superdst)):
        frame = next(frame for frame in frames.values() if key in frame)
        blob, layout = frame.blob(key), LAYOUTS[frame.type(key)]
        data = np.frombuffer(bytearray(blob * REPEATS), np.uint8)
        starts = np.arange(REPEATS) * len(blob)

        def work(data=data, starts=starts, blob=blob, layout=layout, series_of=series_of):
            decoded = decode_blobs(layout, data, starts, starts + len(blob))
            return series_of(decoded, np.arange(REPEATS), REPEATS)

        n = int(work().n_pulses.sum())
        rows.append([stop, key, f"{n:,}", f"{n / best(work) / 1e6:.1f}"])
    table(["stream", "pulses", "number", "Mpulse a CPU second"], rows)


def index(folder: Path) -> None:
    from etendue.neutrino.sources.icecube import read_frames

    rows = []
    for size in (100, 10_000, 200_000):
        path = folder / f"{size}.i3"
        body = b"".join(
            struct.pack("<I", len(part)) + part
            for key in range(20)
            for part in (b"key %d" % key, b"a C++ name", bytes(size))
        )
        head = b"[i3]" + struct.pack("<IBBBI", 6, 0, 0, ord("Q"), 20)
        path.write_bytes((head + body + bytes(4)) * 500)
        seconds = best(lambda path=path: read_frames(str(path), check=False))
        megabytes = path.stat().st_size / 1e6
        rows.append(
            [f"{size:,}", f"{megabytes:,.0f}", f"{1e3 * seconds:.2f}", f"{1e9 * seconds / 10_000:.0f}"]
        )
        path.unlink()
    table(["bytes an object", "file, MB", "index, ms", "ns an object"], rows)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as name:
        for part in (pulses, steps, kernels, index):
            part(Path(name))
            print()

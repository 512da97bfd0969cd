"""No bytes make the reader crash, hang or take memory without bound.

Run by itself, with the number of mutations and the folder of real files: they are mutated, too::

    python -m tests.neutrino.sources.fuzz_icecube 100000 ../shared/data/icecube
"""

import contextlib
import random
import resource
import struct
import sys
import tempfile
import time
from pathlib import Path

from etendue.dataflow.source import SourceError
from etendue.neutrino.sources.icecube import decode, read_frames

from . import i3_files as i3

#: Bytes that are lengths, counts or marks more often than others.
LENGTHS = (0, 1, 0xFFFF, 0x7FFFFFFF, 0xFFFFFFFF)
TELLING = (0, 1, 2, 3, 4, 8, 0x7F, 0x80, 0xFD, 0xFE, 0xFF)


def mutated(content: bytes, random: random.Random) -> bytes:
    """The content with some bytes changed, left out, doubled or cut off."""
    data = bytearray(content)
    for _ in range(random.choice((1, 1, 1, 2, 4))):
        at, kind = random.randrange(len(data) + 1), random.randrange(8)
        n = random.choice((1, 2, 4, 4, 8))
        if kind < 3 and at < len(data):
            data[at] = random.choice((random.randrange(256), random.choice(TELLING)))
        elif kind == 3:
            data[at : at + 4] = struct.pack("<I", random.choice((*LENGTHS, len(data))))
        elif kind == 4:
            del data[at : at + n]
        elif kind == 5:
            data[at:at] = data[at : at + n]
        elif kind == 6:
            data[at:at] = random.randbytes(n)
        else:
            data = data[:at] if random.random() < 0.2 else data
    return bytes(data)


def objects() -> dict[str, bytes]:
    """One object of each kind that is written by the tests."""
    series = {(1, 2, 0): [(1.0, 2.0, 3.0, 1)] * 3, (3, 4, 0): [(5.0, 1.0, 1.0, 7)]}
    made = {
        "I3EventHeader": i3.header(1, 2, 3, "split"),
        "number": i3.number(3.0),
        "named": i3.named({"a": 1.0, "b": 2.0}),
        "filters": i3.filters({"HESE": (True, False), "muon": (True, True)}),
        "fit": i3.particle(),
        "pulses": i3.pulse_map(series),
        "mask": i3.mask("pulses", [[True, False, True], [True]]),
        "mask of mask": i3.mask("mask", [[True, True], [False]]),
        "dst": i3.superdst([(1, 2, True, [(5, 100, 1), (900, 3, 3)]), (3, 4, False, [(70000, 1, 1)])]),
        "mask of dst": i3.mask("dst", [[True, False], [True]]),
        "union": i3.union("pulses", "dst"),
        "raw": i3.launches({(1, 2): [([[1, 2, 3], [500], [], []], list(range(9)))]}),
        "tree": i3.tree([-1, 0, 1, 0]),
        "dst triggers": i3.dst_triggers([(1, 10_000, 57), (15, 10_000, 5000), (3, 90_000, 246 * 16 + 3)]),
        "windows": i3.time_windows(10.0, 30.0),
        "texts": i3.texts("one", "", "three"),
        "pairs": i3.pairs({3: 1, 4_000_000_000: 2}),
        "waveforms": i3.waveforms({(1, 2): [[1.5, 2.5], [3.5]], (5, 6): [[4.5]]}),
        **{f"paraboloid {version}": i3.paraboloid(version) for version in (0, 1, 2)},
    }
    return {key: blob.content for key, blob in made.items()}


def real_objects(folder: Path) -> dict[str, bytes]:
    """The shortest object of each type in real files."""
    found: dict[str, bytes] = {}
    for path in sorted(folder.glob("i3/*.i3*")) + sorted(folder.glob("realtime_json/*.json")):
        for frame in read_frames(str(path)):
            for key in frame.keys():  # noqa: SIM118 - a frame is not a mapping
                kind, blob = frame.type(key), frame.blob(key)
                if kind not in found or 60 < len(blob) < len(found[kind]):
                    found[kind] = blob
    return found


def fuzz_blob(blob: bytes, random: random.Random) -> None:
    """Decode a mutated object."""
    with contextlib.suppress(ValueError):
        decode(mutated(blob, random))


def fuzz_frames(blobs: dict[str, bytes], random: random.Random, path: Path) -> None:
    """Read a file of frames that hold mutated objects, with right checksums; then mutate the file."""
    chosen = random.sample(sorted(blobs), min(len(blobs), 8))
    victim = random.choice(chosen)
    content = {key: mutated(blobs[key], random) if key == victim else blobs[key] for key in chosen}
    frames = [i3.frame(stop, content if stop in "QG" else {"fit": blobs["fit"]}) for stop in "GQPPQP"]
    plain = b"".join(frames)
    if random.random() < 0.5:
        plain = mutated(plain, random)
    path.write_bytes(plain)
    if not i3.SOURCE.accepts(str(path)):
        return
    for on_error in ("skip", "raise"):
        try:
            scan, partition = i3.scan_and_read(path, on_error)
        except SourceError:
            continue
        for name, columns in partition.tables.items():
            scan.schema[name].validate(columns, complete=True)


def run(n: int, blobs: dict[str, bytes], seed: int, share_of_files: float = 0.1) -> None:
    """Fuzz so many times."""
    chance = random.Random(seed)
    kinds = sorted(blobs)
    with tempfile.TemporaryDirectory() as folder:
        for _ in range(n):
            if chance.random() < share_of_files:
                fuzz_frames(blobs, chance, Path(folder) / "mutated.i3")
            else:
                fuzz_blob(blobs[chance.choice(kinds)], chance)


if __name__ == "__main__":
    number, folder = int(sys.argv[1]), sys.argv[2:]
    everything = objects() | (real_objects(Path(folder[0])) if folder else {})
    everything = {key: blob for key, blob in everything.items() if len(blob) < 1 << 17}
    start = time.monotonic()
    run(number, everything, seed=int(start))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10
    seconds = time.monotonic() - start
    print(f"{number} mutations of {len(everything)} objects: {seconds:.0f} s, peak {peak} MB")

"""Writes .i3 files: frames, and objects of the types that the tests need."""

import struct
from pathlib import Path

import google_crc32c

from etendue.dataflow.source import Scan
from etendue.neutrino.sources.icecube import IceCubeSource

SOURCE = IceCubeSource()
BASE = "I3FrameObject"


class Blob:
    """An object as the archive writes it: marks of classes once, numbers of objects always."""

    def __init__(self, name: str, version: int = 0, base: bool = True) -> None:
        self.content = b"\0\1" + struct.pack("<hI", 2, len(name)) + name.encode()
        self._seen: set[str] = set()
        self._objects = 0
        self.mark(name, version)
        if base:
            self.mark(BASE)

    def mark(self, name: str, version: int = 0, numbered: bool = True) -> "Blob":
        if name not in self._seen:
            self._seen.add(name)
            self.content += bytes([numbered, version])
        if numbered:
            self.pack("I", self._objects)
            self._objects += 1
        return self

    def pack(self, form: str, *values: object) -> "Blob":
        self.content += struct.pack("<" + form, *values)
        return self

    def text(self, value: str) -> "Blob":
        raw = value.encode()
        self.content += struct.pack("<I", len(raw)) + raw
        return self

    def key(self, string: int, om: int, pmt: int = 0) -> "Blob":
        return self.mark("OMKey", 2).pack("iIB", string, om, pmt)

    def position(self, x: float, y: float, z: float) -> "Blob":
        return self.mark("I3Position").mark(BASE).pack("3d", x, y, z)


def frame(stop: str, objects: dict[str, Blob | bytes], version: int = 6) -> bytes:
    body = stop.encode() + struct.pack("<I", len(objects))
    for key, blob in objects.items():
        content = blob if isinstance(blob, bytes) else blob.content
        for part in (key.encode(), b"a C++ name", content):
            body += struct.pack("<I", len(part)) + part
    return b"[i3]" + struct.pack("<IBB", version, 0, 0) + body + checksum(body)


def checksum(body: bytes) -> bytes:
    return struct.pack("<I", google_crc32c.extend(0xFFFFFFFF, body) ^ 0xFFFFFFFF)


def header(run: int, event: int, sub_event: int = 0, stream: str = "") -> Blob:
    blob = Blob("I3EventHeader", 3).pack("IIIiI", run, 2, event, 20, sub_event).text(stream)
    for ticks in (1_234_567, 2_234_567):
        blob.mark("I3Time").mark(BASE).pack("iq", 2011, ticks)
    return blob


def particle(**fields: float) -> Blob:
    blob = Blob("I3Particle", 5)
    return write_particle(blob, **fields)


def write_particle(blob: Blob, zenith=0.5, azimuth=1.0, energy=10.0, pdg=0, fit_status=0, shape=40) -> Blob:
    blob.pack("iQiii", 3, 4, pdg, shape, fit_status).position(1.0, 2.0, 3.0)
    blob.mark("I3Direction").mark(BASE).pack("2d", zenith, azimuth)
    return blob.pack("4di", 9000.0, energy, float("nan"), 0.3, 20)


def number(value: float) -> Blob:
    return Blob("I3Double").pack("d", value)


def named(values: dict[str, float]) -> Blob:
    blob = Blob("I3MapStringDouble").mark("map", 0, False).pack("I", len(values))
    for name, value in values.items():
        blob.mark("pair", 0, False).text(name).pack("d", value)
    return blob


def filters(decisions: dict[str, tuple[bool, bool]]) -> Blob:
    blob = Blob("I3FilterResultMap").mark("map", 0, False).pack("I", len(decisions))
    for name, decision in decisions.items():
        blob.mark("pair", 0, False).text(name).mark("I3FilterResult").mark(BASE).pack("2?", *decision)
    return blob


Modules = dict[tuple[int, int, int], list[tuple[float, float, float, int]]]


def pulse_map(modules: Modules) -> Blob:
    blob = Blob("I3RecoPulseSeriesMap").mark("map", 0, False).pack("I", len(modules))
    for key, pulses in modules.items():
        blob.mark("pair", 0, False).key(*key).mark("vector", 0, False).pack("I", len(pulses))
        for pulse in pulses:
            blob.mark("I3RecoPulse", 3).pack("dffB", *pulse)
    return blob


def _bits(blob: Blob, bits: list[bool]) -> None:
    n_bytes = -(-len(bits) // 8)
    value = sum(bit << i for i, bit in enumerate(bits))
    blob.mark("bitmask", 0, False).pack("HB", n_bytes, 8 * n_bytes - len(bits))
    blob.content += value.to_bytes(n_bytes, "little")


def mask(source: str, modules: list[list[bool]], empty_byte: bool = False) -> Blob:
    """A mask of which each module's pulses are kept; one byte of bits over no modules if so asked."""
    blob = Blob("I3RecoPulseSeriesMapMask", 2).text(source)
    if empty_byte:
        blob.mark("bitmask", 0, False).pack("HBB", 1, 0, 0)
    else:
        _bits(blob, [any(pulses) for pulses in modules])
    blob.mark("vector", 0, False)
    kept = [pulses for pulses in modules if any(pulses)]
    blob.pack("I", len(kept))
    for pulses in kept:
        _bits(blob, pulses)
    return blob


def union(*sources: str) -> Blob:
    blob = Blob("I3RecoPulseSeriesMapUnion").mark("vector", 0, False).pack("I", len(sources))
    for source in sources:
        blob.text(source)
    return blob


def _sized(items: bytes, n: int) -> bytes:
    return _few(n) + items


def _few(n: int) -> bytes:
    """A number in few bytes: one below 247; else how many follow, counted down from 255, and those."""
    n_bytes = -(-n.bit_length() // 8)
    return bytes([n]) if n < 247 else bytes([255 - n_bytes]) + n.to_bytes(n_bytes, "little")


def _words(value: int, most: int) -> tuple[int, list[int]]:
    """A code, and the words that what is too large for it goes on in."""
    if value < most:
        return value, []
    value, words = value - most, []
    while value >= 0xFFFF:
        words.append(0xFFFF)
        value -= 0xFFFF
    return most, [*words, value]


Readout = tuple[int, int, bool, list[tuple[int, int, int]]]


def superdst(readouts: list[Readout]) -> Blob:
    """Readouts of modules: string, om, local coincidence, and of each pulse time, charge code, width code.

    Modules from 61 on are IceTop's: their charges' codes have 14 bits, and they have a pulse each.
    """
    stamps, headers, icetop, before = [], [], [], -512
    widths: list[list[int]] = [[], [], [], []]
    for string, om, hlc, pulses in sorted(readouts, key=lambda readout: readout[3][0][0]):
        first, since = True, before
        for i, (time, charge, width) in enumerate(pulses):
            code, words = _words(time - since, 2047 if first else 255)
            if first:
                headers.append(string << 6 | om - 1 | code >> 8 << 13)
                before = time
            charge_code, charge_words = _words(charge, 63) if om <= 60 else (charge & 63, [])
            icetop += [charge >> 6] if om > 60 else []
            last = i == len(pulses) - 1
            stamps += [code & 255 | charge_code << 8 | hlc << 14 | last << 15, *words, *charge_words]
            widths[2 * (om > 60) + hlc].append(width)
            first, since = False, time
    blob = Blob("I3SuperDST", 1)
    for vector, items in (("stamps", stamps), ("headers", headers)):
        blob.mark(f"vector of {vector}", 0, False)
        if vector == "stamps":
            blob.mark("SizeCodec", 0, False)
        blob.content += _sized(struct.pack(f"<{len(items)}H", *items), len(items))
    blob.mark("vector of runs", 0, False)
    for codes in widths:
        runs = _runs(codes)
        blob.content += _sized(runs, len(runs))
    blob.content += _sized(bytes(icetop), len(icetop))
    return blob


def _runs(codes: list[int]) -> bytes:
    runs, at = b"", 0
    while at < len(codes):
        n = 1
        while at + n < len(codes) and codes[at + n] == codes[at]:
            n += 1
        at += n
        while n:
            runs += bytes([codes[at - 1] | (n & 15) << 4])
            n >>= 4
    return runs


WIDTHS = (1, 2, 3, 6, 11, 20, 31)


def squeeze(samples: list[int]) -> list[int]:
    """Samples as differences in few bits, in words of 32."""
    value, n_bits, width, before = 0, 0, 2, 0
    for sample in samples:
        step = sample - before
        while True:
            bits = WIDTHS[width]
            fits = -(1 << bits - 1) < step < 1 << bits - 1
            code = step if fits else 1 << bits - 1
            value |= (code & (1 << bits) - 1) << n_bits
            n_bits += bits
            if fits:
                break
            width += 1
        if width > 0 and abs(step) < 1 << WIDTHS[width - 1] - 1:
            width -= 1
        before = sample
    n_words = -(-n_bits // 32)
    return [value >> 32 * i & 0xFFFFFFFF for i in range(n_words)]


Waveforms = tuple[list[list[int]], list[int]]


def launches(modules: dict[tuple[int, int], list[Waveforms]]) -> Blob:
    """Launches of modules: the waveforms of four ATWD channels, and of the FADC."""
    blob = Blob("I3DOMLaunchSeriesMap").mark("map", 0, False).pack("I", len(modules))
    for key, series in modules.items():
        blob.mark("pair", 0, False).key(*key).mark("vector", 0, False).pack("I", len(series))
        for atwd, fadc in series:
            blob.mark("I3DOMLaunch", 5).pack("diii", 500.0, 2, 0, 1)
            blob.mark("vector of waveforms", 0, False).pack("I", len(atwd))
            for samples in atwd:
                words = squeeze(samples)
                blob.pack(f"I{len(words)}I", len(words), *words)
            blob.pack("4I", *map(len, atwd))
            words = squeeze(fadc)
            blob.pack(f"I{len(words)}I", len(words), *words).pack("I?", len(fadc), True)
            blob.pack("I3I?3I", 3, 1, 2, 1, False, 7, 0, 0)
    return blob


def tree(parents: list[int]) -> Blob:
    """A tree of particles in the order of a walk that goes down first; their energies count them."""
    children = {
        parent: [i for i, p in enumerate(parents) if p == parent] for parent in [-1, *range(len(parents))]
    }

    def shape(siblings: list[int]) -> list[int]:
        if not siblings:
            return [0]
        return [1, *shape(children[siblings[0]]), *shape(siblings[1:])]

    blob = Blob("I3MCTree", 1)
    bits = shape(children[-1]) if parents else []
    words = -(-len(bits) // 64)
    blob.pack("I", len(bits))
    if bits:
        value = sum(bit << i for i, bit in enumerate(bits))
        blob.pack("I", words)
        blob.content += value.to_bytes(8 * words, "little")
    for i in range(len(parents)):
        write_particle(blob.mark("I3Particle", 5).mark(BASE), energy=float(i))
    return blob


def triggers(config_ids: list[int | None]) -> Blob:
    """Triggers side by side, some without the number of their configuration."""
    blob = Blob("I3TriggerHierarchy").pack("I", len(config_ids))
    for config_id in config_ids:
        blob.mark("I3Trigger", 1).pack("2d?", 100.0, 5.0, True).mark("TriggerKey", 1).pack("3i", 0, 1, 2)
        blob.pack("?", config_id is not None)
        if config_id is not None:
            blob.pack("i", config_id)
        blob.pack("I", 0)
    return blob


Places = dict[tuple[int, int], tuple[float, float, float]]


def geometry(modules: Places, version: int = 1, om_version: int = 1) -> Blob:
    blob = Blob("I3Geometry", version).mark("I3OMGeoMap").mark(BASE).mark("map", 0, False)
    blob.pack("I", len(modules))
    for key, where in modules.items():
        blob.mark("pair", 0, False).key(*key).mark("I3OMGeo", om_version).position(*where)
        blob.mark("I3Orientation").mark(BASE).mark("I3Quaternion").mark(BASE).pack("4d", 1.0, 0.0, 0.0, 0.0)
        blob.pack("id", 20, 0.0444)
        if om_version > 1:
            blob.pack("i", 7)
    blob.content += b"stations and times"
    return blob


def calibration(charges: dict[tuple[int, int], tuple[float, ...]], version: int) -> Blob:
    """What differs in the calibration of modules: their distributions of charge of one photo-electron."""
    blob = Blob("I3CalibrationDiff").text("baseline.i3")
    for _ in range(2):
        blob.mark("I3Time").mark(BASE).pack("iq", 2016, 0)
    blob.mark("I3DOMCalibrationMapDiff").mark("map", 0, False).pack("I", len(charges))
    for key, values in charges.items():
        blob.mark("pair", 0, False).key(*key).mark("I3DOMCalibrationDiff").mark("bitset", 0, False)
        blob.pack("I", 1 << 26).mark("SPEChargeDistribution", version).pack(f"{len(values)}d", *values)
    blob.content += b"and more"
    return blob


def dst_triggers(triggers: list[tuple[int, int, int]]) -> Blob:
    """Triggers of a super-DST: place of the key, time and length in ns; times ascending."""
    blob = Blob("I3SuperDSTTriggerSeries").mark("SizeCodec", 0, False)
    blob.content += _few(len(triggers))
    before = 0
    for key, time, length in triggers:
        blob.pack("B", key | (length & 15) << 4)
        blob.content += _few(length >> 4) + _few(time - before)
        before = time
    return blob


def time_windows(*starts: float) -> Blob:
    """Windows of 5 ns."""
    blob = Blob("I3TimeWindowSeries", 1).mark("vector", 0, False).pack("I", len(starts))
    for start in starts:
        blob.mark("I3TimeWindow", 1).mark(BASE).pack("2d", start, start + 5)
    return blob


def texts(*values: str) -> Blob:
    blob = Blob("I3VectorString").mark("vector", 0, False).pack("I", len(values))
    for value in values:
        blob.text(value)
    return blob


def pairs(values: dict[int, int]) -> Blob:
    blob = Blob("I3MapUnsignedUnsigned").mark("map", 0, False).pack("I", len(values))
    for key, value in values.items():
        blob.mark("pair", 0, False).pack("2I", key, value)
    return blob


def waveforms(modules: dict[tuple[int, int], list[list[float]]]) -> Blob:
    blob = Blob("I3WaveformSeriesMap").mark("map", 0, False).pack("I", len(modules))
    for key, samples in modules.items():
        blob.mark("pair", 0, False).key(*key).mark("vector", 0, False).pack("I", len(samples))
        for values in samples:
            blob.mark("I3Waveform", 3).pack(f"2dI{len(values)}d", 100.0, 3.3, len(values), *values)
            blob.mark("vector of status", 0, False).pack("I", 1).mark("Status", 3)
            blob.mark("pair of bins", 0, False).pack("2Qib", 0, len(values), 4, 2).pack("B", 16)
    return blob


def paraboloid(version: int) -> Blob:
    blob = Blob("I3ParaboloidFitParams", version, base=False).mark("I3LogLikelihoodFitParams").mark(BASE)
    blob.pack("2d2i", 50.0, 7.0, 8, 9).pack("17d", *(0.1 * k for k in range(17)))
    blob.pack("4d", 1.0, 2.0, 3.0, 4.0) if version > 0 else None
    blob.pack("i", 3) if version > 1 else None
    return blob


def job(key: str) -> Blob:
    """What a job leaves of itself."""
    blob = Blob("I3TrayInfo", 2).mark("map", 0, False).pack("I", 1).mark("pair", 0, False)
    blob.text("hostname").text(key).text("https://example.org").text("").pack("I", 42)
    blob.mark("vector", 0, False).pack("I", 1).text("a module")
    blob.content += b"and more"
    return blob


def scan_and_read(path: Path | str, on_error: str = "raise", columns: frozenset | None = None) -> tuple:
    """The scan of a file, and all its events in one partition."""
    scan = SOURCE.scan(str(path), on_error)
    return scan, next(iter(SOURCE.read(scan, [(0, n_events(scan))], columns or all_columns(scan), on_error)))


def n_events(scan: Scan) -> int:
    return len(scan.rows["events"])


def all_columns(scan: Scan) -> frozenset[str]:
    return frozenset(f"{t.name}/{c}" for t in scan.schema.values() for c in t.variables)

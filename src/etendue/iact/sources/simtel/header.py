"""What the objects before the first event say: the run, the array, its cameras.

Rules of names, positions and directions are those of ctapipe 0.32 (``io/simteleventsource.py``,
``instrument/guess.py``).
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from hashlib import blake2b
from io import BytesIO
from typing import Any

import numpy as np

from etendue.dataflow.source import SourceError
from etendue.iact.known_telescopes import KNOWN_TELESCOPES
from etendue.iact.schema import RESERVED
from etendue.iact.sources.simtel.objects import Object, ObjectError, unpack
from etendue.iact.sources.simtel.part import obs_id_of
from etendue.iact.sources.simtel.stream import SYNC
from etendue.iact.sources.simtel.walk import Damage

HISTOGRAMS = 100
HISTORY, META, RUN_HEADER, MC_RUN_HEADER = 70, 75, 2000, 2001
CAMERA_SETTINGS, CAMERA_ORGANISATION, PIXEL_SETTINGS, DISABLED_PIXELS = 2002, 2003, 2004, 2005
#: Objects of which the header has one a telescope.
TELESCOPE_OBJECTS = frozenset(range(2002, 2009))
#: What eventio decodes.
DECODED = frozenset(
    {HISTOGRAMS, META, RUN_HEADER, MC_RUN_HEADER, CAMERA_SETTINGS, PIXEL_SETTINGS, DISABLED_PIXELS}
)
ARRAY_EVENT, CALIBRATION_EVENT = 2010, 2028

#: Metaparameters of a telescope that name it, if there are all three.
NAMES = (b"OPTICS_CONFIG_NAME", b"CAMERA_CONFIG_NAME", b"MIRROR_CLASS")

_N_GAINS = struct.Struct("<8xi")


@dataclass(frozen=True)
class Camera:
    """A camera and the optics before it, as the header describes them.

    Parameters
    ----------
    size, optics, name : str
        Size class, name of the optics, name of the camera.
    pixels : dict of str to array
        Columns of ``camera/<label>``.
    channels : dict of str to array
        Columns of ``readout/<label>``.
    n_samples : int
        Samples that the camera takes; events may hold their sum instead.
    equivalent_focal_length, effective_focal_length, mirror_area, n_mirrors, camera_rotation
        As in ``optics/<label>``.
    """

    size: str
    optics: str
    name: str
    pixels: dict[str, np.ndarray]
    channels: dict[str, np.ndarray]
    n_samples: int
    equivalent_focal_length: float
    effective_focal_length: float
    mirror_area: float
    n_mirrors: int
    camera_rotation: float

    @property
    def n_pixels(self) -> int:
        return len(self.pixels["pixel_x"])

    @property
    def n_gains(self) -> int:
        return len(self.channels["sampling_rate"])

    @property
    def label(self) -> str:
        """Name of its table; none of those that all runs have, of which a camera may have the name."""
        name = re.sub(r"[^a-z0-9_]", "_", self.name.lower()) or "camera"
        return f"{name}_camera" if name in RESERVED else name

    @property
    def can_be_corrected(self) -> bool:
        """Whether there is a reference pulse for each gain, by which charges can be corrected."""
        pulses, steps = (self.channels[f"reference_pulse_{name}"] for name in ("shape", "sample_width"))
        return bool(pulses.sum(axis=1).all() and (steps > 0).all())

    @cached_property
    def content(self) -> bytes:
        """Digest of what telescopes of one table share, but for the samples that events hold."""
        digest = blake2b(self.label.encode(), digest_size=16)
        for columns in (self.pixels, self.channels):
            for column in columns.values():
                digest.update(repr((column.dtype.str, column.shape)).encode() + column.tobytes())
        focal = (self.equivalent_focal_length, self.effective_focal_length, self.camera_rotation)
        digest.update(repr(focal).encode())
        return digest.digest()

    def fingerprint(self, n_samples: int) -> str:
        """Digest of all that makes a table: equal for telescopes whose readouts fit in one."""
        return blake2b(self.content + repr(n_samples).encode(), digest_size=16).hexdigest()


@dataclass
class Header:
    """The header of a file.

    Parameters
    ----------
    run : dict
        eventio's run header: ``run``, ``tracking_mode``, ``direction``, ``tel_id``, ``tel_pos``.
    mc_run : dict
        eventio's last MC run header.
    place : tuple of float
        Latitude and longitude [deg] and altitude [m] of the array; without metaparameters 0, 0 and the
        height that was simulated.
    cameras : dict of int to Camera
        By telescope, in the order of the file.
    disabled : dict of int to array
        Pixels without high voltage, by telescope.
    history : list of Object
        What made the file.
    early : list of Object
        Other objects between those of the header; merged files have simulated showers there.
    """

    run: dict[str, Any]
    mc_run: dict[str, Any]
    place: tuple[float, float, float]
    cameras: dict[int, Camera]
    disabled: dict[int, np.ndarray]
    history: list[Object]
    early: list[Object]

    @cached_property
    def index(self) -> dict[int, int]:
        """Position of each telescope in the run header."""
        return {int(tel_id): n for n, tel_id in enumerate(self.run["tel_id"])}

    @cached_property
    def positions(self) -> np.ndarray:
        """Positions (north, west, up) [m] of the telescopes, in the order of the run header."""
        return np.asarray(self.run["tel_pos"], dtype=np.float64)

    @cached_property
    def has_true_image(self) -> bool:
        """Whether the simulation was told to keep the photo-electrons of each pixel; yes if unknown."""
        try:
            return _keeps_photoelectrons([line for o in self.history for line in _history(o)])
        except (ValueError, IndexError):
            return True


class _ValueError(ObjectError):
    """A value of a telescope that cannot be: in which object, what was expected and found."""

    def __init__(self, kind: int, message: str) -> None:
        super().__init__(message)
        self.kind = kind


@dataclass
class _Parts:
    """Objects of the header, decoded."""

    run: dict[str, Any] | None = None
    mc_run: dict[str, Any] | None = None
    meta: dict[int, dict[bytes, bytes]] = field(default_factory=dict)
    by_telescope: dict[int, dict[int, Any]] = field(default_factory=dict)
    history: list[Object] = field(default_factory=list)
    early: list[Object] = field(default_factory=list)
    decoded: dict[tuple, Any] = field(default_factory=dict)
    offsets: dict[tuple[int, int], int] = field(default_factory=dict)

    def add(self, found: Object) -> None:
        self.offsets[found.type, found.id] = found.offset
        if found.type == HISTORY:
            self.history.append(found)
        elif found.type == META:
            self.meta[found.id] = self.decode(found)
        elif found.type == RUN_HEADER:
            self.run = self.decode(found)
        elif found.type == MC_RUN_HEADER:
            self.mc_run = self.decode(found)
        elif found.type in TELESCOPE_OBJECTS:
            self.by_telescope.setdefault(found.id, {})[found.type] = self.decode(found)
        else:
            self.early.append(found)

    def decode(self, found: Object) -> Any:
        """Decode an object, or reuse what an equal one was decoded to: telescopes are much alike."""
        key = (found.type, found.version, found.data[found.start : found.stop].tobytes())
        if key not in self.decoded:
            self.decoded[key] = decode_object(found)
        return self.decoded[key]

    @property
    def complete(self) -> bool:
        return self.run is not None and self.run["n_telescopes"] == sum(
            len(objects) == len(TELESCOPE_OBJECTS) for objects in self.by_telescope.values()
        )


def read_header(walk: Iterator[Object | Damage], path: str) -> Header:
    """Read objects up to the last of the header.

    Raises
    ------
    SourceError
        If the header is damaged or not complete, so that nothing after it has a meaning, or if the path
        asks for what there is not.
    """
    obs_id, parts = obs_id_of(path), _Parts()
    found = None
    while not parts.complete:
        found = next(walk, None)
        if found is None:
            raise SourceError(path, "end of the file", _lacking(parts))
        if isinstance(found, Damage):
            raise SourceError(path, f"byte {found.offset} (header)", f"{found.message}; get the file anew")
        place = f"byte {found.offset} (object {found.type}, header)"
        if found.type in (ARRAY_EVENT, CALIBRATION_EVENT):
            raise SourceError(path, place, _lacking(parts))
        try:
            parts.add(found)
        except ObjectError as error:
            raise SourceError(path, place, f"{error}; get the file anew") from error
    place = f"byte {found.offset} (object {found.type}, header)"
    if parts.mc_run is None:
        raise SourceError(path, place, "expected an MC run header (2001): only simulated data can be read")
    try:
        header = _header(parts, path)
    except (KeyError, ValueError, IndexError) as error:
        message = f"the objects of the header contradict each other ({error}); get the file anew"
        raise SourceError(path, place, message) from error
    if obs_id is not None:
        header.run["run"] = obs_id
    return header


def _lacking(parts: _Parts) -> str:
    if parts.run is None:
        return (
            "expected a sim_telarray run header (2000), found none: the file is empty or truncated, or is "
            "not made by sim_telarray"
        )
    n_whole = sum(len(objects) == len(TELESCOPE_OBJECTS) for objects in parts.by_telescope.values())
    return (
        f"expected the descriptions of {parts.run['n_telescopes']} telescopes, found {n_whole}: the file is "
        "truncated; get it anew"
    )


def decode_object(found: Object) -> Any:
    """Decode an object of the header, or the closing histograms, as eventio does.

    Raises
    ------
    ObjectError
        If it is broken.
    """
    if found.type == CAMERA_ORGANISATION:
        return unpack(_N_GAINS, found.data, found.start, found.stop)[0]
    if found.type not in DECODED:
        return None
    import eventio.simtel.objects  # noqa: F401 - fills KNOWN_OBJECTS; another thread may be at it
    from eventio.base import KNOWN_OBJECTS, read_header

    marker = found.stop - (found.end - found.offset)
    content = BytesIO(found.data[marker + len(SYNC) : found.stop].tobytes())
    try:
        header = read_header(content, offset=0)
        return KNOWN_OBJECTS[found.type](header, content).parse()
    except Exception as error:  # whatever broken bytes lead eventio to
        raise ObjectError(f"cannot be decoded ({type(error).__name__}: {error})") from error


def _header(parts: _Parts, path: str) -> Header:
    built: dict[tuple, Camera] = {}
    cameras = {}
    for tel_id, objects in parts.by_telescope.items():
        meta = parts.meta.get(tel_id, {})
        key = (*(id(objects[t]) for t in (CAMERA_SETTINGS, PIXEL_SETTINGS)), objects[CAMERA_ORGANISATION])
        key = (
            *key,
            meta.get(b"CAMERA_CONFIG_NAME"),
            meta.get(b"OPTICS_CONFIG_NAME"),
            b"MIRROR_CLASS" in meta,
        )
        if key not in built:
            try:
                built[key] = _camera(objects, meta)
            except _ValueError as error:
                place = f"byte {parts.offsets[error.kind, tel_id]} (object {error.kind}, telescope {tel_id})"
                raise SourceError(path, place, f"{error}; get the file anew") from error
        cameras[tel_id] = built[key]
    if missing := cameras.keys() - {int(tel_id) for tel_id in parts.run["tel_id"]}:
        raise ValueError(f"the run header does not list the telescopes {sorted(missing)}")
    disabled = {tel_id: objects[DISABLED_PIXELS] for tel_id, objects in parts.by_telescope.items()}
    return Header(
        run=parts.run,
        mc_run=parts.mc_run,
        place=_place(parts),
        cameras=cameras,
        disabled={tel_id: pixels["HV_disabled"] for tel_id, pixels in disabled.items()},
        history=parts.history,
        early=parts.early,
    )


def _place(parts: _Parts) -> tuple[float, float, float]:
    meta = parts.meta.get(-1, {})
    place = [meta.get(key) for key in (b"*LATITUDE", b"*LONGITUDE", b"ALTITUDE")]
    if None in place:
        return 0.0, 0.0, float(parts.mc_run["obsheight"])
    return tuple(map(float, place))


def _camera(objects: dict[int, Any], meta: dict[bytes, bytes]) -> Camera:
    camera, pixels, n_gains = (objects[t] for t in (CAMERA_SETTINGS, PIXEL_SETTINGS, CAMERA_ORGANISATION))
    n_pixels = camera["n_pixels"]
    if not (0 < n_gains <= 2 and n_pixels > 0 and pixels["sum_bins"] > 0):
        raise ValueError(f"{n_gains} gains, {n_pixels} pixels, {pixels['sum_bins']} samples")
    equivalent, effective = (_length(camera.get(f"{kind}focal_length", 0)) for kind in ("", "effective_"))
    if np.isnan(equivalent) and np.isnan(effective):
        found = f"{camera['focal_length']} and {camera.get('effective_focal_length', 0)} (effective)"
        raise _ValueError(CAMERA_SETTINGS, f"expected a focal length greater than 0 m, found {found}")
    time_slice = _length(pixels["time_slice"])
    if np.isnan(time_slice) and pixels["sum_bins"] > 1:  # a camera that gives sums needs none
        found = f"{pixels['time_slice']} of {pixels['sum_bins']} samples"
        raise _ValueError(PIXEL_SETTINGS, f"expected a time slice greater than 0 ns, found {found}")
    size, optics, name = _names(camera, meta)
    pulses = np.asarray(pixels.get("ref_shape", np.empty((n_gains, 0))), dtype=np.float64)
    return Camera(
        size=size,
        optics=optics,
        name=name,
        pixels={
            "pixel_x": np.asarray(camera["pixel_x"], dtype=np.float64),
            "pixel_y": np.asarray(camera["pixel_y"], dtype=np.float64),
            "pixel_area": np.asarray(camera["pixel_area"], dtype=np.float64),
            "pixel_shape": np.asarray(camera["pixel_shape"]).astype(np.int8),
        },
        channels={
            "sampling_rate": np.full(n_gains, 1 / time_slice),
            "reference_pulse_sample_width": np.full(n_gains, pixels.get("ref_step", np.nan), np.float64),
            "reference_pulse_shape": pulses[np.minimum(np.arange(n_gains), len(pulses) - 1)],
        },
        n_samples=int(pixels["sum_bins"]),
        equivalent_focal_length=equivalent,
        effective_focal_length=effective,
        mirror_area=float(camera["mirror_area"]),
        n_mirrors=int(camera["n_mirrors"]),
        camera_rotation=float(-np.rad2deg(camera["cam_rot"])),
    )


def _names(camera: dict[str, Any], meta: dict[bytes, bytes]) -> tuple[str, str, str]:
    """Size class, optics and camera: as the file names them, or as similar telescopes are called."""
    n_pixels, tiles, area = camera["n_pixels"], camera["n_mirrors"], camera["mirror_area"]
    diameter = 2 * np.sqrt(area / np.pi)
    size = "SST" if diameter < 8 else "MST" if diameter < 16 else "LST"
    optics, name, mirror = (meta.get(key) for key in NAMES)
    if optics is not None and name is not None and mirror is not None:
        return size, optics.decode(errors="replace"), name.decode(errors="replace")
    focal_length = round(camera["focal_length"], 2)
    for known_pixels, known_focal_length, known_tiles, *names in KNOWN_TELESCOPES:
        same_tiles = known_tiles in (0, tiles)
        if (known_pixels, known_focal_length) == (n_pixels, focal_length) and same_tiles:
            return tuple(names)
    return size, f"UNKNOWN-{area:.0f}M2", f"UNKNOWN-{n_pixels}PX"


def _length(value: float) -> float:
    """A length or duration, which is greater than zero and finite; else NaN."""
    return float(value) if 0 < value < np.inf else np.nan


def _history(found: Object) -> Iterator[str]:
    """Lines of a history object: after the time and the length, text."""
    for child in found.children():
        yield found.data[child.start + 6 : child.stop].tobytes().decode().strip("\0 \t\r\n")


def _keeps_photoelectrons(lines: list[str]) -> bool:
    """Whether the settings of the array, or of any telescope, keep photo-electrons."""
    if "merge_simtel" in lines[0]:
        return False
    telescope, save_photons = 0, 0
    stored: dict[int, int] = {}
    for line in map(str.lower, lines):
        telescope += line.startswith("# telescope-specific configuration follows")
        if telescope == 0 and line.startswith("save_photons"):
            save_photons = int(line.split()[1])
        if line.startswith("store_photoelectrons") or (telescope and "store_photoelectrons" in line):
            stored[telescope] = int(line.split()[1])
    return bool(save_photons & 2) or any(value > 0 for value in stored.values())

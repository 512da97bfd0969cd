"""From the bytes of objects to arrays and numbers.

Layouts are those of hessioxxx's ``io_hess.c`` as `eventio` documents them; results are bit-identical to
eventio's. Numbers of variable length start with as many 1 bits as bytes follow; signed ones have their
sign in the lowest bit; samples are the differences of such numbers.
"""

from __future__ import annotations

import struct
from functools import cache
from io import BytesIO
from typing import NamedTuple

import numpy as np

from etendue.iact.sources.simtel.objects import (
    ADC_SAMPLES,
    ZERO_SUPPRESSED,
    Child,
    Object,
    ObjectError,
    array,
    unpack,
)
from etendue.kernel import kernel

MAX_SAMPLE = (1 << 16) - 1
MAX_SUM = (1 << 31) - 1

_POINTING = struct.Struct("<ff")
_IMPACT = struct.Struct("<iff")
#: A number at the start of an object.
NUMBER = struct.Struct("<i")
_SHORT = struct.Struct("<h")
_MONITORING = struct.Struct("<12x")
_DIMENSIONS = struct.Struct("<hhhh")
_PEDESTALS = struct.Struct("<8xh")
_LASER = struct.Struct("<Hhi")
_SHOWER_0, _SHOWER_1 = struct.Struct("<ifffff"), struct.Struct("<ifffxxxxff")
_DEPTH = struct.Struct("<16xf")


@kernel
def read_varint(data: np.ndarray, at: int, stop: int) -> tuple[int, int]:
    """Unsigned number of variable length, of at most five bytes, and the position after it.

    Returns
    -------
    value, at : int
        ``at`` is -1 if the number does not end before ``stop`` or is longer.
    """
    if at >= stop:
        return 0, -1
    first = np.int64(data[at])
    n_more, mask = 0, 0x80
    while first & mask and n_more < 5:
        n_more += 1
        mask >>= 1
    if n_more == 5 or at + 1 + n_more > stop:
        return 0, -1
    value = first & (mask - 1)
    for i in range(n_more):
        value = value << 8 | np.int64(data[at + 1 + i])
    return value, at + 1 + n_more


@kernel
def read_signed(data: np.ndarray, at: int, stop: int) -> tuple[int, int]:
    """Signed number of variable length, and the position after it; see `read_varint`."""
    value, at = read_varint(data, at, stop)
    return (value >> 1) ^ -(value & 1), at


@kernel
def decode_samples(
    data: np.ndarray, at: int, stop: int, pixels: np.ndarray, limit: int, out: np.ndarray
) -> int:
    """Decode samples [gain, pixel, sample], each the difference to the one before.

    Parameters
    ----------
    data : uint8 array
        Buffer.
    at, stop : int
        Where the samples are in it.
    pixels : int64 array
        Pixels that have samples, in their order.
    limit : int
        Greatest value that a sample can have: a power of two less one.
    out : unsigned array, shape (n_gains, n_samples, n_pixels)
        Set where there are samples.

    Returns
    -------
    int
        Position after the last sample; -1 if there are too few bytes or a value is out of its range.
    """
    n_gains, n_samples, _ = out.shape
    # Unsigned, or each index would be looked at for being negative: that takes as long as the rest.
    here, last, one = np.uint64(at), np.uint64(stop), np.uint64(1)
    too_large = ~np.int64(limit)
    for gain in range(n_gains):
        plane = out[gain]
        for pixel in pixels:
            value = seen = np.int64(0)
            for sample in range(np.uint64(n_samples)):
                code = np.int64(data[here]) if here + one < last else 0xFF
                if code < 0x80:
                    here += one
                elif code < 0xC0:
                    code = (code & 0x3F) << 8 | np.int64(data[here + one])
                    here += np.uint64(2)
                else:  # longer, or the last bytes: with all checks
                    code, at = read_varint(data, np.int64(here), stop)
                    if at < 0:
                        return -1
                    here = np.uint64(at)
                value += (code >> 1) ^ -(code & 1)
                seen |= value
                plane[sample, np.uint64(pixel)] = value
            if seen & too_large:
                return -1
    return np.int64(here)


@kernel
def decode_pixels(data: np.ndarray, at: int, stop: int, pixels: np.ndarray) -> tuple[int, int]:
    """Decode which pixels have samples: ranges (first, last), and single pixels p as -p - 1.

    Returns
    -------
    n, at : int
        Pixels found, and the position after the list; ``at`` is -1 if it is broken.
    """
    n_ranges, at = read_signed(data, at, stop)
    n = 0
    for _ in range(n_ranges):
        if at < 0:
            return 0, -1
        first, at = read_signed(data, at, stop)
        last = -first - 1
        if first < 0:
            first = last
        elif at >= 0:
            last, at = read_signed(data, at, stop)
        if last < first or n + last - first + 1 > pixels.size or last >= pixels.size:
            return 0, -1
        for pixel in range(first, last + 1):
            pixels[n] = pixel
            n += 1
    return n, at


@kernel
def decode_image(data: np.ndarray, at: int, stop: int, version: int, image: np.ndarray) -> int:
    """Decode the photo-electrons of each pixel; their times and amplitudes are passed over.

    Content: photo-electrons and pixels (32 bits each), flags (16 bits, from version 2), pixels that have
    some (32 bits), and of each of these its number (16 bits; from version 3 of variable length), how
    many, the time of each and, with flag 1, its amplitude.

    Returns
    -------
    int
        Position after the last; -1 if the content is broken, -2 if it is of another number of pixels.
    """
    at += 4
    if at + (10 if version > 1 else 8) > stop:
        return -1
    if _int(data, at) != image.size:
        return -2
    at += 4
    per_electron = 4
    if version > 1:
        per_electron += 4 * (np.int64(data[at]) & 1)
        at += 2
    n_hit = _int(data, at)
    at += 4
    for _ in range(n_hit):
        if version > 2:
            pixel, at = read_signed(data, at, stop)
        else:
            if at + 2 > stop:
                return -1
            pixel = np.int64(data[at]) | np.int64(data[at + 1]) << 8
            at += 2
        if at < 0 or at + 4 > stop or pixel < 0 or pixel >= image.size:
            return -1
        n = _int(data, at)
        at += 4 + n * per_electron
        if n < 0 or at > stop:
            return -1
        image[pixel] = n
    return at


@kernel
def _int(data: np.ndarray, at: int) -> int:
    value = np.int64(0)
    for i in range(4):
        value |= np.int64(data[at + i]) << (8 * i)
    return value - ((value & 0x80000000) << 1)


class Shower(NamedTuple):
    """A simulated shower, in the units of the tables."""

    true_shower_primary_id: int
    true_energy: float
    true_az: float
    true_alt: float
    true_starting_grammage: float
    true_h_first_int: float
    true_x_max: float


def samples_into(out: np.ndarray, found: Object, adc: Child) -> None:
    """Decode the samples, or sums, of one readout.

    Parameters
    ----------
    out : unsigned array, shape (n_gains, n_samples, n_pixels)
        Set to the samples; 0 where pixels were left out.
    found : Object
        The array event.
    adc : Child
        The samples in it.

    Raises
    ------
    ObjectError
        If they are broken, or packed in a way that is not known.
    """
    plain = adc.version == 3 and not adc.id & 0x7E0  # neither reduced nor with a list known before
    suppressed = bool(adc.id & ZERO_SUPPRESSED)
    if adc.type == ADC_SAMPLES and plain:
        pixels, at = _all_pixels(out.shape[2]), adc.start + 8
        if suppressed:
            out[...] = 0
            pixels = pixels.copy()
            n, at = decode_pixels(found.data, at, adc.stop, pixels)
            pixels = pixels[:n]
        if at >= 0:
            at = decode_samples(found.data, at, adc.stop, pixels, MAX_SAMPLE, out)
    elif adc.type != ADC_SAMPLES and plain and not suppressed:
        # Sums are differences from pixel to pixel: one trace, of which each sample is a pixel.
        trace = out.transpose(0, 2, 1)
        at = decode_samples(found.data, adc.start + 6, adc.stop, _all_pixels(1), MAX_SUM, trace)
    else:
        _rare_samples_into(out, found, adc)
        return
    if at < 0 or adc.stop - at >= 4:
        kind = "samples" if adc.type == ADC_SAMPLES else "sums"
        raise ObjectError(f"the {kind} of {out.shape[0]} gains, {out.shape[2]} pixels are corrupted")


@cache
def _all_pixels(n_pixels: int) -> np.ndarray:
    return np.arange(n_pixels)


def _rare_samples_into(out: np.ndarray, found: Object, adc: Child) -> None:
    """Decode ways of packing that are not worth a kernel: eventio knows them, or says that it does not."""
    from eventio.base import read_header
    from eventio.simtel.objects import ADCSamples, ADCSums

    content = BytesIO(found.data[adc.start - 12 : adc.stop].tobytes())
    parser = ADCSamples if adc.type == ADC_SAMPLES else ADCSums
    try:
        values = np.asarray(parser(read_header(content, offset=0), content).parse())
        out[...] = values.reshape(out.shape[0], out.shape[2], -1).transpose(0, 2, 1)
    except Exception as error:  # whatever broken bytes lead eventio to
        raise ObjectError(f"the samples cannot be decoded ({type(error).__name__}: {error})") from error


def image_into(out: np.ndarray, images: Object, image: Child) -> None:
    """Decode a true image [pe] into an int32 array of its pixels."""
    if not 1 <= image.version <= 3:
        raise ObjectError(f"expected photo-electrons (1208) of version 1 to 3, found {image.version}")
    out[:] = 0
    at = decode_image(images.data, image.start, image.stop, image.version, out)
    if at < 0:
        reason = "corrupted" if at == -1 else "of another camera"
        raise ObjectError(f"expected a true image of {out.size} pixels, found one that is {reason}")


def pointing(found: Object, tracking: Child) -> tuple[float, float]:
    """Altitude and azimuth [deg] of a telescope: corrected where that is known."""
    stop, at = tracking.stop, tracking.start
    azimuth = altitude = np.nan
    for flag in (0x100, 0x200):  # as measured, corrected
        if tracking.id & flag:
            values = unpack(_POINTING, found.data, at, stop)
            azimuth = azimuth if np.isnan(values[0]) else values[0]
            altitude = altitude if np.isnan(values[1]) else values[1]
            at += _POINTING.size
    return altitude_of(altitude), azimuth_of(azimuth)


def altitude_of(angle: float) -> float:
    """An altitude or declination in degrees; see `_rounded_down`."""
    return float(np.rad2deg(_rounded_down(angle, np.pi / 2)))


def azimuth_of(angle: float) -> float:
    """An azimuth or right ascension in degrees; see `_rounded_down`."""
    return float(np.rad2deg(_rounded_down(angle, 2 * np.pi)))


def _rounded_down(angle: float, limit: float) -> float:
    """An angle [rad], at most its limit where only single precision has made it more, as of pi / 2."""
    angle = float(angle)
    return float(np.copysign(limit, angle)) if limit < abs(angle) < (1 + 1e-6) * limit else angle


def n_trigger_pixels(found: Object, pixels: Child | None) -> int:
    """How many pixels were in the trigger; -1 where unknown."""
    if pixels is None:
        return -1
    if pixels.version == 0:
        return unpack(_SHORT, found.data, pixels.start, pixels.stop)[0]
    n, at = read_signed(found.data, pixels.start, pixels.stop)
    if at < 0 or pixels.version > 1:
        raise ObjectError("the list of pixels in the trigger is corrupted")
    return n


def shower(found: Object) -> Shower:
    """Decode a simulated shower (2020)."""
    if found.version > 2:
        raise ObjectError(f"expected a simulated shower of version 0 to 2, found {found.version}")
    form = _SHOWER_1 if found.version else _SHOWER_0
    primary, energy, az, alt, height, x_max = unpack(form, found.data, found.start, found.stop)
    depth = unpack(_DEPTH, found.data, found.start, found.stop)[0] if found.version else np.nan
    return Shower(primary, energy, azimuth_of(az), altitude_of(alt), depth, height, x_max)


def core(found: Object) -> tuple[float, float]:
    """Decode where the shower's axis meets the ground (2021): x, y [m]."""
    if found.version > 2:
        raise ObjectError(f"expected a simulated event of version 0 to 2, found {found.version}")
    return unpack(_IMPACT, found.data, found.start, found.stop)[1:]


def pedestals(found: Object, n_gains: int, n_pixels: int) -> np.ndarray:
    """Decode the baseline of a sample of each gain and pixel from a monitoring object (2022)."""
    data, at, stop = found.data, found.start, found.stop
    unpack(_MONITORING, data, at, stop)
    at += 16
    if found.version == 0:
        n_sectors, pixels, _, gains = unpack(_DIMENSIONS, data, at, stop)
        at += _DIMENSIONS.size
    elif found.version == 1:
        numbers = []
        for _ in range(4):
            number, at = read_signed(data, at, stop)
            if at < 0:
                raise ObjectError("the dimensions of the monitoring data are corrupted")
            numbers.append(number)
        n_sectors, pixels, _, gains = numbers
    else:
        raise ObjectError(f"expected monitoring data of version 0 or 1, found {found.version}")
    _check_shape(gains, pixels, n_gains, n_pixels)
    what = found.id >> 8
    at += (12 if what & 0x01 else 0) + (32 + 4 * n_sectors if what & 0x02 else 0)
    (n_slices,) = unpack(_PEDESTALS, data, at, stop)
    sums = array(data, "<f4", n_gains * n_pixels, at + _PEDESTALS.size, stop)
    if n_slices <= 0:
        raise ObjectError(f"expected pedestals of at least one sample, found {n_slices}")
    return (sums / n_slices).reshape(n_gains, n_pixels)


def laser_calibration(found: Object, n_gains: int, n_pixels: int) -> tuple[np.ndarray, np.ndarray]:
    """Decode photo-electrons a count and time shift [ns] of each gain and pixel (2023)."""
    if found.version > 3:
        raise ObjectError(f"expected a laser calibration of version 0 to 3, found {found.version}")
    pixels, gains, _ = unpack(_LASER, found.data, found.start, found.stop)
    _check_shape(gains, pixels, n_gains, n_pixels)
    size, at = n_gains * n_pixels, found.start + _LASER.size
    dc_to_pe = array(found.data, "<f4", size, at, found.stop).copy()  # lets go of the buffer
    time_shift = np.zeros(size, dtype=np.float32)
    if found.version >= 2:
        time_shift = array(found.data, "<f4", size, at + 4 * size + 8 * n_gains, found.stop).copy()
    return dc_to_pe.reshape(n_gains, n_pixels), time_shift.reshape(n_gains, n_pixels)


def disabled_pixels(found: Object) -> np.ndarray:
    """Decode which pixels have no high voltage (2005)."""
    (n_without_trigger,) = unpack(NUMBER, found.data, found.start, found.stop)
    at = found.start + 4 + 4 * n_without_trigger
    if n_without_trigger < 0 or found.version != 0:
        raise ObjectError("the list of disabled pixels is corrupted")
    (n_disabled,) = unpack(NUMBER, found.data, at, found.stop)
    return array(found.data, "<i4", n_disabled, at + 4, found.stop)


def _check_shape(n_gains: int, n_pixels: int, *expected: int) -> None:
    if (n_gains, n_pixels) != expected:
        raise ObjectError(f"expected (gains, pixels) {expected}, found {(n_gains, n_pixels)}")

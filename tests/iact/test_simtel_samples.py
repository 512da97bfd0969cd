"""Decoding of samples against eventio, in every way of packing that it knows, on made-up samples."""

import struct
from io import BytesIO

import numpy as np
from eventio.base import read_header
from eventio.simtel.objects import ADCSamples, ADCSums
from hypothesis import given, settings
from hypothesis import strategies as st

from etendue.iact.sources.simtel import decode, events
from etendue.iact.sources.simtel.objects import Child, Object


def varint(value):
    """An unsigned number as EventIO packs it."""
    value = int(value)
    n_more = next(n for n in range(5) if value < 1 << (7 + 7 * n))
    head = 0xFF00 >> n_more & 0xFF
    return bytes([head | value >> 8 * n_more]) + (value & (1 << 8 * n_more) - 1).to_bytes(n_more, "big")


def signed(value):
    return varint(2 * value if value >= 0 else -2 * value - 1)


def differences(values):
    return b"".join(signed(int(step)) for step in np.diff(np.asarray(values, dtype=np.int64), prepend=0))


def decoded(kind, ident, content, shape, dtype):
    """What our decoder and eventio's make of an object with samples."""
    raw = struct.pack("<Iii", kind | 3 << 20, ident, len(content)) + content
    buffer = BytesIO(raw)
    parser = ADCSamples if kind == events.ADC_SAMPLES else ADCSums
    theirs = parser(read_header(buffer, offset=0), buffer).parse()
    data = np.frombuffer(raw, dtype=np.uint8)
    ours = np.full((shape[0], shape[2], shape[1]), 77, dtype=dtype)
    found = Object(data, 0, 2010, 0, 1, 1, 0, data.size, data.size)
    decode.samples_into(ours, found, Child(kind, 3, ident, 0, 12, data.size, 1))
    return ours.transpose(0, 2, 1), theirs


def traces(limit, least_samples):
    shape = st.tuples(st.integers(1, 2), st.integers(2, 40), st.integers(least_samples, 5))
    steps = st.sampled_from([1, 60, 130, 9000, limit])
    return st.builds(
        lambda shape, step, seed: np.random.default_rng(seed).integers(0, step, shape, endpoint=True),
        shape, steps, st.integers(0, 2**32 - 1),
    )  # fmt: skip


@settings(deadline=None)  # the kernel may have to be compiled
@given(traces(2**16 - 1, 2), st.lists(st.booleans(), min_size=40, max_size=40), st.booleans())
def test_samples_equal_eventio(values, kept, suppressed):
    """Samples of all sizes; and with pixels left out, as ranges and as single pixels."""
    n_gains, n_pixels, n_samples = values.shape
    pixels = np.flatnonzero(kept[:n_pixels]) if suppressed else np.arange(n_pixels)
    content = struct.pack("<ihh", n_pixels, n_gains, n_samples)
    if suppressed:
        runs = np.split(pixels, np.flatnonzero(np.diff(pixels) != 1) + 1) if pixels.size else []
        content += signed(len(runs))
        for run in runs:
            content += signed(-run[0] - 1) if len(run) == 1 else signed(run[0]) + signed(run[-1])
    content += b"".join(differences(trace) for gain in values for trace in gain[pixels])
    ours, theirs = decoded(events.ADC_SAMPLES, int(suppressed), content, values.shape, np.uint16)
    np.testing.assert_array_equal(ours, theirs)
    left_out = np.setdiff1d(np.arange(n_pixels), pixels)
    np.testing.assert_array_equal(ours[:, pixels], values[:, pixels])
    assert not ours[:, left_out].any()


@given(traces(2**31 - 1, 1), st.integers(0, 2), st.integers(0, 2**40 - 1))
def test_sums_equal_eventio(values, suppression, signal):
    """Sums of all sizes: all pixels (0), a bit for each of 16 (1), and a list of pixels (2)."""
    values = values[:, :, 0]
    n_gains, n_pixels = values.shape
    content = struct.pack("<ih", n_pixels, n_gains)
    with_signal = [pixel for pixel in range(n_pixels) if signal >> pixel & 1]
    if suppression == 0:
        content += b"".join(differences(gain) for gain in values)
    if suppression == 1:
        for start in range(0, n_pixels, 16):
            pixels = [pixel for pixel in with_signal if start <= pixel < start + 16]
            content += struct.pack("<H", sum(1 << pixel - start for pixel in pixels))
            content += b"".join(differences(gain[pixels]) for gain in values[::-1])
    if suppression == 2:
        content += struct.pack(f"<h{len(with_signal)}H", len(with_signal), *with_signal)
        content += b"".join(differences(gain[with_signal]) for gain in values[::-1])
    shape = (n_gains, n_pixels, 1)
    ours, theirs = decoded(events.ADC_SUMS, suppression, content, shape, np.uint32)
    np.testing.assert_array_equal(ours, np.asarray(theirs).reshape(shape))

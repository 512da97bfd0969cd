"""Waveforms of launches: ATWD and FADC samples, which are kept as differences in few bits.

A waveform is differences of each sample to the one before (the first to 0) as signed numbers of 1, 2, 3, 6,
11, 20 or 31 bits, least significant bit first. It starts with 3 bits. The most negative number is no
difference: from there on numbers have the next larger width. After a difference that fits into the next
smaller width, that one is used.
"""

from __future__ import annotations

import numpy as np

from etendue.kernel import kernel, offsets, owners
from etendue.neutrino.sources.icecube.decode import Decoded
from etendue.schema import Columns, Table, variables

LAUNCHES = "I3DOMLaunchSeriesMap"
#: What their waveforms are counted by.
COUNTED = frozenset(f"launches.n_samples_{channel}" for channel in (0, 1, 2, 3, "fadc"))
#: Samples that the digitisers take at most.
ATWD_SAMPLES, FADC_SAMPLES = 128, 256
ATWD_CHANNELS = 4

_WIDTHS = (1, 2, 3, 6, 11, 20, 31)
_START, _WIDEST = 2, len(_WIDTHS) - 1


@kernel
def expand(words, starts, n_samples, samples, ok):
    """Expand waveforms.

    Parameters
    ----------
    words : uint32 array
        Words of all waveforms.
    starts : int64 array, shape (n + 1,)
        First word of each waveform, and the end.
    n_samples : int64 array, shape (n,)
        Samples of each waveform.
    samples : uint16 array, shape (n, m)
        Output: samples, in adu; zero after the last.
    ok : bool array, shape (n,)
        Output: whether the words hold just so many samples, of which there are at most ``m``.
    """
    for i in range(ok.size):
        bit, end = 32 * starts[i], 32 * starts[i + 1]
        width, value, n = _START, np.int64(0), 0
        ok[i] = n_samples[i] <= samples.shape[1]
        while ok[i] and n < n_samples[i]:
            bits = _WIDTHS[width]
            if bit + bits > end:
                ok[i] = False
                break
            word, shift = bit // 32, bit % 32
            code = np.int64(words[word]) >> shift
            if shift + bits > 32:
                code |= np.int64(words[word + 1]) << (32 - shift)
            code &= (1 << bits) - 1
            bit += bits
            sign = np.int64(1) << (bits - 1)
            if code == sign and width < _WIDEST:
                width += 1
                continue
            step = code - 2 * sign if code & sign else code
            value += step
            samples[i, n] = value
            n += 1
            if width > 0 and abs(step) < 1 << (_WIDTHS[width - 1] - 1):
                width -= 1
        if end - bit >= 32:
            ok[i] = False


def waveform_tables(name: str) -> list[Table]:
    """Tables of the waveforms that launches have: one row a waveform."""
    sampled = (("sample",), "uint16", "adu", "samples; 0 after the last of n_samples")
    n_samples = ("uint16", "", "samples that were taken")
    channel = ("uint8", "", "amplifier, 0 the one of the greatest gain")
    atwd, fadc = f"{name}_atwd", f"{name}_fadc"
    return [
        Table(
            atwd,
            f"{atwd}_waveform",
            variables(f"{atwd}_waveform", channel=channel, n_samples=n_samples, waveform=sampled),
            sizes={"sample": ATWD_SAMPLES},
            parent=name,
            description=f"one row an ATWD waveform (3.3 ns a sample) of a launch of {name}",
        ),
        Table(
            fadc,
            f"{fadc}_waveform",
            variables(f"{fadc}_waveform", n_samples=n_samples, waveform=sampled),
            sizes={"sample": FADC_SAMPLES},
            parent=name,
            description=f"one row an FADC waveform (25 ns a sample) of a launch of {name}",
        ),
    ]


def waveforms(decoded: Decoded) -> tuple[dict[str, tuple[Columns, np.ndarray]], np.ndarray]:
    """Waveforms of all launches; without their words, only how many there are.

    Returns
    -------
    tables : dict of str to (columns, counts)
        For ``atwd`` and ``fadc``: a row a waveform that has samples, and their number in each launch.
    good : bool array, shape (n_launches,)
        Whether all waveforms of the launch could be expanded.
    """
    launches = decoded.levels["launches"]
    n_launches = len(launches["n_samples_fadc"])
    taken = np.stack([launches[f"n_samples_{channel}"] for channel in range(ATWD_CHANNELS)], axis=1)
    owner = owners(decoded.counts["atwd"])
    first = offsets(decoded.counts["atwd"])
    channel = np.arange(len(owner)) - first[owner]
    listed = np.minimum(channel, ATWD_CHANNELS - 1)
    n_atwd = np.where(channel < ATWD_CHANNELS, taken[owner, listed], 0).astype(np.int64)
    atwd, good = _expanded(decoded, "words", n_atwd, ATWD_SAMPLES, owner, n_launches)
    atwd[0]["channel"] = channel[n_atwd > 0].astype(np.uint8)
    n_fadc = launches["n_samples_fadc"].astype(np.int64)
    fadc, also_good = _expanded(decoded, "fadc", n_fadc, FADC_SAMPLES, np.arange(n_launches), n_launches)
    return {"atwd": atwd, "fadc": fadc}, good & also_good


def _expanded(
    decoded: Decoded, level: str, n_samples: np.ndarray, most: int, owner: np.ndarray, n_launches: int
) -> tuple[tuple[Columns, np.ndarray], np.ndarray]:
    there = n_samples > 0
    counts, good = np.bincount(owner[there], minlength=n_launches), np.ones(n_launches, np.bool_)
    if "word" not in decoded.levels[level]:
        return ({}, counts), good
    samples = np.zeros((len(n_samples), most), np.uint16)
    ok = np.empty(len(n_samples), np.bool_)
    expand(decoded.levels[level]["word"], offsets(decoded.counts[level]), n_samples, samples, ok)
    good[owner[~ok]] = False
    return ({"n_samples": n_samples[there].astype(np.uint16), "waveform": samples[there]}, counts), good

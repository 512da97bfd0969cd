"""KM3NeT frames, 100 ms of one module: rates and status of its channels, and the data filter's checks."""

from __future__ import annotations

from enum import IntFlag
from typing import ClassVar

import numpy as np

from etendue.dataflow.partition import Partition
from etendue.dataflow.stage import Stage
from etendue.kernel import kernel
from etendue.neutrino.schema import FRAME_LENGTH, N_PMTS
from etendue.schema import Schema, Variable, split

#: Least rate that a coded byte means, Hz, and ratio of the greatest to it.
LEAST_RATE, RATE_RATIO = 2e3, 1e3

#: A raw time above this is not within a frame, ns: the frame's length and 5 % more.
LATEST_TIME = 1.05 * FRAME_LENGTH


class Check(IntFlag):
    """Bits of ``/frames/failed_checks``: what is wrong with a frame."""

    CHANNEL = 1
    TIME = 2
    ORDER = 4
    UDP = 8


def rates() -> np.ndarray:
    """Rate that each coded byte means: 2 kHz exp(byte ln(1000) / 255), and 0 for byte 0.

    Returns
    -------
    float32 array, shape (256,)
        Hz.

    Notes
    -----
    The code of ``JDAQRate`` in KM3NeT's data format, as km3io 1.1 reads it (which drops the digits after
    the point).
    """
    decoded = LEAST_RATE * np.exp(np.arange(256) * np.log(RATE_RATIO) / 255)
    decoded[0] = 0
    return decoded.astype(np.float32)


def channel_bits(word: np.ndarray) -> np.ndarray:
    """Bits 0 to 30 of status words, one a channel: bool, shape (n, 31)."""
    return (word[:, np.newaxis] >> np.arange(N_PMTS, dtype=np.uint32)) & 1 == 1


def udp_packets(daq: np.ndarray) -> np.ndarray:
    """Number of UDP packets received, bits 0 to 14: int32."""
    return (daq & 0x7FFF).astype(np.int32)


def udp_max_sequence(daq: np.ndarray) -> np.ndarray:
    """Greatest sequence number of the UDP packets received, bits 16 to 31: int32."""
    return (daq >> 16).astype(np.int32)


def top_bit(word: np.ndarray) -> np.ndarray:
    """Bit 31 of status words: bool."""
    return word >> 31 == 1


@kernel
def check_hits(
    starts: np.ndarray, channel: np.ndarray, tdc: np.ndarray, n_channels: int, latest: int
) -> np.ndarray:
    """Check the hits of frames: channels, times, and the order of the times within each channel.

    Parameters
    ----------
    starts : int64 array, shape (n_frames + 1,)
        First hit of each frame, and the end.
    channel : uint8 array, shape (n_hits,)
        Channel.
    tdc : uint32 array, shape (n_hits,)
        Raw time [ns].
    n_channels : int
        Channels of a module.
    latest : int
        Greatest raw time [ns].

    Returns
    -------
    uint8 array, shape (n_frames,)
        Bits of `Check`: 1 a channel >= n_channels, 2 a time > latest, 4 a time less than that of the hit
        before it in the same channel.
    """
    failed = np.zeros(starts.size - 1, dtype=np.uint8)
    last = np.empty(256, dtype=np.uint32)
    for frame in range(failed.size):
        last[:] = 0
        bad_channel, bad_time, bad_order = False, False, False
        for hit in range(starts[frame], starts[frame + 1]):
            bad_channel |= channel[hit] >= n_channels
            bad_time |= tdc[hit] > latest
            bad_order |= tdc[hit] < last[channel[hit]]
            last[channel[hit]] = tdc[hit]
        failed[frame] = bad_channel + 2 * bad_time + 4 * bad_order
    return failed


class DecodeRates(Stage):
    """Decode the rates and the status words of frames.

    Each frame gets ``white_rabbit``, ``udp_trailer``, ``udp_packets`` and ``udp_max_sequence``; a frame of a
    summary slice also ``rate``, ``high_rate_veto`` and ``fifo_full`` of each channel (for other frames, see
    `channel_bits`).
    """

    reads: ClassVar = ("frames/daq", "frames/status", "frames/fifo", "frames/rates?")
    writes: ClassVar = {
        "frames/white_rabbit": ("frame", "bool", "", "whether the clock was synchronised"),
        "frames/udp_trailer": ("frame", "bool", "", "whether the last UDP packet of the frame arrived"),
        "frames/udp_packets": ("frame", "int32", "", "UDP packets received"),
        "frames/udp_max_sequence": ("frame", "int32", "", "greatest sequence number of a UDP packet"),
    }
    of_channels: ClassVar = {
        "frames/rate": (("frame", "pmt"), "float32", "Hz", "rate of each channel; 0 for none"),
        "frames/high_rate_veto": (("frame", "pmt"), "bool", "", "channel cut off for its rate"),
        "frames/fifo_full": (("frame", "pmt"), "bool", "", "FIFO of the channel (almost) full"),
    }

    def provides(self, schema: Schema) -> dict[str, Variable]:
        """What `writes` says, and the channels' values where the input has rates."""
        made = super().provides(schema)
        if "frames/rates" in schema:
            made |= {name: Variable.of(split(name)[1], spec) for name, spec in self.of_channels.items()}
        return made

    def __call__(self, partition: Partition) -> dict[str, np.ndarray]:
        """Decode the frames of a partition."""
        daq, status, fifo = (partition[f"frames/{name}"] for name in ("daq", "status", "fifo"))
        made = {
            "frames/white_rabbit": top_bit(status),
            "frames/udp_trailer": top_bit(fifo),
            "frames/udp_packets": udp_packets(daq),
            "frames/udp_max_sequence": udp_max_sequence(daq),
        }
        if "frames/rates" in partition:
            made["frames/rate"] = rates()[partition["frames/rates"]]
            made["frames/high_rate_veto"] = channel_bits(status)
            made["frames/fifo_full"] = channel_bits(fifo)
        return made


class CheckFrames(Stage):
    """Check frames as the data filter does: bits of `Check` for what is wrong, 0 for a good frame.

    ``CHANNEL``: a hit of a channel that a module does not have. ``TIME``: a raw time after the frame's end.
    ``ORDER``: raw times that do not ascend within a channel. ``UDP``: the trailer is missing, or not as many
    packets arrived as their numbers say. Frames without hits in the input are checked for ``UDP`` only.
    """

    reads: ClassVar = ("frames/daq", "frames/fifo", "hits/channel_id?", "hits/tdc?")
    writes: ClassVar = {
        "frames/failed_checks": ("frame", "uint8", "", "bits: 1 channel, 2 time, 4 order, 8 UDP packets")
    }

    def __call__(self, partition: Partition) -> dict[str, np.ndarray]:
        """Check the frames of a partition."""
        daq, fifo = partition["frames/daq"], partition["frames/fifo"]
        lost = ~top_bit(fifo) | (udp_packets(daq) != udp_max_sequence(daq) + 1)
        failed = np.where(lost, np.uint8(Check.UDP), np.uint8(0))
        if "hits/tdc" in partition:
            starts = partition.offsets("hits")
            channel, tdc = partition["hits/channel_id"], partition["hits/tdc"]
            failed |= check_hits(starts, channel, tdc, N_PMTS, int(LATEST_TIME))
        return {"frames/failed_checks": failed}

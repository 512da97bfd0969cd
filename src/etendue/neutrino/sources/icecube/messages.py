"""Real-time messages: JSON texts that carry the frames of an event.

A frame is in a pair of its stream and a text: the base64 of the zlib-packed pickle of a frame object. It is
never unpickled, as that would run what a message says: the frame is cut out from its first bytes on. Where
Python 3 made the pickle, the frame's bytes are in it as UTF-8 of the text that they are in Latin-1.
"""

from __future__ import annotations

import base64
import json
import re
import zlib
from collections.abc import Iterator

import numpy as np

from etendue.dataflow.packed import most_bytes
from etendue.neutrino.sources.icecube.frame_walk import Damage
from etendue.neutrino.sources.icecube.frames import Frames, find_frames
from etendue.neutrino.sources.icecube.stream import MAGIC

#: How a pair of a stream and packed data looks like in a text; zlib's first byte is an ``e`` in base64.
PAIR = re.compile(rb'\[\s*"[A-Za-z]"\s*,\s*"e[A-Za-z0-9+/]')
#: How far into a text the first pair is looked for, and the longest text that is read.
LOOK, LONGEST = 1 << 20, 256 << 20


def is_message(path: str) -> bool:
    """Whether a file is a JSON text that carries frames."""
    try:
        with open(path, "rb") as file:
            start = file.read(len(MAGIC))
            if start == MAGIC:  # frames, which begin as a list does in JSON
                return False
            start += file.read(LOOK)
    except OSError:
        return False
    return start.lstrip()[:1] in (b"{", b"[") and PAIR.search(start) is not None


def read_message(path: str) -> Iterator[Frames | Damage]:
    """The frames of a message, one after the other; offsets are counted in its unpacked frames."""
    with open(path, "rb") as file:
        text = file.read(LONGEST)
    try:
        pairs = list(_pairs(json.loads(text)))
    except (ValueError, RecursionError) as error:
        yield Damage(0, f"expected a JSON text, found one that is broken ({error})")
        return
    all_frames, names, damaged = None, [], False
    for number, (stream, packed) in enumerate(pairs):
        try:
            frame = _frame(packed, names)
        except ValueError as error:
            yield Damage(0, f"frame {number} ({stream}) of the message: {error}")
            damaged = True
            continue
        frame.after_damage[:] = damaged
        frame.offset[:] = 0 if all_frames is None else len(all_frames.data)
        damaged = False
        all_frames = frame if all_frames is None else all_frames.followed_by(frame)
    if all_frames is not None:
        yield all_frames


def _pairs(value: object) -> Iterator[tuple[str, str]]:
    """Pairs of a stream and packed data, wherever they are."""
    if isinstance(value, dict):
        value = list(value.values())
    if not isinstance(value, list):
        return
    if len(value) == 2 and all(isinstance(v, str) for v in value) and len(value[0]) == 1:
        yield value[0], value[1]
        return
    for inner in value:
        yield from _pairs(inner)


def _frame(packed: str, names: list[str]) -> Frames:
    """The frame of one pair.

    Raises
    ------
    ValueError
        If there is none.
    """
    try:
        unpacker = zlib.decompressobj()
        pickled = unpacker.decompress(base64.b64decode(packed, validate=True), most_bytes(len(packed)))
    except (ValueError, zlib.error) as error:
        raise ValueError(f"expected base64 of zlib-packed data, which this is not ({error})") from None
    start = pickled.find(MAGIC)
    if start < 0:
        raise ValueError(f"expected a frame, which starts with {MAGIC!r}; there is none")
    bare = pickled[start:]
    for data in (bare, _from_text(bare)):
        table, objects, texts, _, _ = find_frames(np.frombuffer(bytearray(data), np.uint8), 0, 1)
        if len(table):
            frames = _named(data, table, objects, texts, names)
            if frames.is_whole(0):
                return frames
    raise ValueError("expected a whole frame with a right checksum, found another: corrupted")


def _from_text(data: bytes) -> bytes:
    """The bytes that a text stands for, whose UTF-8 they start with."""
    text = data.decode("utf-8", errors="ignore")
    return text.encode("latin-1", errors="replace")


def _named(data: bytes, table: np.ndarray, objects: np.ndarray, texts: list[str], names: list[str]) -> Frames:
    for text in texts:
        if text not in names:
            names.append(text)
    numbers = np.array([names.index(text) for text in texts] or [0])
    objects[:, :2] = numbers[objects[:, :2]]
    whole = np.frombuffer(bytearray(data[: table[0, 1]]), np.uint8)
    return Frames(whole, names, table, objects, np.zeros(1, np.bool_), table[:, 0].copy(), 0)

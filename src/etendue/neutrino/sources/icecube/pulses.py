"""Pulse series of events: as they are kept, packed, as masks over other series, and as unions of them."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from etendue.kernel import kernel, offsets, owners
from etendue.neutrino.sources.icecube.decode import Decoded
from etendue.neutrino.sources.icecube.superdst import (
    MODULES,
    NUMBER,
    count_pulses,
    separate,
    sort_modules,
    unpack,
)

MODULE = ("string", "om", "pmt")
PULSE = ("time", "charge", "width", "flags")


@dataclass(frozen=True)
class PulseSeries:
    """One pulse series of many events.

    Parameters
    ----------
    exists : bool array, shape (n_events,)
        Whether the event has it.
    n_modules : int64 array, shape (n_events,)
        Modules of each event.
    modules : dict of str to array
        ``string``, ``om``, ``pmt`` of each module, in the order of the series (which masks count in).
    n_pulses : int64 array
        Pulses of each module.
    pulses : dict of str to array
        ``time``, ``charge``, ``width``, ``flags`` of each pulse.
    faults : dict of int to str
        Events whose series cannot be decoded, and why; they have no pulses.
    """

    exists: np.ndarray
    n_modules: np.ndarray
    modules: dict[str, np.ndarray]
    n_pulses: np.ndarray
    pulses: dict[str, np.ndarray]
    faults: dict[int, str]

    @property
    def pulses_of_events(self) -> np.ndarray:
        """Pulses of each event."""
        return np.diff(offsets(self.n_pulses)[offsets(self.n_modules)])

    def with_faults(self, faults: dict[int, str]) -> PulseSeries:
        """The same series, at fault for some more events."""
        return replace(self, faults=faults | self.faults)

    def columns(self, names: frozenset[str]) -> dict[str, np.ndarray]:
        """The named columns, one row a pulse."""
        modules = {name: np.repeat(self.modules[name], self.n_pulses) for name in MODULE if name in names}
        return modules | {name: self.pulses[name] for name in PULSE if name in names}


def from_map(decoded: Decoded, events: np.ndarray, n_events: int) -> PulseSeries:
    """Series that are kept as they are; ``events`` says which event each blob is of."""
    n_modules = np.zeros(n_events, dtype=np.int64)
    n_modules[events] = decoded.counts["modules"]
    modules, pulses = decoded.levels["modules"], decoded.levels["pulses"]
    return PulseSeries(
        _marked(events, n_events),
        n_modules,
        {
            "string": modules["string"].astype(np.int16),
            "om": modules["om"].astype(np.uint8),
            "pmt": modules["pmt"],
        },
        decoded.counts["pulses"],
        {name: pulses[name] for name in PULSE},
        {int(events[blob]): message for blob, message in decoded.messages()},
    )


@dataclass(frozen=True)
class _Words:
    """Words of super-DSTs, where those of each start, and what counting their pulses has found."""

    stamps: np.ndarray
    headers: np.ndarray
    starts: dict[str, np.ndarray]
    n_pulses: np.ndarray
    first: np.ndarray
    last: np.ndarray
    ok: np.ndarray


def _counted(decoded: Decoded) -> _Words:
    stamps, headers = (decoded.levels[name]["value"] for name in ("stamps", "headers"))
    starts = {name: offsets(counts) for name, counts in decoded.counts.items()}
    n_pulses, first, last = np.empty((3, len(headers)), np.int64)
    ok = np.empty(len(decoded.faults), np.bool_)
    count_pulses(
        stamps, starts["stamps"], headers, starts["headers"], starts["icetop_charges"],
        n_pulses, first, last, ok,
    )  # fmt: skip
    return _Words(stamps, headers, starts, n_pulses, first, last, ok)


def superdst_counts(decoded: Decoded) -> tuple[np.ndarray, np.ndarray]:
    """Pulses of each super-DST, and whether its words fit together."""
    words = _counted(decoded)
    return np.diff(offsets(words.n_pulses)[words.starts["headers"]]), words.ok


def from_superdst(decoded: Decoded, events: np.ndarray, n_events: int) -> PulseSeries:
    """Series unpacked from super-DSTs, modules in the order of (string, om)."""
    words = _counted(decoded)
    headers, header_starts, n_pulses = words.headers, words.starts["headers"], words.n_pulses
    place, module, of_module = np.empty((3, len(headers)), np.int64)
    late, n_modules = np.zeros(len(headers), np.bool_), np.zeros(n_events, np.int64)
    of_blob = np.empty(len(events), np.int64)
    n_found = sort_modules(
        headers, header_starts, words.ok, n_pulses, words.first, words.last,
        place, module, of_module, late, of_blob,
    )  # fmt: skip
    n_modules[events] = of_blob
    module, of_module, late = module[:n_found], of_module[:n_found], late[:n_found]
    n = int(n_pulses.sum())
    pulses = {"time": np.empty(n), "charge": np.empty(n, np.float32)}
    pulses |= {"width": np.empty(n, np.float32), "flags": np.empty(n, np.uint8)}
    widths = [f"widths_{i}" for i in range(4)]
    unpack(
        words.stamps, words.starts["stamps"], headers, header_starts, n_pulses, place,
        tuple(decoded.levels[name]["value"] for name in widths),
        np.stack([words.starts[name] for name in widths]),
        (decoded.levels["icetop_charges"]["value"], words.starts["icetop_charges"]), *pulses.values(),
    )  # fmt: skip
    if late.any():
        some, by_time = _by_time(pulses["time"], of_module, late)
        for values in pulses.values():
            values[some] = values[by_time]
    separate(of_module, pulses["time"], pulses["width"])
    number = headers[module] & NUMBER
    modules = {"string": (number // MODULES).astype(np.int16), "om": (number % MODULES + 1).astype(np.uint8)}
    modules |= {"pmt": np.zeros(n_found, np.uint8)}
    faults = {int(events[blob]): message for blob, message in decoded.messages()}
    faults |= {int(events[i]): "I3SuperDST: its words do not fit together" for i in np.flatnonzero(~words.ok)}
    return PulseSeries(_marked(events, n_events), n_modules, modules, of_module, pulses, faults)


def _by_time(time: np.ndarray, n_pulses: np.ndarray, late: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Pulses of the modules that are ``late``, and the same in order of time within each module."""
    some = np.flatnonzero(np.repeat(late, n_pulses))
    rank = np.repeat(np.flatnonzero(late), n_pulses[late])
    return some, some[np.lexsort((time[some], rank))]


def union(
    parts: list[PulseSeries], members: list[np.ndarray], exists: np.ndarray, faults: dict[int, str]
) -> PulseSeries:
    """Pulses of several series together, a module's in order of time.

    Parameters
    ----------
    parts : list of PulseSeries
        The series.
    members : list of bool array, shape (n_events,)
        Of each series, the events whose union it is part of.
    exists : bool array, shape (n_events,)
        Events that have the union.
    faults : dict of int to str
        Events whose union is at fault by itself.
    """
    joined, event = _side_by_side(parts, members, exists)
    keep = np.concatenate(
        [member[owners(part.n_modules)] for part, member in zip(parts, members, strict=True)]
    )
    joined = joined.with_faults(faults)
    module = np.flatnonzero(keep)
    keys = (event, *(joined.modules[name] for name in MODULE))
    number = np.zeros(len(keep), np.int64)
    for key, bits in zip(keys, (31, 16, 8, 8), strict=True):
        number = number << bits | key.astype(np.int64) & (1 << bits) - 1
    module = module[np.argsort(number[module], kind="stable")]
    new = np.ones(len(module), np.bool_)
    new[1:] = np.diff(number[module]) != 0
    starts = offsets(joined.n_pulses)
    pulse = np.empty(int(joined.n_pulses[module].sum()), np.int64)
    n_pulses = np.zeros(int(new.sum()), np.int64)
    late = np.zeros(len(n_pulses), np.bool_)
    gather(module, new, starts, joined.pulses["time"], pulse, n_pulses, late)
    if late.any():
        some, by_time = _by_time(joined.pulses["time"][pulse], n_pulses, late)
        pulse[some] = pulse[by_time]
    return _taken(joined, event, module[new], pulse, n_pulses)


@kernel
def gather(module, new, starts, time, pulse, n_pulses, late):
    """Pulses of modules in some order, equal modules together.

    Parameters
    ----------
    module : int64 array, shape (n,)
        Modules in their new order.
    new : bool array, shape (n,)
        Whether a module is another than the one before.
    starts : int64 array
        First pulse of each module, and the end.
    time : float64 array
        Time of each pulse.
    pulse : int64 array
        Output: the pulses.
    n_pulses : int64 array
        Output: of each module that is another, its pulses.
    late : bool array
        Output: whether they are not in order of time.
    """
    n, rank = 0, -1
    for i in range(module.size):
        if new[i]:
            rank += 1
        for k in range(starts[module[i]], starts[module[i] + 1]):
            if n_pulses[rank] > 0 and time[k] < time[pulse[n - 1]]:
                late[rank] = True
            pulse[n] = k
            n_pulses[rank] += 1
            n += 1


def select(parts: list[PulseSeries]) -> PulseSeries:
    """Series of different events as one; no event may be in two of them. All keep their order."""
    exists = np.logical_or.reduce([part.exists for part in parts])
    joined, event = _side_by_side(parts, [part.exists for part in parts], exists)
    module = np.argsort(event, kind="stable")
    rank = np.empty(len(module), np.int64)
    rank[module] = np.arange(len(module))
    pulse = np.argsort(rank[owners(joined.n_pulses)], kind="stable")
    return _taken(joined, event, module, pulse, joined.n_pulses[module])


def _side_by_side(
    parts: list[PulseSeries], members: list[np.ndarray], exists: np.ndarray
) -> tuple[PulseSeries, np.ndarray]:
    """Series one after the other, and the event of each module."""
    faults = {
        event: message
        for part, member in zip(parts, members, strict=True)
        for event, message in part.faults.items()
        if member[event]
    }
    event = np.concatenate([owners(part.n_modules) for part in parts])
    return PulseSeries(
        exists,
        event,  # not counts yet
        _joined([part.modules for part in parts]),
        np.concatenate([part.n_pulses for part in parts]),
        _joined([part.pulses for part in parts]),
        faults,
    ), event


def _taken(
    series: PulseSeries, event: np.ndarray, module: np.ndarray, pulse: np.ndarray, n_pulses: np.ndarray
) -> PulseSeries:
    """Some modules and pulses of a series, in some order."""
    return PulseSeries(
        series.exists,
        np.bincount(event[module], minlength=len(series.exists)),
        {name: column[module] for name, column in series.modules.items()},
        n_pulses,
        {name: column[pulse] for name, column in series.pulses.items()},
        series.faults,
    )


def apply_masks(source: PulseSeries, decoded: Decoded, events: np.ndarray) -> PulseSeries:
    """The modules and pulses of a series whose bits are set; ``events`` says which event each blob is of."""
    n_events = len(source.exists)
    bits, unused = decoded.levels["modules"]["byte"], decoded.levels[""]["modules_unused"]
    inner, inner_unused = decoded.levels["pulses"]["byte"], decoded.levels["set_modules"]["pulses_unused"]
    keep_module = np.zeros(len(source.n_pulses), np.bool_)
    keep_pulse = np.zeros(len(source.pulses["time"]), np.bool_)
    problems = np.zeros((len(events), 3), np.int64)
    mark_set(
        events, bits, offsets(decoded.counts["modules"]), unused,
        inner, offsets(decoded.counts["pulses"]), inner_unused, offsets(decoded.counts["set_modules"]),
        offsets(source.n_modules), offsets(source.n_pulses), keep_module, keep_pulse, problems,
    )  # fmt: skip
    faults = {int(events[blob]): message for blob, message in decoded.messages()}
    for blob in np.flatnonzero(problems[:, 0]).tolist():
        what, expected, found = problems[blob].tolist()
        faults.setdefault(
            int(events[blob]),
            f"I3RecoPulseSeriesMapMask: expected bits of {expected} {_WHAT[what]}, found {found}",
        )
    marked = _marked(events, n_events)
    faults |= {event: message for event, message in source.faults.items() if marked[event]}
    module = np.flatnonzero(keep_module)
    kept_of_module = np.bincount(owners(source.n_pulses)[keep_pulse], minlength=len(source.n_pulses))
    return PulseSeries(
        marked,
        np.bincount(owners(source.n_modules)[module], minlength=n_events),
        {name: column[module] for name, column in source.modules.items()},
        kept_of_module[module],
        {name: column[keep_pulse] for name, column in source.pulses.items()},
        faults,
    )


_WHAT = ("", "modules", "sets of pulses", "pulses")


@kernel
def mark_set(
    events, bits, bit_starts, unused, inner, inner_starts, inner_unused, set_starts,
    module_starts, pulse_starts, keep_module, keep_pulse, problems,
):  # fmt: skip
    """Mark the modules and pulses whose bits are set.

    An event's first set of bits has a bit a module; then follows a set of bits for each module whose bit
    is 1, with a bit a pulse. An empty series may have a set of one byte.
    """
    for blob in range(events.size):
        event = events[blob]
        first, end = module_starts[event], module_starts[event + 1]
        n_bits = 8 * (bit_starts[blob + 1] - bit_starts[blob]) - unused[blob]
        if n_bits != end - first and not (first == end and n_bits <= 8):
            problems[blob, 0], problems[blob, 1], problems[blob, 2] = 1, end - first, n_bits
            continue
        at = set_starts[blob]
        for module in range(first, end):
            k = module - first
            if not (bits[bit_starts[blob] + k // 8] >> (k % 8)) & 1:
                continue
            if at == set_starts[blob + 1]:
                n_sets = at - set_starts[blob]
                problems[blob, 0], problems[blob, 1], problems[blob, 2] = 2, n_sets + 1, n_sets
                break
            n_pulses = pulse_starts[module + 1] - pulse_starts[module]
            n_bits = 8 * (inner_starts[at + 1] - inner_starts[at]) - inner_unused[at]
            if n_bits != n_pulses:
                problems[blob, 0], problems[blob, 1], problems[blob, 2] = 3, n_pulses, n_bits
                break
            keep_module[module] = True
            for i in range(n_pulses):
                keep_pulse[pulse_starts[module] + i] = (inner[inner_starts[at] + i // 8] >> (i % 8)) & 1
            at += 1
        if problems[blob, 0] == 0 and at != set_starts[blob + 1]:
            n_sets = set_starts[blob + 1] - set_starts[blob]
            problems[blob, 0], problems[blob, 1], problems[blob, 2] = 2, at - set_starts[blob], n_sets
        if problems[blob, 0]:
            keep_module[first:end] = False
            keep_pulse[pulse_starts[first] : pulse_starts[end]] = False


def _marked(events: np.ndarray, n_events: int) -> np.ndarray:
    exists = np.zeros(n_events, np.bool_)
    exists[events] = True
    return exists


def _joined(parts: list[dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def no_series(exists: np.ndarray, message: str = "") -> PulseSeries:
    """A series without modules; with a message, those events are at fault that should have it."""
    modules = {"string": np.empty(0, np.int16), "om": np.empty(0, np.uint8), "pmt": np.empty(0, np.uint8)}
    pulses = {name: np.empty(0, np.float32) for name in ("charge", "width")}
    pulses = {"time": np.empty(0), **pulses, "flags": np.empty(0, np.uint8)}
    faults = dict.fromkeys(np.flatnonzero(exists).tolist(), message) if message else {}
    counts = np.zeros(len(exists), np.int64)
    return PulseSeries(exists, counts, modules, np.empty(0, np.int64), pulses, faults)

"""The super-DST: all pulses of an event in a tenth of the bytes of its waveforms.

A stamp is 16 bits: 8 of time, 6 of charge, a bit for local coincidence, a bit that ends the module's
stamps. A module's header is 16 bits: 13 of its number, 3 that are the upper bits of its first time. Modules
stand in order of their first pulse. Times are in steps of 1 ns after the pulse before (of the module, or
for its first pulse the first pulse of the module before); greatest codes go on in the words that follow.
"""

from __future__ import annotations

import numpy as np

from etendue.kernel import kernel

#: Time that the first module's time counts from, in ns.
ORIGIN = -512
#: Charge of a code's step, in pe; a code stands for the middle of its step.
CHARGE_STEP = 0.05
#: Greatest codes, after which a word follows: a module's first time, other times, charges.
FIRST_TIME, TIME, CHARGE, WORD = 2047, 255, 63, 0xFFFF
#: First module number on a string that is IceTop's.
ICETOP = 61
#: Modules that a number has room for on a string.
MODULES = 64
#: Bits of pulses' flags.
LOCAL_COINCIDENCE, ATWD, FADC = 1, 2, 4
#: Width from which on a pulse was seen by the FADC only, in ns.
FADC_WIDTH = 8


@kernel
def unpack(stamps, stamp_starts, headers, header_starts, string, om, time, code, hlc, n_pulses, ok):
    """Unpack the modules and pulses of many events, in the order in which they are kept.

    Parameters
    ----------
    stamps, headers : uint16 array
        Words of all events.
    stamp_starts, header_starts : int64 array, shape (n + 1,)
        First word of each event, and the end.
    string, om : int16, uint8 array, shape (n_headers,)
        Output: module of each header.
    time, code : float64, int64 array, shape (n_stamps,)
        Output: of each pulse its time in ns and its charge's code.
    hlc : bool array, shape (n_stamps,)
        Output: whether the pulse is in local coincidence.
    n_pulses : int64 array, shape (n_headers,)
        Output: pulses of each header.
    ok : bool array, shape (n,)
        Output: false where an event's words do not fit together; it has no pulses then.

    Returns
    -------
    int
        Number of pulses.
    """
    n = 0
    for event in range(ok.size):
        word, end = stamp_starts[event], stamp_starts[event + 1]
        before, module_time = n, ORIGIN
        ok[event] = True
        for header in range(header_starts[event], header_starts[event + 1]):
            number = headers[header] & 0x1FFF
            string[header] = number // MODULES
            om[header] = number % MODULES + 1
            last, first = True, True
            since = module_time
            while True:
                if word >= end:
                    last = False
                    break
                stamp = stamps[word]
                word += 1
                step = np.int64(stamp & 0xFF)
                charge = np.int64((stamp >> 8) & 0x3F)
                if first:
                    step += np.int64(headers[header] >> 13) << 8
                more = step == (FIRST_TIME if first else TIME)
                while more and word < end:
                    step += stamps[word]
                    more = stamps[word] == WORD
                    word += 1
                more = charge == CHARGE and om[header] < ICETOP
                while more and word < end:
                    charge += stamps[word]
                    more = stamps[word] == WORD
                    word += 1
                since += step
                if first:
                    module_time = since
                first = False
                time[n], code[n], hlc[n] = since, charge, (stamp >> 14) & 1
                n_pulses[header] += 1
                n += 1
                if stamp >> 15:
                    break
            if not last:
                ok[event] = False
                break
        if word != end:
            ok[event] = False
        if not ok[event]:
            n = before
            n_pulses[header_starts[event] : header_starts[event + 1]] = 0
    return n


@kernel
def sort_modules(
    by_number, number, event, header_starts, ok, n_pulses, since, place, module, of_module, late
):
    """Find where pulses go when the modules of each event stand in the order of their numbers.

    A module may occur more than once: its pulses then stand together.

    Parameters
    ----------
    by_number : int64 array, shape (n_headers,)
        All modules in the order of their numbers; equal ones as they are kept.
    number, event : uint16, int64 array, shape (n_headers,)
        Number and event of each.
    header_starts : int64 array, shape (n + 1,)
        First module of each event, and the end.
    ok : bool array, shape (n,)
        Events whose modules are wanted.
    n_pulses : int64 array, shape (n_headers,)
        Pulses of each module; at least one where the event is wanted.
    since : float64 array
        Time of each pulse, as kept.
    place : int64 array, shape (n_headers,)
        Output: where the first pulse of each module goes.
    module, of_module : int64 array, shape (n_headers,)
        Output: modules in their new order, each once, and the pulses of each.
    late : bool array, shape (n_headers,)
        Output: whether those are not in order of time. False before.

    Returns
    -------
    int
        Number of modules.
    """
    order, free = np.empty_like(by_number), header_starts.copy()
    for header in by_number:
        order[free[event[header]]] = header
        free[event[header]] += 1
    starts = np.zeros(n_pulses.size + 1, np.int64)
    starts[1:] = np.cumsum(n_pulses)
    n, n_modules, before = 0, 0, -1
    for header in order:
        if not ok[event[header]]:
            continue
        if before >= 0 and event[header] == event[before] and number[header] == number[before]:
            late[n_modules - 1] |= since[starts[header]] < since[starts[before + 1] - 1]
            of_module[n_modules - 1] += n_pulses[header]
        else:
            module[n_modules], of_module[n_modules] = header, n_pulses[header]
            n_modules += 1
        place[header] = n
        n += n_pulses[header]
        before = header
    return n_modules


@kernel
def finish(
    header_starts, om, n_pulses, place, since, code, hlc, runs, run_starts, time, charge, width, flags
):  # fmt: skip
    """Pulses with all their columns, modules in another order.

    Widths are kept apart, as runs of equal ones, for four kinds of pulses: outside local coincidence and in
    it, of the ice and then of IceTop. A byte holds a width's code in its lower four bits and the run's length
    in its upper ones. Bytes of equal code that follow one another are the digits of one length, the least
    significant first. A width is ``2**code`` ns; pulses without one are 1 ns wide.

    Parameters
    ----------
    header_starts : int64 array, shape (n + 1,)
        First module of each event, and the end.
    om : uint8 array, shape (n_headers,)
        Number of each module on its string.
    n_pulses, place : int64 array, shape (n_headers,)
        Pulses of each module, and where they go.
    since, code, hlc : float64, int64, bool array
        Of each pulse, as kept: time, charge's code, whether it is in local coincidence.
    runs : tuple of four uint8 arrays
        Runs of widths of all events, of each kind.
    run_starts : int64 array, shape (4, n + 1)
        First run of each event, and the end, of each kind.
    time, charge, width, flags : float64, float32, float32, uint8 array
        Output: the pulses' columns.
    """
    left, value = np.zeros(4, np.int64), np.ones(4, np.float32)
    run, stop = np.zeros(4, np.int64), np.zeros(4, np.int64)
    k = 0
    for event in range(header_starts.size - 1):
        for kind in range(4):
            left[kind] = 0
            run[kind], stop[kind] = run_starts[kind, event], run_starts[kind, event + 1]
        for header in range(header_starts[event], header_starts[event + 1]):
            icetop = om[header] >= ICETOP
            for to in range(place[header], place[header] + n_pulses[header]):
                kind = 2 * icetop + hlc[k]
                while left[kind] == 0:
                    if run[kind] == stop[kind]:
                        left[kind], value[kind] = hlc.size, 1.0
                    else:
                        run[kind], left[kind], bits = _run(runs[kind], run[kind], stop[kind])
                        value[kind] = 1 << bits
                left[kind] -= 1
                time[to], width[to] = since[k], value[kind]
                charge[to] = np.nan if icetop else CHARGE_STEP * (code[k] + 0.5)
                # Not kept, but follows from the width, as the modules' two digitisers have bins of 3.3 and
                # 25 ns.
                both = ATWD if value[kind] < FADC_WIDTH else 0
                flags[to] = FADC | (LOCAL_COINCIDENCE | both) * hlc[k]
                k += 1


@kernel
def _run(runs, at, stop):
    """Where the run of widths ends that starts at ``at``, its length and its code."""
    code, length, digit = runs[at] & 15, np.int64(0), 0
    while at < stop and runs[at] & 15 == code:
        if digit < 8:
            length += np.int64(runs[at] >> 4) << (4 * digit)
        digit += 1
        at += 1
    return at, length, code

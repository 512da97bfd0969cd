"""The super-DST: all pulses of an event in a tenth of the bytes of its waveforms.

A stamp is 16 bits: 8 of time, 6 of charge, a bit for local coincidence, a bit that ends the module's
stamps. A module's header is 16 bits: 13 of its number, 3 that are the upper bits of its first time. Modules
stand in order of their first pulse. Times are in steps of 1 ns after the pulse before (of the module, or
for its first pulse the first pulse of the module before); greatest codes go on in the words that follow.

Modules of IceTop have one pulse each. The upper 8 bits of its charge's code are in bytes of their own, and
the charge is 10^(9 code / (2^14 - 1) - 2).

Times and widths are rounded up to powers of two, so that pulses of a module may overlap, or be of the same
nanosecond. IceCube's software keeps them apart when it unpacks them, and all that it has reconstructed from
super-DSTs is of such pulses: see `separate`.

Source: icetray-public, ``dataclasses/private/dataclasses/payload/I3SuperDST.cxx``.
"""

from __future__ import annotations

import numpy as np

from etendue.kernel import kernel

#: Time that the first module's time counts from, in ns.
ORIGIN = -512
#: Charge of a code's step, in pe; a code stands for the middle of its step.
CHARGE_STEP = 0.05
#: Of IceTop's charges, the steps that their codes have in all, their decades, and the power of ten of code 0.
ICETOP_CODES, ICETOP_DECADES, ICETOP_LEAST = (1 << 14) - 1, 9.0, -2.0
#: Bits of a charge's code in a stamp.
CHARGE_BITS = 6
#: Greatest codes, after which a word follows: a module's first time, other times, charges.
FIRST_TIME, TIME, CHARGE, WORD = 2047, 255, 63, 0xFFFF
#: First module number on a string that is IceTop's.
ICETOP = 61
#: Modules that a number has room for on a string, strings that it has room for, and its bits of a header.
MODULES, STRINGS, NUMBER = 64, 128, 0x1FFF
#: Bits of pulses' flags.
LOCAL_COINCIDENCE, ATWD, FADC = 1, 2, 4
#: Width from which on a pulse was seen by the FADC only, in ns.
FADC_WIDTH = 8


@kernel
def _read_stamp(stamps, word, end, header, is_first, is_icetop):
    """The pulse whose stamp is at ``word``: its time's step, its charge's code, and where the next one is."""
    step, code = np.int64(stamps[word] & 0xFF), np.int64((stamps[word] >> 8) & 0x3F)
    if is_first:
        step += np.int64(header >> 13) << 8
    word += 1
    more = step == (FIRST_TIME if is_first else TIME)
    while more and word < end:
        step += stamps[word]
        more = stamps[word] == WORD
        word += 1
    more = code == CHARGE and not is_icetop
    while more and word < end:
        code += stamps[word]
        more = stamps[word] == WORD
        word += 1
    return step, code, word


@kernel
def count_pulses(
    stamps, stamp_starts, headers, header_starts, icetop_starts, n_pulses, first, last, ok
):  # fmt: skip
    """Count the pulses of each module, and look whether all words fit together.

    Parameters
    ----------
    stamps, headers : uint16 array
        Words of all events.
    stamp_starts, header_starts : int64 array, shape (n + 1,)
        First word of each event, and the end.
    icetop_starts : int64 array, shape (n + 1,)
        First byte of IceTop's charges of each event, and the end.
    n_pulses : int64 array, shape (n_headers,)
        Output: pulses of each header.
    first, last : int64 array, shape (n_headers,)
        Output: time of the first and of the last of them, in ns.
    ok : bool array, shape (n,)
        Output: false where an event's words do not fit together; it has no pulses then.
    """
    for event in range(ok.size):
        word, end = stamp_starts[event], stamp_starts[event + 1]
        module_time, n_icetop = ORIGIN, 0
        ok[event] = True
        for k in range(header_starts[event], header_starts[event + 1]):
            is_icetop = headers[k] % MODULES + 1 >= ICETOP
            since, is_last = module_time, False
            n_pulses[k] = 0
            while word < end and not is_last:
                is_last = stamps[word] >> 15 == 1
                step, _, word = _read_stamp(stamps, word, end, headers[k], n_pulses[k] == 0, is_icetop)
                since += step
                if n_pulses[k] == 0:
                    module_time = since
                n_pulses[k] += 1
            first[k], last[k] = module_time, since
            n_icetop += is_icetop
            if not is_last or (is_icetop and n_pulses[k] > 1):
                ok[event] = False
                break
        if word != end or n_icetop != icetop_starts[event + 1] - icetop_starts[event] or not ok[event]:
            ok[event] = False
            n_pulses[header_starts[event] : header_starts[event + 1]] = 0


@kernel
def _sort_by_digit(headers, shift, n_digits, order, start, stop, into):
    """Sort modules by some bits of their headers; those whose bits are equal keep their order."""
    free = np.zeros(n_digits + 1, np.int64)
    for i in range(start, stop):
        free[((headers[order[i]] >> shift) & (n_digits - 1)) + 1] += 1
    for digit in range(n_digits):
        free[digit + 1] += free[digit]
    for i in range(start, stop):
        digit = (headers[order[i]] >> shift) & (n_digits - 1)
        into[start + free[digit]] = order[i]
        free[digit] += 1


@kernel
def sort_modules(
    headers, header_starts, ok, n_pulses, first, last, place, module, of_module, late, n_modules
):  # fmt: skip
    """Find where pulses go when the modules of each event stand in the order of their numbers.

    A module may occur more than once: its pulses then stand together.

    Parameters
    ----------
    headers : uint16 array
        Words of all events, with the modules' numbers.
    header_starts : int64 array, shape (n + 1,)
        First module of each event, and the end.
    ok : bool array, shape (n,)
        Events whose modules are wanted.
    n_pulses, first, last : int64 array, shape (n_headers,)
        Pulses of each module, and when the first and the last of them are.
    place : int64 array, shape (n_headers,)
        Output: where the first pulse of each module goes.
    module, of_module : int64 array, shape (n_headers,)
        Output: modules in their new order, each once, and the pulses of each.
    late : bool array, shape (n_headers,)
        Output: whether those are not in order of time. False before.
    n_modules : int64 array, shape (n,)
        Output: modules of each event, each once.

    Returns
    -------
    int
        All of them.
    """
    order, spare = np.arange(headers.size), np.empty(headers.size, np.int64)
    n, n_found = 0, 0
    for event in range(ok.size):
        n_modules[event] = -n_found
        start, stop = header_starts[event], header_starts[event + 1] if ok[event] else header_starts[event]
        _sort_by_digit(headers, 0, MODULES, order, start, stop, spare)
        _sort_by_digit(headers, 6, STRINGS, spare, start, stop, order)
        for i in range(start, stop):
            k = order[i]
            if i > start and (headers[k] ^ headers[order[i - 1]]) & NUMBER == 0:
                late[n_found - 1] |= first[k] < last[order[i - 1]]
                of_module[n_found - 1] += n_pulses[k]
            else:
                module[n_found], of_module[n_found] = k, n_pulses[k]
                n_found += 1
            place[k] = n
            n += n_pulses[k]
        n_modules[event] += n_found
    return n_found


@kernel
def icetop_charge(code):
    """Charge that a code of 14 bits stands for in IceTop."""
    return 10.0 ** (ICETOP_DECADES * code / ICETOP_CODES + ICETOP_LEAST)


@kernel
def unpack(
    stamps, stamp_starts, headers, header_starts, n_pulses, place, runs, run_starts, icetop,
    time, charge, width, flags,
):  # fmt: skip
    """Unpack pulses to their places, with all their columns, as `count_pulses` has counted them.

    Widths are kept apart, as runs of equal ones, for four kinds of pulses: outside local coincidence and in
    it, of the ice and then of IceTop. A byte holds a width's code in its lower four bits and the run's length
    in its upper ones. Bytes of equal code that follow one another are the digits of one length, the least
    significant first. A width is ``2**code`` ns; pulses without one are 1 ns wide.

    Parameters
    ----------
    stamps, headers : uint16 array
        Words of all events.
    stamp_starts, header_starts : int64 array, shape (n + 1,)
        First word of each event, and the end.
    n_pulses, place : int64 array, shape (n_headers,)
        Pulses of each module, and where they go.
    runs : tuple of four uint8 arrays
        Runs of widths of all events, of each kind.
    run_starts : int64 array, shape (4, n + 1)
        First run of each event, and the end, of each kind.
    icetop : tuple of uint8 array, int64 array
        Upper bits of the charges of IceTop's pulses of all events, and the first of each event.
    time, charge, width, flags : float64, float32, float32, uint8 array
        Output: the pulses' columns.
    """
    left, value = np.zeros(4, np.int64), np.ones(4, np.float32)
    run, stop = np.zeros(4, np.int64), np.zeros(4, np.int64)
    for event in range(header_starts.size - 1):
        word, end = stamp_starts[event], stamp_starts[event + 1]
        module_time, next_icetop = ORIGIN, icetop[1][event]
        for kind in range(4):
            left[kind] = 0
            run[kind], stop[kind] = run_starts[kind, event], run_starts[kind, event + 1]
        for k in range(header_starts[event], header_starts[event + 1]):
            is_icetop = headers[k] % MODULES + 1 >= ICETOP
            since, first = module_time, place[k]
            for to in range(first, first + n_pulses[k]):
                hlc = (stamps[word] >> 14) & 1
                step, code, word = _read_stamp(stamps, word, end, headers[k], to == first, is_icetop)
                since += step
                if to == first:
                    module_time = since
                if is_icetop:
                    code |= np.int64(icetop[0][next_icetop]) << CHARGE_BITS
                    next_icetop += 1
                kind = 2 * is_icetop + hlc
                while left[kind] == 0:
                    if run[kind] == stop[kind]:
                        left[kind], value[kind] = time.size, 1.0
                    else:
                        run[kind], left[kind], bits = _run(runs[kind], run[kind], stop[kind])
                        value[kind] = 1 << bits
                left[kind] -= 1
                time[to], width[to] = since, value[kind]
                charge[to] = icetop_charge(code) if is_icetop else CHARGE_STEP * (code + 0.5)
                # Not kept, but follows from the width, as the modules' two digitisers have bins of 3.3 and
                # 25 ns.
                both = ATWD if value[kind] < FADC_WIDTH else 0
                flags[to] = FADC | (LOCAL_COINCIDENCE | both) * hlc


@kernel
def separate(n_pulses, time, width):
    """Keep the pulses of each module apart, as IceCube's software does.

    A width ends at the module's next pulse. What has no width then, as the next pulse is of the same
    nanosecond, shares the width of the pulse before it: each gets half of it, and the later one starts where
    the other one ends. If there is none before it, it is the next pulse that shares its own width so.

    Parameters
    ----------
    n_pulses : int64 array
        Pulses of each module.
    time, width : float64, float32 array
        Of the pulses, in order of time in each module, in ns; changed in place.
    """
    stop = 0
    for n in n_pulses:
        first, stop = stop, stop + n
        shares = False
        for i in range(first, stop):
            if i + 1 < stop:
                width[i] = min(width[i], np.float32(time[i + 1] - time[i]))
                shares |= width[i] == 0
            if not shares:
                continue
            if i > first:
                if width[i - 1] == 0 and width[i] > 0:
                    width[i - 1] = width[i]
                half = width[i - 1] / np.float32(2)
                width[i - 1], width[i] = half, half
                time[i] = time[i - 1] + half
                shares = False


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

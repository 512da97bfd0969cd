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
def unpack_widths(runs, run_starts, order, order_starts, width):
    """Widths of one kind of pulses, from runs of equal ones.

    A byte holds the code in its lower four bits and the run's length in its upper ones. Bytes of equal
    code that follow one another are the digits of one length, the least significant first.

    Parameters
    ----------
    runs : uint8 array
        Runs of all events.
    run_starts : int64 array, shape (n + 1,)
        First run of each event, and the end.
    order : int64 array
        The pulses of this kind.
    order_starts : int64 array, shape (n + 1,)
        First of them of each event, and the end.
    width : float32 array
        Output: width of those pulses, ``2**code`` ns.
    """
    for event in range(run_starts.size - 1):
        at, end = order_starts[event], order_starts[event + 1]
        run, stop = run_starts[event], run_starts[event + 1]
        while run < stop:
            code, length, digit = runs[run] & 15, np.int64(0), 0
            while run < stop and runs[run] & 15 == code:
                if digit < 8:
                    length += np.int64(runs[run] >> 4) << (4 * digit)
                digit += 1
                run += 1
            for _ in range(min(length, end - at)):
                width[order[at]] = 2.0**code
                at += 1

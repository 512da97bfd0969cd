"""What a plan of many inputs costs: counted in calls, as seconds depend on the machine."""

import struct
import sys
import threading
from collections import Counter

import pytest

import etendue as et
from etendue.dataflow.copies import find_copies
from tests.neutrino.sources.i3_files import frame, header, particle

#: Calls of C functions that go to the file system.
OPENS, LOOKS = ("open",), ("stat", "lstat")


def i3_file(folder, number):
    event = header(number, 1)
    frames = frame("Q", {"I3EventHeader": event}) + frame("P", {"I3EventHeader": event, "Fit": particle()})
    path = folder / f"{number:04}.i3"
    path.write_bytes(frames)
    return path


def root_file(folder, number):
    from tests.neutrino.sources.km3net_files import SUMMARY_49

    with open(SUMMARY_49, "rb") as file:
        contents = bytearray(file.read())
    struct.pack_into(">I", contents, 50, number)  # part of the id of the file, which nobody reads
    path = folder / f"{number:04}.root"
    path.write_bytes(contents)
    return path


def counted(function):
    """How often functions are called, in all threads: Python's in all, C's by name."""
    counts = Counter()

    def note(frame, event, argument):
        if event == "call":
            counts["python"] += 1
        elif event == "c_call" and argument.__name__ in (*OPENS, *LOOKS):
            counts[argument.__name__] += 1

    threading.setprofile(note)
    sys.setprofile(note)
    try:
        function()
    finally:
        sys.setprofile(None)
        threading.setprofile(None)
    return counts


@pytest.mark.parametrize(
    ("make", "n", "most_calls"), [(i3_file, 150, 1_500), (root_file, 12, 10_000)], ids=["i3", "km3net"]
)
def test_what_an_input_costs_does_not_depend_on_how_many_there_are(tmp_path, make, n, most_calls):
    """An i3 file takes 1,170 calls (2,070 when all its tables were joined to the same ones of the others), a
    ROOT file of raw data 6,460 (134,900 when all its trees were understood to find the one with entries).
    """
    paths = [make(tmp_path, number) for number in range(4 * n)]
    et.open(paths[:2]).plan()  # compiles and imports
    once, twice, four_times = (counted(et.open(paths[: k * n]).plan) for k in (1, 2, 4))
    first, second = twice - once, four_times - twice
    for name in (*OPENS, *LOOKS):
        assert second[name] <= 2 * first[name] + 4, name
    assert second["python"] <= 2.05 * first["python"]
    assert first["open"] <= 12 * n
    assert first["python"] <= most_calls * n


def test_looking_for_copies_goes_through_the_names_once(tmp_path):
    class Names(list):
        def __contains__(self, name):
            raise AssertionError("all names are gone through for each input of the pass")

    paths = Names(str(i3_file(tmp_path, number)) for number in range(3))
    known = {"path": str(tmp_path / "gone.i3"), "size": 1, "sha256": "0", "void": False}
    assert find_copies(paths, [known]) == {}

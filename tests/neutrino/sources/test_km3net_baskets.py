"""One damaged basket of an offline file costs the events in it, and no others; whatever the damage is."""

import os
import random
import struct
from functools import cache
from itertools import pairwise

import km3net_testdata
import numpy as np
import pytest

import etendue as et
from etendue.dataflow import border
from etendue.dataflow.source import SourceError
from etendue.neutrino.sources.km3net import KM3NeTSource, evt
from etendue.neutrino.sources.km3net.branches import branches_of
from etendue.neutrino.sources.km3net.streams import opened
from etendue.store.reader import PassReader
from tests.neutrino.sources.km3net_files import all_columns, joined

#: Ten events in 216 baskets: those of the hits hold one to six of them; ``hits.trig`` is of 4 bytes.
NUMUCC = km3net_testdata.data_path("offline/numucc.root")
USER = km3net_testdata.data_path("offline/usr-sample.root")
SOURCE = KM3NeTSource()
#: Mutants in the ordinary suite and, with ``-m heavy``, in all.
FEW, MANY = 80, 10_000


@cache
def contents(path):
    with open(path, "rb") as file:
        return file.read()


@cache
def baskets(path):
    """Branch, first and last entry, first byte and bytes of each basket of the branches that are read."""
    wanted = {b for part in evt.PARTS for column in part.columns for b in column.branches}
    wanted |= {part.count for part in evt.PARTS if part.count}
    found = []
    with opened(path) as file:
        for name, branch in branches_of(file, evt.TREE).by_leaf().all.items():
            n = branch.num_baskets if name in wanted else 0
            edges = [*branch.member("fBasketEntry")[:n], branch.num_entries]
            places = zip(branch.member("fBasketSeek")[:n], branch.member("fBasketBytes")[:n], strict=True)
            for (first, stop), place in zip(pairwise(edges), places, strict=False):
                found.append((name, int(first), int(stop), *map(int, place)))
    return found


def read(path, on_error="skip"):
    """What scan and read say, in two partitions, through the border that all inputs cross."""
    scan = border.scan(SOURCE, path, on_error)
    n = len(scan.rows["events"])
    ranges = list(pairwise(sorted({0, n // 2, n})))
    parts = list(border.read(SOURCE, scan, ranges, all_columns(scan), on_error))
    return parts, [*scan.failures, *(failure for part in parts for failure in part.failures)]


@cache
def intact(path):
    return joined(read(path)[0])


def test_each_damaged_basket_costs_its_own_events(tmp_path):
    """The heads of some thirty of them, in turn, among them those of the branch that has one of two types."""
    path = tmp_path / "damaged.root"
    some = [b for b in baskets(NUMUCC) if b[0].startswith("hits.trig")] + baskets(NUMUCC)[::6]
    assert len(some) > 20
    for name, first, stop, start, _ in some:
        data = bytearray(contents(NUMUCC))
        data[start : start + 18] = b"\xff" * 18
        path.write_bytes(data)
        parts, failures = read(str(path))
        assert [failure.events_lost for failure in failures if name in failure.place]
        assert sum(failure.events_lost for failure in failures) == stop - first
        assert all(f"E/{name} basket" in failure.place for failure in failures)
        keep = np.delete(np.arange(10), np.arange(first, stop))
        found = joined(parts)
        np.testing.assert_array_equal(found["events/id"], intact(NUMUCC)["events/id"][keep])
        np.testing.assert_array_equal(found["events/n_hits"], intact(NUMUCC)["events/n_hits"][keep])
        owners = np.repeat(np.arange(10), intact(NUMUCC)["events/n_hits"])
        for column in ("hits/trigger_mask", "hits/tdc", "hits/pos_x"):
            np.testing.assert_array_equal(found[column], intact(NUMUCC)[column][np.isin(owners, keep)])


def test_the_rest_of_a_run_is_written(tmp_path):
    """A file with a damaged basket among two that are whole; the run of all of them goes to its end."""
    name, first, stop, start, _ = next(b for b in baskets(NUMUCC) if b[0] == "hits.pos.x" and b[2] < 10)
    paths = [tmp_path / f"{n}.root" for n in range(3)]
    for n, path in enumerate(paths):
        data = bytearray(contents(NUMUCC)) + bytes(n)  # so that none is a copy of another
        if n == 1:
            data[start : start + 18] = b"\xff" * 18
        path.write_bytes(data)
    flow = et.open(paths, on_error="skip").columns("events/id", "hits/pos_x", "hits/trigger_mask")
    summary = flow.write(tmp_path / "s.etendue", "p")
    (failure,) = summary.outcome.failures
    assert (failure.path, failure.events_lost) == (str(paths[1]), stop - first)
    assert f"E/{name} basket" in failure.place
    assert PassReader.open(str(tmp_path / "s.etendue")).rows["events"].sum() == 30 - (stop - first)
    with pytest.raises(SourceError, match=f"E/{name} basket"):
        et.open(paths).columns("hits/pos_x").write(tmp_path / "t.etendue", "p")


def test_a_type_that_is_none_of_those_expected_is_named(tmp_path, monkeypatch):
    """Numbers as large as what is expected, but of another kind, are not taken for it."""
    from etendue.neutrino.sources.km3net import branches

    stored = branches._stored
    monkeypatch.setattr(
        branches, "_stored", lambda b: np.dtype(">f4") if b.name == "hits.trig" else stored(b)
    )
    with pytest.raises(SourceError, match=r"E/hits.trig: expected numbers of type >u8 or >i4, found >f4"):
        read(NUMUCC, "raise")


def test_a_count_of_more_rows_than_there_are_bytes_is_one_lost_event(tmp_path):
    """Of a branch that is not packed, whose counts a flipped bit may make greater."""
    with opened(USER) as file:
        branch = branches_of(file, evt.TREE).by_leaf()["trks"]
        assert branch._branch.compressed_bytes == branch._branch.uncompressed_bytes
        start, stop = branch.bytes_of(0)
        n = int.from_bytes(branch.entries(0, 1).data[:4].tobytes(), "big")
    data = bytearray(contents(USER))
    at = data.index(struct.pack(">i", n), start + 64, stop)
    data[at : at + 4] = struct.pack(">i", 1 << 30)
    (tmp_path / "count.root").write_bytes(data)
    parts, (failure,) = read(str(tmp_path / "count.root"))
    assert failure.place == "E/trks entry 0"
    assert failure.events_lost == 1
    assert sum(part.rows("events") for part in parts) == len(intact(USER)["events/id"]) - 1


_BYTES = [b"\xff" * 4, b"\x7f\xff\xff\xff", b"\x00" * 8, b"\x80\x00\x00\x00", b"\x40\x00\x00\x00", b"\x01"]


def mutant(path, chance):
    """A file with some bytes changed, cut off, doubled or left out; more often in baskets than elsewhere."""
    data = bytearray(contents(path))
    for _ in range(chance.choice((1, 1, 1, 2, 4))):
        _, _, _, start, size = chance.choice(baskets(path))
        within = start + chance.randrange(min(size, 130)), start + chance.randrange(size)
        at = chance.choice((*within, chance.randrange(len(data))))
        new = chance.choice((*_BYTES, chance.randbytes(chance.choice((1, 2, 4, 16)))))
        kind = chance.randrange(20)
        if kind == 0:
            del data[at:]
        elif kind == 1:
            del data[at : at + len(new)]
        elif kind == 2:
            data[at:at] = new
        else:
            data[at : at + len(new)] = new
    return bytes(data)


def survive(n, seed, path):
    """Nothing but a source's error comes of mutants, and what is read of them is as declared."""
    chance = random.Random(seed)
    for number in range(n):
        path.write_bytes(mutant(chance.choice((NUMUCC, USER, USER)), chance))
        SOURCE.accepts(str(path))
        for on_error in ("raise", "skip"):
            try:
                parts, failures = read(f"{path}#offline", on_error)
            except SourceError:
                continue
            assert on_error == "skip" or not failures, number
            assert all(len(part["events/id"]) == part.rows("events") for part in parts), number


def test_mutants(tmp_path):
    survive(FEW, 1, tmp_path / "mutant.root")


@pytest.mark.heavy
@pytest.mark.timeout(7200)
@pytest.mark.parametrize("seed", range(10))
def test_ten_thousand_mutants(seed, tmp_path):
    """Takes half an hour of CPU."""
    survive(MANY // 10, 100 + seed, tmp_path / "mutant.root")


@pytest.mark.parametrize("n_runs", [2, pytest.param(50, marks=pytest.mark.heavy)])
def test_mutants_among_whole_files(n_runs, tmp_path):
    """With ``skip``, a run over several files goes to its end, and has all events of the whole ones."""
    chance = random.Random(7)
    n_good = len(intact(USER)["events/id"])
    for number in range(n_runs):
        folder = tmp_path / f"{number}"
        folder.mkdir()
        for n, name in enumerate("az"):
            (folder / f"{name}.root").write_bytes(contents(USER) + bytes(n))
        for name in "mn":
            (folder / f"{name}.root").write_bytes(mutant(USER, chance))
        et.open(folder, on_error="skip").columns("events/id", "events/run").write(folder / "s.etendue", "p")
        reader = PassReader.open(str(folder / "s.etendue"))
        inputs = [os.path.basename(entry["path"]) for entry in reader.attributes["identity"]["inputs"]]
        for name in ("a.root", "z.root"):
            of_input = reader.origin[:, 0] == inputs.index(name)
            assert reader.rows["events"][of_input].sum() == n_good

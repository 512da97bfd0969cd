"""Inputs that hold the same as others are refused, or told, and count once."""

import shutil

import pytest

import etendue as et
from etendue.dataflow.copies import ENDS, find_copies
from etendue.dataflow.source import SourceError


def test_a_copy_is_refused_with_both_names(toy, tmp_path):
    first, other = toy("a.raw", "toy 3 1"), toy("b.raw", "toy 3 1")
    toy("c.raw", "toy 3 2")
    with pytest.raises(SourceError, match="byte for byte") as caught:
        et.open(tmp_path).compute()
    assert str(other) in str(caught.value)
    assert str(first) in str(caught.value)


def test_with_skip_the_first_is_kept_and_the_copy_is_told(toy, tmp_path):
    first, other = toy("a.raw", "toy 3 1"), toy("b.raw", "toy 3 1")
    flow, store = et.open(first, other, on_error="skip"), tmp_path / "s.etendue"
    summary = flow.write(store, "p")
    assert [failure.path for failure in summary.outcome.failures] == [str(other)]
    assert summary.outcome.events_lost == 0
    tree = et.load(store, "p")
    assert tree["events"].sizes["event"] == 3
    assert tree["failures"]["path"].values.tolist() == [str(other)]
    assert flow.write(store, "p").outcome.failures == []  # nothing new


@pytest.mark.parametrize("gone", [False, True])
def test_a_copy_of_what_the_pass_has_is_refused(toy, tmp_path, gone):
    first, store = toy("a.raw", "toy 3 1"), tmp_path / "s.etendue"
    et.open(first).write(store, "p")
    other = tmp_path / "b.raw"
    shutil.copy(first, other)
    if gone:
        (tmp_path / "a.raw").unlink()
    with pytest.raises(SourceError, match="byte for byte"):
        et.open(other).write(store, "p")
    assert et.load(store, "p")["events"].sizes["event"] == 3


def test_one_pass_by_two_names(toy, tmp_path):
    store = tmp_path / "s.etendue"
    et.open(toy("a.raw", "toy 3 1")).write(store, "p")
    with pytest.raises(SourceError, match="holds the same"):
        et.open(f"{store}@p", f"{store}@p+0").compute()


def test_files_that_differ_in_the_middle_are_no_copies(tmp_path):
    paths = [str(tmp_path / name) for name in "abc"]
    content = bytearray(4 * ENDS)
    for number, path in enumerate(paths):
        content[2 * ENDS] = number == 1
        with open(path, "wb") as file:
            file.write(content)
    assert find_copies(paths) == {paths[2]: paths[0]}
    assert find_copies([f"{paths[0]}#L1", f"{paths[0]}#SN"]) == {}

"""Checksums of inputs."""

import hashlib
from pathlib import Path

from etendue.provenance import checksum
from etendue.provenance.checksum import checksums, sha256


def test_a_file_has_the_checksum_that_the_standard_gives(tmp_path):
    path = tmp_path / "abc"
    path.write_bytes(b"abc")
    # FIPS 180-4, the example of one block
    assert sha256(path) == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert sha256(tmp_path) == ""
    assert sha256(tmp_path / "nothing") == ""


def test_each_file_is_read_once_whatever_parts_of_it_are_inputs(tmp_path, monkeypatch):
    paths = [tmp_path / name for name in "abc"]
    for path in paths:
        path.write_text(path.name)
    read = []
    monkeypatch.setattr(checksum, "sha256", lambda path: read.append(path) or sha256(path))
    inputs = [str(paths[0]), f"{paths[1]}#L0", f"{paths[1]}#L1", str(paths[2]), "simulated://gamma"]
    found = checksums(inputs)
    assert sorted(read) == sorted({*map(str, paths), "simulated://gamma"})
    expected = {i: hashlib.sha256(Path(i.partition("#")[0]).read_bytes()).hexdigest() for i in inputs[:4]}
    assert found == {**expected, "simulated://gamma": ""}

"""Readers that look all the time, while a pass is written, killed and taken up again."""

import os
import subprocess
import sys
from itertools import groupby

from .harness import REPOSITORY, command, digest, environment, tags
from .points import PUBLICATION

_READER = """
import sys
from pathlib import Path
from etendue.store.reader import PassReader
from tests.faults.harness import digest
store, stop = sys.argv[1], Path(sys.argv[2])
while not stop.exists():
    old = PassReader.open(store, "old")
    print(digest(store), old.snapshot, old.rows["events"].sum(), flush=True)
"""


def test_a_reader_sees_the_old_pass_or_the_new_one(site, inputs, forge, undisturbed, tmp_path):
    """Through kills before, in and after the publication, a reader sees one, whole, and then the other."""
    store, stop = tmp_path / "s.etendue", tmp_path / "stop"
    forge.succeeds(*command(site, inputs[:2], store, "--pass", "old"))
    old = digest(store)
    reader = subprocess.Popen(
        [sys.executable, "-c", _READER, str(store), str(stop)],
        env={**os.environ, **environment(site)},
        cwd=REPOSITORY,
        stdout=subprocess.PIPE,
        text=True,
    )
    first = reader.stdout.readline()
    of_work = ["after branch_off.1", "after begin.1", "after commit.3", "after commit.2"]
    for point in of_work + PUBLICATION:
        (forge.points / point).touch()
        assert forge(*command(site, inputs, store)).code < 0, point
    forge.succeeds(*command(site, inputs, store))
    assert tags(store) == ["old", "p"]
    stop.touch()
    lines = [first, *reader.stdout]
    reader.stdout.close()
    assert reader.wait() == 0
    seen = [line.split() for line in lines]
    assert [key for key, _ in groupby(line[0] for line in seen)] == [old, digest(undisturbed)]
    assert len({tuple(line[1:]) for line in seen}) == 1
    assert sum(line[0] == old for line in seen) > 10

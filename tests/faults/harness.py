"""Runs that are disturbed, and stores that are compared with what an undisturbed run wrote."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from time import sleep
from typing import Any

import numpy as np

import etendue as et
from etendue.provenance import activities
from etendue.store import passes
from etendue.store.reader import PassReader
from tests.store.ragged import contents

from .points import FOLDER
from .raw import PIPELINE

REPOSITORY = Path(__file__).parents[2]
_ENTRY_POINTS = "[etendue.sources]\ntoyraw = tests.faults.raw:RawSource\n"
#: What differs from run to run, of the attributes at the root of a pass.
_TIMES = ("provenance", "started")


def environment(folder: Path) -> dict[str, str]:
    """Environment of a process that finds the toy source, as if it were installed; made in a folder."""
    plugin = folder / "plugin"
    info = plugin / "toyraw-1.0.dist-info"
    if not info.is_dir():
        info.mkdir(parents=True)
        (info / "METADATA").write_text("Metadata-Version: 2.1\nName: toyraw\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(_ENTRY_POINTS)
        (folder / "points").mkdir()
        (folder / "toy.toml").write_text(PIPELINE)
    paths = os.pathsep.join([str(plugin), str(REPOSITORY), os.environ.get("PYTHONPATH", "")])
    return {"PYTHONPATH": paths.rstrip(os.pathsep), FOLDER: str(folder / "points")}


@dataclass
class Ended:
    """A run that has ended."""

    code: int
    output: str
    seconds: float = 0.0
    last: str = ""


@dataclass
class Forge:
    """Starts runs from a process that is warm; see `tests.faults.forge`."""

    folder: Path
    process: subprocess.Popen = field(init=False)

    def __post_init__(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.faults.forge"],
            env={**os.environ, **environment(self.folder), "OPENBLAS_NUM_THREADS": "1"},
            cwd=REPOSITORY,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def __call__(
        self, *arguments: Any, delay: float | None = None, function: str = "etendue.cli:main"
    ) -> Ended:
        """Run the command line, or another function of a list of words, to its end, or kill it meanwhile."""
        (self.points / "last").write_text("start")
        output = self.folder / "output.txt"
        words = [*map(str, arguments)]
        command = {"function": function, "arguments": words, "delay": delay, "output": str(output)}
        print(json.dumps(command), file=self.process.stdin, flush=True)
        answer = json.loads(self.process.stdout.readline())
        return Ended(
            answer["code"], output.read_text(), answer["seconds"], (self.points / "last").read_text()
        )

    def succeeds(self, *arguments: Any, **options: Any) -> Ended:
        """The same to its good end."""
        ended = self(*arguments, **options)
        assert ended.code == 0, ended.output
        return ended

    @property
    def points(self) -> Path:
        """Where files ask for runs to be killed at points."""
        return self.folder / "points"

    def close(self) -> None:
        self.process.stdin.close()
        self.process.wait()
        self.process.stdout.close()


def facts(store: str | Path) -> dict[str, Any]:
    """What the root of a pass says, but for times and how its inputs were looked at."""
    reader = PassReader.open(str(store))
    attributes = {key: value for key, value in reader.attributes.items() if key not in _TIMES}
    identity = attributes.pop("identity")
    attributes["identity"] = {key: value for key, value in identity.items() if key not in ("look", "repair")}
    return {"attributes": attributes, "facts": dict(reader.facts)}


def made(store: str | Path) -> list[tuple[Any, ...]]:
    """What is told of the runs that a pass was made by, but for times."""
    reader = PassReader.open(str(store))
    return [(run.rows, run.failures) for run in activities(reader.attributes["provenance"])]


def assert_same_but_revision(store: str | Path, undisturbed: str | Path) -> None:
    """Two stores hold the same newest pass, chunk for chunk, made in one go or not; nothing is unfinished."""
    found, expected = contents(str(store)), contents(str(undisturbed))
    assert found.keys() == expected.keys()
    assert [key for key in expected if found[key] != expected[key]] == []
    assert facts(store) == facts(undisturbed)
    assert not unfinished_branches(store)
    assert not Path(f"{store}.lock").exists()


def assert_same(store: str | Path, undisturbed: str | Path) -> None:
    """Two stores hold the same newest pass, chunk for chunk, made in one go."""
    assert_same_but_revision(store, undisturbed)
    assert made(store) == made(undisturbed)


def digest(store: str | Path) -> str:
    """A checksum of all keys of the newest pass but its root."""
    summed = sha256()
    for key, data in sorted(contents(str(store)).items()):
        summed.update(f"{key} {len(data)} ".encode() + data)
    return summed.hexdigest()


def events_by_run(store: str | Path) -> dict[int, list[tuple[int, list[float]]]]:
    """Of each file of the newest pass, by its seed: its events, with the charges of their hits."""
    tree = et.load(store).compute()
    runs, seeds = tree["observation/run"].values, tree["observation/seed"].values
    seed_of = dict(zip(runs.tolist(), seeds.tolist(), strict=True))
    assert len(seed_of) == len(seeds)
    charges = np.split(tree["hits/charge"].values, np.cumsum(tree["events/n_hits"].values)[:-1])
    events: dict[int, list[tuple[int, list[float]]]] = {}
    for run, number, charge in zip(
        tree["events/run"].values.tolist(), tree["events/event_id"].values.tolist(), charges, strict=True
    ):
        events.setdefault(seed_of[run], []).append((number, charge.tolist()))
    return events


def unfinished_branches(store: str | Path) -> set[str]:
    """Working branches of a store."""
    from etendue.store.repository import open_repository

    return open_repository(str(store)).list_branches() - {"main"}


def tags(store: str | Path) -> list[str]:
    return [entry.tag for entry in passes(str(store))]


def call(folder: Path, *arguments: Any, variables: dict[str, str] | None = None) -> Ended:
    """The command line in a process of its own, as a user calls it."""
    done = subprocess.run(
        [sys.executable, "-m", "etendue", *map(str, arguments)],
        env={**os.environ, **environment(folder), **(variables or {})},
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    return Ended(done.returncode, done.stdout + done.stderr)


def start(folder: Path, arguments: Sequence[str], output: Path, **variables: str) -> subprocess.Popen:
    """The command line, beside the test."""
    return subprocess.Popen(
        [sys.executable, "-m", "etendue", *arguments],
        env={**os.environ, **environment(folder), **variables},
        stdout=output.open("w"),
        stderr=subprocess.STDOUT,
    )


def wait_for(path: Path, process: subprocess.Popen) -> None:
    """Wait until a file is there; the process that should make it must not end before."""
    while not path.exists():
        assert process.poll() is None
        sleep(0.01)


def command(folder: Path, inputs: Sequence[Any], store: Any, *options: Any) -> list[str]:
    """The command to process toy files."""
    how = ["--partition-bytes", 40_000, "--workers", 2]
    fixed = ["run", folder / "toy.toml", *inputs, "--into", store, "--pass", "p", *how, *options]
    return [str(argument) for argument in fixed]

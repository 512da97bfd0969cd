"""The examples for schedulers: as text, and the commands of the crontab as cron runs them."""

import os
import re
import shlex
import shutil
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from time import time

import pytest
import zstandard

import etendue as et
from etendue.cli.watch import watch
from etendue.store.lock import StoreLock

SCHEDULE = Path(__file__).parents[2] / "cluster" / "schedule"


def entries(table: str) -> list[tuple[str, str]]:
    """When and what of each entry of a crontab."""
    lines = (SCHEDULE / table).read_text().splitlines()
    found = [re.fullmatch(r"((?:\S+\s+){5})(\S.*)", line) for line in lines if re.match(r"[\d*]", line)]
    return [(match[1].strip(), match[2]) for match in found]


class Site:
    """A place where the examples are installed, with raw data of a night."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.store = folder / "crab.etendue"
        self.raw = folder / "raw"
        settings = (SCHEDULE / "nightly.env").read_text()
        replaced = {
            "/opt/etendue/bin/etendue": str(Path(sys.executable).parent / "etendue"),
            "/data/raw": str(self.raw),
            "/data/crab.etendue": str(self.store),
            "export NUMBA_CACHE_DIR=/var/cache/etendue": "",  # so that kernels need not be compiled
        }
        for old, new in replaced.items():
            assert old in settings
            settings = settings.replace(old, new)
        (folder / "nightly.env").write_text(settings)
        (folder / "2027.toml").write_text('name = "2027"\nwrite = ["events/*"]\n')

    def night(self, days_ago: int) -> Path:
        folder = self.raw / f"{datetime.now(UTC) - timedelta(days=days_ago):%Y-%m-%d}"
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def add(self, source: Path, name: str = "run1", days_ago: int = 1, age: float = 3600) -> Path:
        path = self.night(days_ago) / f"{name}.simtel.zst"
        n_before = len(list(self.raw.rglob("*.simtel.zst")))
        path.write_bytes(source.read_bytes() + n_before * zstandard.compress(b""))  # no two are the same
        for changed in (path, path.parent):
            os.utime(changed, (time() - age, time() - age))
        return path

    def cron(self, command: str, code: int = 0) -> str:
        """Run a command of the crontab as cron does, with next to no environment."""
        command = command.replace("/opt/etendue/schedule", str(SCHEDULE))
        command = command.replace("/etc/etendue", str(self.folder))
        environment = {"HOME": str(self.folder), "PATH": "/usr/bin:/bin", "SHELL": "/bin/sh"}
        done = subprocess.run(
            ["/bin/sh", "-c", command],
            env=environment,
            cwd=self.folder,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout + done.stderr

    def tags(self) -> list[str]:
        return [entry.tag for entry in et.passes(self.store)]

    def n_events(self, tag: str) -> int:
        return et.load(self.store, tag)["events"].sizes["event"]


@pytest.fixture
def site(tmp_path):
    return Site(tmp_path)


@pytest.fixture(scope="module")
def raw(shared) -> Path:
    """A raw file with one event."""
    return next((shared / "data" / "simtel").glob("pyeventio__gamma_with_obslevel_particles*"))


NIGHTLY, YEARLY = (command for _, command in entries("crontab"))


def test_nights_are_added_once(site, raw):
    assert "nothing to do: no data of the last 7 nights" in site.cron(NIGHTLY)
    site.add(raw)
    site.cron(NIGHTLY)
    assert site.tags() == ["nightly"]
    site.cron(NIGHTLY)
    assert site.tags() == ["nightly"]
    site.add(raw, "run2", days_ago=3)  # a night that was missed
    site.cron(NIGHTLY)
    assert site.tags() == ["nightly", "nightly+1"]
    assert site.n_events("nightly") == 2


def test_a_night_that_still_changes_is_left_for_later(site, raw):
    path = site.add(raw, age=60)
    out = site.cron(NIGHTLY)
    assert f"{path.parent}: still changes" in out
    assert not site.store.exists()
    site.add(raw)
    site.cron(NIGHTLY)
    assert site.tags() == ["nightly"]


def test_a_store_that_is_being_written_is_told_of(site, raw):
    site.add(raw)
    lock = StoreLock(site.store)
    try:
        out = site.cron(NIGHTLY, code=1)
    finally:
        lock.release()
    assert f"{site.store} is being written by process {os.getpid()} on " in out
    assert "Traceback" not in out
    site.cron(NIGHTLY)
    assert site.tags() == ["nightly"]


def test_broken_files_are_told_of_once(site, raw):
    site.add(raw)
    (site.folder / "nothing").write_bytes(b"nothing")
    path = site.add(site.folder / "nothing", "broken")
    assert f"{path}: first bytes: not a kind of file that any source knows" in site.cron(NIGHTLY, code=3)
    site.cron(NIGHTLY)
    assert site.tags() == ["nightly"]


def test_the_pass_of_the_year(site, raw):
    for n in range(2):
        site.add(raw, f"run{n}", days_ago=200 + n)
    site.cron(YEARLY)
    site.cron(YEARLY)
    assert site.tags() == ["2027.1"]
    assert site.n_events("2027.1") == 2
    site.cron(f"{YEARLY.replace('2027.1', '2027.2')} {site.store}@2027.1")
    assert site.n_events("2027.2") == 2


def test_all_schedulers_call_the_same(site):
    assert entries("scrontab") == entries("crontab")
    unit = (SCHEDULE / "etendue-nightly.service").read_text()
    assert f"ExecStart={NIGHTLY}\n" in unit


def test_what_systemd_watches_with_is_a_command():
    unit = (SCHEDULE / "etendue-watch.service").read_text()
    (command,) = re.findall("^ExecStart=(.*)$", unit, flags=re.MULTILINE)
    program, verb, *arguments = shlex.split(command)
    assert (Path(program).name, verb) == ("etendue", "watch")
    context = watch.make_context("watch", arguments)
    assert context.params["pattern"] == "*.simtel.zst"


def test_every_file_is_described():
    described = (SCHEDULE / "README.md").read_text()
    for path in SCHEDULE.iterdir():
        assert f"`{path.name}`" in described or path.name == "README.md"


def checked(*command: str | Path, **options) -> str:
    if shutil.which(command[0]) is None:
        pytest.skip(f"{command[0]} is not installed")
    done = subprocess.run(command, capture_output=True, text=True, check=False, **options)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def test_shellcheck_finds_nothing():
    checked("shellcheck", "-x", *SCHEDULE.glob("*.sh"), cwd=SCHEDULE.parents[1])


def test_crontab_is_accepted():
    if "dry run" not in checked("sh", "-c", "crontab -h 2>&1 || true"):
        pytest.skip("there is no crontab that checks only, as Debian's does")
    checked("crontab", "-n", SCHEDULE / "crontab")


def test_systemd_accepts_the_units(tmp_path):
    units = []
    for path in SCHEDULE.glob("etendue-*"):
        text = path.read_text().replace("/opt/etendue/schedule", str(SCHEDULE))
        text = text.replace("/opt/etendue/bin/etendue", "/bin/true")
        (tmp_path / path.name).write_text(text)
        units.append(tmp_path / path.name)
    assert len(units) == 3
    assert checked("systemd-analyze", "verify", *units) == ""

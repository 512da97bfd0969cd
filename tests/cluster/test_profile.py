"""Site profiles: what they may hold, where they are found, what is made of them."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from etendue.cluster import ClusterError, find_profile, known_profiles, profile_text
from etendue.cluster.profile import KINDS, SlurmProfile, clock, read_profile, seconds

EXAMPLES = sorted((Path(__file__).parents[2] / "cluster").glob("*.toml"))


@pytest.mark.parametrize(
    ("text", "expected"),
    [("90", 90), (90, 90), ("30m", 1800), ("4h", 14400), ("04:00:00", 14400), ("1-12:00:00", 129600)],
)
def test_durations_as_batch_systems_and_people_write_them(text, expected):
    assert seconds(text) == expected


@given(st.integers(0, 10**7))
def test_a_duration_survives_being_written(duration):
    assert seconds(clock(duration)) == duration


@given(st.integers(2, 10**6))
def test_workers_retire_before_the_walltime_whatever_it_is(walltime):
    profile = SlurmProfile(walltime=walltime)
    assert profile.lifetime_seconds - profile.stagger_seconds > 0
    assert profile.lifetime_seconds + profile.stagger_seconds < walltime


@given(st.integers(2, 10**6), st.data())
def test_a_lifetime_of_ones_own_gets_a_stagger_that_fits(walltime, data):
    lifetime = data.draw(st.integers(1, walltime - 1))
    profile = SlurmProfile(walltime=walltime, lifetime=lifetime)
    assert lifetime + profile.stagger_seconds < walltime


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('kind = "slurm"\nmemroy = "4GB"', "unknown key 'memroy', did you mean 'memory'"),
        (
            'kind = "slurm"\nwalltime = "1h"\nlifetime = "2h"',
            "lifetime 02:00:00 .* reach to the walltime 01:00:00",
        ),
        ('kind = "slurm"\nwalltime = "soon"', "walltime = 'soon': a duration is written as 30m"),
        ('kind = "slurm"\nmemory = "much"', "memory = 'much': a size is written as"),
        ('kind = "slurm"\ncores = 0', "cores = 0: Input should be greater than 0"),
        ('kind = "slurm"\ncores = 3\nprocesses = 2', "cores = 3 cannot be shared out to processes = 2"),
        ('kind = "slurm"\nadaptive = true\nminimum_jobs = 2', "minimum_jobs = 2 is more than jobs = 1"),
        ('kind = "mpi"\nwalltime = "1h"', "unknown key 'walltime'"),
        ('kind = "sge"', "kind = 'sge'; it must be one of slurm, htcondor, pbs, mpi, kubernetes"),
        ("queue = ", "Invalid value"),
    ],
)
def test_what_is_wrong_with_a_profile_is_told(tmp_path, text, message):
    (tmp_path / "site.toml").write_text(text)
    with pytest.raises(ClusterError, match=f"(?s)profile .*site.toml: .*{message}"):
        find_profile(tmp_path / "site.toml")


def test_profiles_are_found_where_the_user_keeps_them(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    (tmp_path / "etendue").mkdir()
    (tmp_path / "etendue" / "lyon.toml").write_text('kind = "slurm"\nqueue = "htc"')
    (tmp_path / "etendue" / "pbs.toml").write_text('kind = "pbs"\nqueue = "mine"')
    assert find_profile("lyon").queue == "htc"
    assert find_profile("pbs").queue == "mine"  # before that of the package
    assert find_profile("slurm") == SlurmProfile()
    assert set(known_profiles()) == {*KINDS, "lyon"}
    with pytest.raises(ClusterError, match="unknown place 'lyno', did you mean 'lyon'"):
        find_profile("lyno")


def test_a_profile_that_is_printed_reads_back(tmp_path):
    for kind, cls in KINDS.items():
        (tmp_path / f"{kind}.toml").write_text(profile_text(cls()))
        assert read_profile(tmp_path / f"{kind}.toml") == cls()
    changed = SlurmProfile(
        queue='a "queue"', jobs=7, walltime="2h", directives=("-C gpu",), environment={"A": "b"}
    )
    (tmp_path / "changed.toml").write_text(profile_text(changed))
    assert read_profile(tmp_path / "changed.toml") == changed


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_shipped_examples_are_right(path):
    assert read_profile(path).description


def test_there_is_an_example_of_each_kind():
    assert {read_profile(path).kind for path in EXAMPLES} == set(KINDS)

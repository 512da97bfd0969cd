"""One pass, wherever it is computed: threads, processes, a pool, a Dask cluster; stores that are the same."""

from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import pytest

import etendue as et

from .harness import assert_same, call, command
from .points import FOLDER
from .raw import charge

pytestmark = pytest.mark.cluster


@pytest.mark.parametrize(
    "place", [["--workers", 1], ["--workers", 5], ["--on", "laptop"], ["--on", "processes"]]
)
def test_the_command_line(site, inputs, undisturbed, tmp_path, place):
    store = tmp_path / "s.etendue"
    ended = call(site, *command(site, inputs, store, *place))
    assert ended.code == 0, ended.output
    assert_same(store, undisturbed)


def flow_of(inputs):
    return (et.open(*inputs, partition_bytes=40_000, workers=2) | charge).columns("events/*", "hits/*")


@pytest.mark.usefixtures("toy")
def test_a_pool_of_processes_and_dask(inputs, undisturbed, tmp_path):
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
        flow_of(inputs).write(tmp_path / "pool", "p", executor=pool)
    assert_same(tmp_path / "pool", undisturbed)
    with et.connect("laptop", workers=2) as client:
        flow_of(inputs).write(tmp_path / "dask", "p", client=client)
    assert_same(tmp_path / "dask", undisturbed)


@pytest.mark.usefixtures("toy")
def test_begun_in_one_place_and_ended_in_another(site, inputs, undisturbed, tmp_path, monkeypatch):
    """A pool whose process dies ends the run; threads take it up."""
    monkeypatch.setenv(FOLDER, str(site / "points"))
    (site / "points" / "compute.4").touch()
    with (
        ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool,
        pytest.raises(Exception, match="abruptly"),
    ):
        flow_of(inputs).write(tmp_path / "s", "p", executor=pool)
    flow_of(inputs).write(tmp_path / "s", "p")
    assert_same(tmp_path / "s", undisturbed)


REAL = """
name = "real"

[[stage]]
use = "iact.Calibrate"

[[stage]]
use = "iact.Integrate"

[[stage]]
use = "iact.Clean"

[[stage]]
use = "iact.Parametrise"

[[stage]]
use = "iact.ReconstructStereo"
"""


def test_showers_from_waveforms_to_directions(site, tmp_path):
    """Real kernels: simulated waveforms to stereo, on threads and on processes."""
    (site / "real.toml").write_text(REAL)
    inputs = [f"simulated://gamma?n_showers=300&seed={seed}" for seed in (1, 2)]

    def run(store, *options):
        how = ["--pass", "p", "--partition-bytes", "4MiB", "--workers", 2, *options]
        ended = call(site, "run", site / "real.toml", *inputs, "--into", store, *how)
        assert ended.code == 0, ended.output

    run(tmp_path / "threads")
    run(tmp_path / "processes", "--on", "processes")
    assert_same(tmp_path / "processes", tmp_path / "threads")

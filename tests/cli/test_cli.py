"""The command line, as a user calls it: in processes of its own."""

import signal
import subprocess
import sys
from time import monotonic, sleep

import pytest
import xarray as xr

import etendue as et


def call(*arguments, cwd, code=0):
    """Run the command; returns what it printed on standard output and standard error."""
    done = subprocess.run(
        [sys.executable, "-m", "etendue", *map(str, arguments)],
        cwd=cwd,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == code, done.stderr
    return done.stdout, done.stderr


def test_nothing_heavy_is_imported_before_it_is_used():
    heavy = {"numba", "xarray", "distributed", "matplotlib", "astropy", "pandas", "zarr", "eventio"}
    code = "import sys, etendue, etendue.cli; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not heavy & set(loaded.stdout.split())


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """A folder with a simulated raw pass and a processed one."""
    folder = tmp_path_factory.mktemp("cli")
    call("simulate", "gamma", "--showers", 200, "--seed", 3, "--into", "sim.etendue", cwd=folder)
    call("run", "iact", "sim.etendue@raw", "--into", "sim.etendue", "--pass", "one", cwd=folder)
    return folder


def test_simulate_run_load(store):
    tree = et.load(store / "sim.etendue", "one")
    assert tree["events"].sizes["event"] > 10
    assert tree["events"]["HillasReconstructor_is_valid"].values.any()
    assert "r0_waveform" in et.load(store / "sim.etendue", "raw")["simcam"]


def test_log(store):
    out, _ = call("log", "sim.etendue", cwd=store)
    assert "raw" in out
    assert "one" in out
    assert "iact" in out


def test_info(store):
    out, _ = call("info", "sim.etendue@one", cwd=store)
    assert "/simcam" in out
    assert "hillas_length" in out


def test_plan(store):
    out, _ = call("plan", "iact", "sim.etendue@raw", cwd=store)
    for word in ("spans", "partitions", "raw bytes", "peak memory"):
        assert word in out
    _, err = call("plan", "iact", "sim.etendue@raw", "--memory", "100MB", cwd=store, code=1)
    assert "the limit is" in err


def test_show_draws_an_event(store):
    event = int(et.load(store / "sim.etendue", "one")["events"]["event_id"].values[0])
    out, _ = call("show", "sim.etendue", "--event", event, "--pass", "one", "--out", "event.png", cwd=store)
    assert (store / "event.png").read_bytes().startswith(b"\x89PNG")
    assert "event.png" in out
    _, err = call("show", "sim.etendue", "--event", 999999999, "--pass", "one", cwd=store, code=1)
    assert "999999999" in err


def test_export_writes_tables_for_pandas(store):
    pandas = pytest.importorskip("pandas")
    pytest.importorskip("tables")
    options = ("--columns", "events/*", "--identity", "obs_id")
    out, _ = call("export", "sim.etendue@one", "one.h5", *options, cwd=store)
    events = pandas.read_hdf(store / "one.h5", "events")
    assert f"{len(events):,} rows" in out
    assert len(events) == et.load(store / "sim.etendue", "one")["events"].sizes["event"]


def test_pipelines(tmp_path, store):
    out, _ = call("pipelines", cwd=tmp_path)
    assert {"iact", "ctapipe"} <= {line.split()[0] for line in out.splitlines()}
    text, _ = call("pipelines", "show", "iact", cwd=tmp_path)
    mine = tmp_path / "mine.toml"
    mine.write_text(text.replace("min_neighbors", "min_neighbours"))
    _, err = call("plan", mine, store / "sim.etendue@raw", cwd=tmp_path, code=1)
    assert "did you mean 'min_neighbors'?" in err


def test_errors_are_told_without_a_traceback(tmp_path):
    _, err = call("run", "iact", "nowhere.simtel.zst", "--into", "s", "--pass", "p", cwd=tmp_path, code=1)
    assert "nowhere.simtel.zst: file: there is no such file" in err
    assert "Traceback" not in err
    _, err = call("run", "iac", "x", "--into", "s", "--pass", "p", cwd=tmp_path, code=1)
    assert "did you mean 'iact'?" in err


def test_a_taken_pass_name_is_refused(store):
    raw = ("sim.etendue@raw", "--into", "sim.etendue", "--pass")
    out, _ = call("run", "iact", *raw, "one", cwd=store)
    assert "nothing new" in out
    _, err = call("run", "iact", *raw, "raw", cwd=store, code=1)
    assert "there is a pass 'raw' that was made, or begun, otherwise" in err
    assert "pipeline.stage[0] (iact.SelectEventType): was not there, is there" in err


def test_skip_exits_with_three(store, shared):
    (path,) = (shared / "data/simtel").glob("ctapipe-extra__lst_muons*")
    cut = store / "cut.simtel.zst"
    cut.write_bytes(path.read_bytes()[:-1_000_000])
    _, err = call("run", "iact", cut, "--into", "cut.etendue", "--pass", "a", cwd=store, code=1)
    assert "cut.simtel.zst" in err
    _, err = call(
        "run", "iact", cut, "--into", "cut.etendue", "--pass", "a", "--on-error", "skip", cwd=store, code=3
    )
    assert "cut.simtel.zst" in err
    assert 0 < et.load(store / "cut.etendue", "a")["events"].sizes["event"] < 30


def test_a_killed_run_leaves_no_trace_that_a_reader_sees(store):
    before = et.load(store / "sim.etendue").compute()
    arguments = ("simulate", "gamma", "--showers", "20000", "--into", "sim.etendue", "--pass", "killed")
    run = subprocess.Popen([sys.executable, "-m", "etendue", *arguments], cwd=store)
    chunks = store / "sim.etendue" / "chunks"
    n_before = len(list(chunks.iterdir()))
    deadline = monotonic() + 60
    while len(list(chunks.iterdir())) < n_before + 20 and monotonic() < deadline:
        sleep(0.05)
    assert run.poll() is None, "the run should still be writing"
    run.kill()
    run.wait()
    assert [entry.tag for entry in et.passes(store / "sim.etendue")] == ["raw", "one"]
    xr.testing.assert_identical(et.load(store / "sim.etendue").compute(), before)
    again = ("run", "iact", "sim.etendue@raw", "--into", "sim.etendue", "--pass", "killed")
    _, err = call(*again, cwd=store, code=1)
    assert "--fresh" in err
    call(*again, "--fresh", cwd=store)
    assert [entry.tag for entry in et.passes(store / "sim.etendue")] == ["raw", "one", "killed"]


@pytest.mark.parametrize("verb", ["log", "verify", "gc", "provenance"])
def test_what_is_no_store_is_told_without_a_traceback(tmp_path, verb):
    (tmp_path / "file").write_text("no store")
    _, err = call(verb, "file", cwd=tmp_path, code=1)
    assert err == "etendue: file is a file, and stores are directories; give another path\n"


def test_help_keeps_the_lines_of_examples():
    out, _ = call("--help", cwd=".")
    assert "  etendue demo\n" in out
    assert "\\b" not in out


@pytest.mark.parametrize(
    "option",
    [("--partition-bytes", "0"), ("--partition-bytes", "inf"), ("--memory", "-1"), ("--workers", "0")],
)
def test_sizes_that_are_none_are_refused(tmp_path, option):
    _, err = call("plan", "iact", "simulated://gamma", *option, cwd=tmp_path, code=2)
    assert f"Invalid value for '{option[0]}'" in err


def test_standard_error_may_be_closed(tmp_path):
    command = f"{sys.executable} -m etendue simulate gamma --showers 10 --into s 2>&-"
    assert subprocess.run(command, shell=True, cwd=tmp_path, check=False).returncode == 0
    assert [entry.tag for entry in et.passes(tmp_path / "s")] == ["raw"]


#: Shells have programs in the background ignore Ctrl-C, as tests may be run.
_WITH_CTRL_C = """
import signal
signal.signal(signal.SIGINT, signal.default_int_handler)
from etendue.cli import main
main()
"""


def test_ctrl_c_says_how_to_go_on(tmp_path):
    files = [f"simulated://gamma?n_showers=300&seed={seed}" for seed in range(20)]
    options = ["--into", "s", "--pass", "p", "--workers", "1"]
    with subprocess.Popen(
        [sys.executable, "-c", _WITH_CTRL_C, "run", "iact", *files, *options],
        cwd=tmp_path,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        while not list(tmp_path.glob("s/chunks/*")):
            assert process.poll() is None
            sleep(0.02)
        process.send_signal(signal.SIGINT)
        _, said = process.communicate()
    assert process.returncode == 130
    assert said.splitlines()[-1] == "etendue: interrupted; the same command goes on where it was"
    assert not et.passes(tmp_path / "s")

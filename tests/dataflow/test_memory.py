"""Files one after another: none of them stays in memory when it has been read."""

import gc
import os
import shutil
from pathlib import Path

import pytest

import etendue as et
from etendue.dataflow import border
from etendue.dataflow.memory import give_back_memory
from etendue.dataflow.source import find_source
from tests.iact.simtel_files import find, objects, unpacked
from tests.neutrino.sources import i3_files as i3

#: Inputs of each kind; in the first of them, what is kept once (kernels, classes, layouts) is filled.
N_INPUTS, N_FIRST = 200, 60
#: Bytes by which memory may grow meanwhile; 10 MB are less than 75 kB for each file.
MOST = 10 << 20


def km3net(name):
    def paths(folder, request):
        testdata = pytest.importorskip("km3net_testdata")
        return links(folder, testdata.data_path(name))

    return paths


def links(folder, path):
    """The same file under many names."""
    names = [folder / f"{number}_{Path(path).name}" for number in range(N_INPUTS)]
    for name in names:
        name.symlink_to(path)
    return names


def icecube(folder, request):
    path = folder / "few.i3"
    modules = {(1, 2, 0): [(1.0, 2.0, 3.0, 1)] * 3}
    made = {
        "I3EventHeader": i3.header(1, 2, 3, "split"),
        "pulses": i3.pulse_map(modules),
        "fit": i3.particle(),
    }
    path.write_bytes(i3.frame("Q", made) + i3.frame("P", made))
    return links(folder, path)


def simtel(folder, request):
    contents = objects(unpacked(find(request.getfixturevalue("shared"), "digicampipe__1_triggered")))
    event = [kind for kind, _ in contents].index(2010)
    path = folder / "few.simtel"
    path.write_bytes(b"".join(content for _, content in contents[: event + 1]))
    return links(folder, path)


def store(folder, request):
    et.open("simulated://gamma?n_showers=20&seed=1").write(folder / "0.etendue", "p")
    for number in range(1, N_INPUTS):
        shutil.copytree(folder / "0.etendue", folder / f"{number}.etendue")
    return [folder / f"{number}.etendue" for number in range(N_INPUTS)]


def simulated(folder, request):
    return [f"simulated://gamma?n_showers=5&seed={seed}" for seed in range(N_INPUTS)]


INPUTS = {
    "km3net online": km3net("online/KM3NeT_00000133_JDAQEvent.root"),
    "km3net offline": km3net("offline/usr-sample.root"),
    "km3net dst": km3net("dst/mcv5.1.km3_numuCC.ALL.dst.bdt.10events.root"),
    "icecube": icecube,
    "simtel": simtel,
    "simulated": simulated,
    "store": store,
}


def resident() -> int:
    """Bytes of memory of this process that are in use."""
    gc.collect()
    give_back_memory()
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="asks Linux for the memory in use")
@pytest.mark.parametrize(
    "kind",
    [pytest.param(kind, marks=pytest.mark.cluster) if kind == "km3net dst" else kind for kind in INPUTS],
)
def test_files_do_not_stay_in_memory(kind, tmp_path, request):
    """Each is recognised, scanned and read, through what all inputs go through."""
    at, n_events = [], 0
    for path in INPUTS[kind](tmp_path, request):
        source = find_source(str(path))
        scan = border.scan(source, str(path), "skip")
        top = scan.schema.top
        columns = frozenset([f"{top.name}/{next(iter(top.variables))}"])
        (partition,) = border.read(source, scan, [(0, len(scan.rows[top.name]))], columns, "skip")
        n_events += partition.rows(top.name)
        at.append(resident() if len(at) in (N_FIRST, N_INPUTS - 1) else 0)
    assert len(at) == N_INPUTS
    assert n_events > 0
    assert at[-1] - at[N_FIRST] < MOST

"""Our own sources hold what `etendue.testing` asks of everybody's."""

from pathlib import Path

import pytest

import etendue as et
from etendue import testing
from etendue.dataflow.source import find_source

pytest.importorskip("km3net_testdata")
from km3net_testdata import data_path

KM3NET = ["online/km3net_online.root", "offline/numucc.root", "offline/km3net_offline.root"]
SIMTEL = ["digicampipe__1_triggered_events_10_TeV.simtel.gz", "simtools__xyzls_layout.simtel.gz"]
ICECUBE = ["i3/oscNext_noise_level3_v02_first_5_frames.i3.gz", "realtime_json/event_HESE_2017-11-28.json"]


@pytest.mark.parametrize("name", KM3NET)
def test_km3net(name, tmp_path):
    path = data_path(name)
    testing.check_source(find_source(path), path, tmp_path, n_damages=4)


@pytest.mark.parametrize("name", SIMTEL)
def test_simtel(name, shared, tmp_path):
    path = str(shared / "data/simtel" / name)
    testing.check_source(find_source(path), path, tmp_path, n_damages=4)


@pytest.mark.parametrize("name", ICECUBE)
def test_icecube(name, shared, tmp_path):
    path = str(shared / "data/icecube" / name)
    testing.check_source(find_source(path), path, tmp_path, n_damages=4)


def test_simulated(tmp_path):
    path = "simulated://gamma?n_showers=20&seed=1"
    testing.check_source(find_source(path), path, tmp_path)


def test_store(tmp_path):
    path = str(Path(tmp_path) / "s.etendue")
    et.open("simulated://gamma?n_showers=20&seed=1").columns("*").write(path, "p")
    testing.check_source(find_source(path), path, tmp_path)

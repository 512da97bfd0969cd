"""Best tracks: km3io's choice on seven files, and what must hold for any tracks."""

from __future__ import annotations

import json
from functools import cache
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from km3net_testdata import data_path

from etendue.dataflow.partition import Partition
from etendue.kernel import offsets
from etendue.neutrino.km3net.best_tracks import AT_LEAST, ENDS, RANGE, SEQUENCE, BestTrack, best_tracks, fits
from etendue.neutrino.km3net.definitions import FIT_PARAMETERS, STAGE_RANGES
from etendue.neutrino.km3net.truth import LeadingParticles
from etendue.neutrino.sources.km3net import KM3NeTSource

FILES = [
    "offline/km3net_offline.root",
    "offline/numucc.root",
    "offline/mcv6.0.gsg_muon_highE-CC_50-500GeV.km3sim.jterbr00008357.jorcarec.aanet.905.root",
    "offline/mcv5.1.genhen_anumuNC.sirene.jte.jchain.aashower.sample.root",
    "offline/mcv6.gsg_nue-CCHEDIS_1e4-1e6GeV.sirene.jte.jchain.aanet.1.root",
    "offline/KM3NeT_00000049_00011291.mc.gsg_neutrinos.km3sim_sirene_merged.jterbr.jppmuon_jppshower_static"
    ".offline.v9.2.sample.root",
    "dst/mcv6.gsg_numu-CCHEDIS_1e2-1e8GeV.sirene.jte.jchain.aashower.dst.bdt_trk.bdt_casc.10events.root",
]
CHAINS = ("jmuon", "jshower", "aashower", "dusjshower")


@cache
def whole(name: str) -> Partition:
    source = KM3NeTSource()
    scan = source.scan(f"{data_path(name)}#{name.partition('/')[0]}")
    columns = frozenset(f"{t.name}/{c}" for t in scan.schema.values() for c in t.variables)
    return next(iter(source.read(scan, [(0, len(scan.rows["events"]))], columns)))


@pytest.fixture(scope="module")
def reference(shared) -> dict:
    return json.loads((shared / "reference/km3net/best_tracks.json").read_text())


@pytest.mark.parametrize("chain", CHAINS)
@pytest.mark.parametrize("name", FILES, ids=lambda name: name[:40])
def test_equals_km3io(reference, name, chain):
    expected = reference[name]
    parameters = tuple(p for p in FIT_PARAMETERS if p.startswith("j"))
    found = BestTrack(label=chain, fit_parameters=parameters)(whole(name))
    found = {column.removeprefix(f"events/best_{chain}_"): values for column, values in found.items()}
    assert found["exists"].tolist() == expected[f"has_{chain}"]
    for event, track in enumerate(expected.get(f"best_{chain}", [])):
        if track is None:
            assert (found["index"][event], found["id"][event]) == (-1, -1)
            assert all(np.isnan(found[n][event]) for n in ("E", "lik", "pos_x", *parameters))
            continue
        for column in set(track) - {"rec_stages", "fitinf"}:
            assert found[column][event] == track[column], column
        for parameter in parameters:
            place, values = FIT_PARAMETERS[parameter], track["fitinf"]
            value = values[place] if place < len(values) else np.nan
            np.testing.assert_equal(found[parameter][event], value)


def test_angles_to_the_truth(shared):
    """Directions, energies and angles to the simulated muon (or neutrino) of km3io's best track."""
    reference = json.loads((shared / "reference/km3net/jmuon_vs_truth.json").read_text())
    for name, expected in reference.items():
        found = BestTrack()(whole(name)) | LeadingParticles()(whole(name))
        rows = np.array(expected["rows"])
        event = rows[:, 0].astype(int)
        best = np.stack([found[f"events/best_jmuon_dir_{axis}"] for axis in "xyz"], axis=-1)
        mu, nu = (np.stack([found[f"events/mc_{p}_dir_{a}"] for a in "xyz"], axis=-1) for p in ("mu", "nu"))
        truth = np.where(np.isnan(mu), nu, mu)[event]
        np.testing.assert_array_equal(best[event], rows[:, 2:5])
        np.testing.assert_array_equal(truth, rows[:, 5:8])
        # as the reference: some files give directions with 6 digits, which are not quite of unit length
        cos = np.einsum("ij,ij->i", best[event], truth)
        np.testing.assert_allclose(np.rad2deg(np.arccos(np.clip(cos, -1, 1))), rows[:, 10], atol=1e-5)
        assert found["events/best_jmuon_exists"].sum() == expected["n_reco"]


@pytest.mark.parametrize(
    ("selection", "how", "wanted"),
    [
        ({"startend": (1, 4)}, ENDS, (1, 4)),
        ({"minmax": (1, 5)}, RANGE, (1, 5)),
        ({"stages": (1, 2, 3, 4, 5)}, SEQUENCE, (1, 2, 3, 4, 5)),
        ({"atleast": frozenset({1, 3, 5})}, AT_LEAST, (1, 3, 5)),
    ],
)
@pytest.mark.parametrize("name", [FILES[0], FILES[1], FILES[6]], ids=lambda name: name[:40])
def test_other_selections_equal_km3io(name, selection, how, wanted):
    """The mask of each way to select, and the track that is chosen, as km3io's."""
    ak, km3io = pytest.importorskip("awkward"), pytest.importorskip("km3io")
    from km3io import tools

    partition = whole(name)
    names = {"atleast": "stages", "stages": "stages"}
    arguments = {names.get(key, key): value for key, value in selection.items()}
    if "stages" in arguments:
        arguments["stages"] = set(wanted) if how == AT_LEAST else list(wanted)
    with km3io.OfflineReader(data_path(name)) as reader:
        tracks = reader.events.tracks
        best = tools.best_track(tracks, **arguments)
        expected = ak.fill_none(best.id, -1).to_numpy()
        masks = {ENDS: "startend", RANGE: "minmax", SEQUENCE: "sequence", AT_LEAST: "atleast"}
        mask = ak.flatten(tools.mask(tracks.rec_stages, **{masks[how]: list(wanted)})).to_list()
    starts, stages = partition.offsets("rec_stages"), partition["rec_stages/rec_stage"]
    values = np.array(wanted, dtype=np.int32)
    assert [fits(stages[a:b], how, values) for a, b in pairwise(starts)] == mask
    found = BestTrack(label="mine", **selection)(partition)
    np.testing.assert_array_equal(found["events/best_mine_id"], expected)


def test_parameters_are_checked():
    with pytest.raises(ValueError, match="a label of jmuon, jshower"):
        BestTrack(label="mine")
    with pytest.raises(ValueError, match="not minmax and stages"):
        BestTrack(minmax=(0, 9), stages=(1,))
    with pytest.raises(ValueError, match="no fit parameter 'beta'"):
        BestTrack(fit_parameters=("beta",))


tracks = st.lists(
    st.lists(
        st.tuples(
            st.lists(st.integers(-1, 6), max_size=4), st.sampled_from([-1.0, 0.0, 1.0, 2.0, np.nan, -np.inf])
        ),
        max_size=6,
    ),
    max_size=5,
)


def arrays(events) -> tuple[np.ndarray, ...]:
    flat = [track for event in events for track in event]
    return (
        offsets(np.array([len(event) for event in events], dtype=np.int64)),
        offsets(np.array([len(stages) for stages, _ in flat], dtype=np.int64)),
        np.array([stage for stages, _ in flat for stage in stages], dtype=np.int32),
        np.array([likelihood for _, likelihood in flat], dtype=np.float64),
    )


@given(events=tracks)
@settings(max_examples=200)
def test_best_is_the_greatest(events):
    """The longest chain of stages in the range, then the greatest likelihood, then the first."""
    low, high = 1, 5
    starts, *rest = arrays(events)
    best = best_tracks(starts, *rest, RANGE, np.array([low, high], dtype=np.int32))
    for event, row, start in zip(events, best, starts, strict=False):
        allowed = [i for i, (s, _) in enumerate(event) if s and all(low <= stage <= high for stage in s)]
        if not allowed:
            assert row == -1
            continue
        order = [(len(event[i][0]), -np.inf if np.isnan(event[i][1]) else event[i][1]) for i in allowed]
        chosen = allowed.index(row - start)
        assert order[chosen] == max(order)
        same = [i for i, key in enumerate(order) if key == max(order) and not np.isnan(event[allowed[i]][1])]
        assert not same or chosen == same[0]


@given(events=tracks, cut=st.integers(0, 5))
@settings(max_examples=100)
def test_independent_of_partitions(events, cut):
    wanted = np.array(STAGE_RANGES["jmuon"], dtype=np.int32)
    starts, *rest = arrays(events)
    best = best_tracks(starts, *rest, RANGE, wanted)
    place = np.where(best >= 0, best - starts[:-1], -1)
    parts = []
    for events_of_part in (events[:cut], events[cut:]):
        first, *other = arrays(events_of_part)
        found = best_tracks(first, *other, RANGE, wanted)
        parts.append(np.where(found >= 0, found - first[:-1], -1))
    np.testing.assert_array_equal(np.concatenate(parts), place)

"""What verbs say to other programs."""

import json

import numpy as np
import pytest
from click.testing import CliRunner

import etendue as et
from etendue.cli import main
from etendue.cli.output import print_json

RUN = "simulated://gamma?n_showers=5&seed=1"


def told(*words):
    """The JSON of a verb, strictly: no NaN."""

    def refuse(word):
        raise ValueError(word)

    done = CliRunner().invoke(main, [*words, "--json"])
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout, parse_constant=refuse)


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    store = str(tmp_path_factory.mktemp("json") / "crab.etendue")
    return store, told("run", "iact", RUN, "--into", store, "--pass", "a")


def test_run(store):
    place, facts = store
    assert (facts["store"], facts["pass"], facts["failures"], facts["events_lost"]) == (place, "a", [], 0)
    tree = et.load(place, "a")
    for name in ("events", "simcam"):
        assert facts["rows"][name] == next(iter(tree[name].sizes.values()))
    assert facts["cpu_seconds"]["read"] > 0
    assert facts["snapshot"] == et.passes(place)[0].snapshot


def test_info(store):
    place, _ = store
    tree = et.load(place, "a")
    facts = told("info", f"{place}@a")
    assert facts["source"] == "store"
    assert facts["tables"]["events"]["rows"] == tree["events"].sizes["event"]
    found = facts["tables"]["simcam"]["columns"]["hillas_length"]
    assert found["units"] == tree["simcam/hillas_length"].attrs["units"]
    assert found["dtype"] == str(tree["simcam/hillas_length"].dtype)
    assert facts["tables"]["camera/simcam"]["role"] == "static"


def test_info_of_several_inputs():
    runs = [RUN, "simulated://gamma?n_showers=7&seed=2"]
    one, other = (told("info", run) for run in runs)
    both = told("info", *runs)
    assert [found["path"] for found in both["inputs"]] == runs
    assert (both["source"], both["runs"]) == ("simulated", 2)
    for table in ("events", "simcam", "observation"):
        assert both["tables"][table]["rows"] == sum(run["tables"][table]["rows"] for run in (one, other))


def test_info_of_a_directory_with_a_broken_file(tmp_path):
    (tmp_path / "a.simtel").write_bytes(b"\x37\x8a\x1f\xd4" + bytes(40))
    failed = CliRunner().invoke(main, ["info", str(tmp_path)])
    assert failed.exit_code == 1
    found = told("info", RUN, str(tmp_path), "--on-error", "skip")
    assert [failure["path"] for failure in found["failures"]] == [str(tmp_path / "a.simtel")]
    assert [one["path"] for one in found["inputs"]] == [RUN]


def test_plan(store):
    _, run = store
    facts = told("plan", "iact", RUN)
    assert facts["inputs"][0]["path"] == RUN
    assert facts["rows"]["events"] == run["rows_read"]["events"]
    assert facts["peak_bytes"] > 0
    assert "simcam/hillas_length" in facts["writes"]


def test_the_others(store):
    place, _ = store
    assert told("log", place)[0]["tag"] == "a"
    assert [verdict["damaged"] for verdict in told("verify", place).values()] == [[]]
    assert told("gc", place, "--dry-run")["dry_run"] is True
    assert told("stages", "iact.Clean")["iact.Clean"]["parameters"]


def test_what_is_no_number_in_json(capsys):
    print_json({"a": float("nan"), "b": [float("inf"), 1.5], "c": (True, None, np.float64("nan"))})
    assert json.loads(capsys.readouterr().out) == {"a": None, "b": [None, 1.5], "c": [True, None, None]}

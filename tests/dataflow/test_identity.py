"""One pass, one state of what its stages bring: files, values, code."""

import logging
import subprocess
import sys
import types
from pathlib import Path
from textwrap import dedent

import numpy as np
import pytest

import etendue as et
from etendue.dataflow import identity as identity_module
from etendue.dataflow.fingerprint import Fingerprint, same_part
from etendue.dataflow.outside import code_of, files_of
from etendue.dataflow.source import SourceError
from etendue.provenance import activities, document
from etendue.store import PassExistsError
from etendue.store.reader import PassReader

from .test_passes import Killed, flow_of, kill_after


class Shift(et.Stage):
    """Add the number in a file to each charge."""

    file: et.BroughtFile
    more: dict[str, et.BroughtFile] = {}  # noqa: RUF012

    reads = ("hits/charge",)
    writes = {"hits/shifted": ("hit", "float32", "pe")}  # noqa: RUF012

    def __call__(self, partition):
        return {"hits/shifted": partition["hits/charge"] + np.float32(Path(self.file).read_text())}


class ByValue(et.Stage):
    """Scale by what is given as an array."""

    table: object

    reads = ("hits/charge",)
    writes = {"hits/scaled": ("hit", "float32", "pe")}  # noqa: RUF012

    def __call__(self, partition):
        return {"hits/scaled": partition["hits/charge"] * np.float32(self.table["factor"][0])}


@pytest.fixture
def calibration(tmp_path):
    file = tmp_path / "shift.txt"
    file.write_text("1000")
    return file


def test_a_changed_file_is_refused_with_stage_file_and_both_checksums(toy, tmp_path, calibration):
    first, second = toy("a", "toy 20 1"), toy("b", "toy 10 2")
    stage = Shift(file=str(calibration))
    flow_of(first, stages=stage).write(tmp_path / "s", "p")
    old = files_of([stage])[0].sha256
    calibration.write_text("2000")
    new = files_of([stage])[0].sha256
    with pytest.raises(PassExistsError) as caught:
        flow_of(first, second, stages=stage).write(tmp_path / "s", "p")
    message = str(caught.value)
    assert all(text in message for text in ("Shift).file", str(calibration), old, new))
    calibration.write_text("1000")
    assert flow_of(first, second, stages=stage).write(tmp_path / "s", "p").rows["events"] == 10


def test_the_same_contents_under_another_name_are_the_same(toy, tmp_path, calibration):
    first, second = toy("a", "toy 20 1"), toy("b", "toy 10 2")
    flow_of(first, stages=Shift(file=str(calibration))).write(tmp_path / "s", "p")
    moved = calibration.rename(tmp_path / "moved.txt")
    assert (
        flow_of(first, second, stages=Shift(file=str(moved))).write(tmp_path / "s", "p").rows["events"] == 10
    )


@pytest.mark.parametrize("how", ["retry_failed", "repair"])
def test_retries_and_repairs_want_the_same_files_too(toy, tmp_path, calibration, how):
    path = toy("a", "toy 20 1 broken 3")
    flow = flow_of(path, stages=Shift(file=str(calibration)), on_error="skip")
    flow.write(tmp_path / "s", "p")
    calibration.write_text("2000")
    with pytest.raises(PassExistsError, match="SHA-256"):
        flow.write(tmp_path / "s", "p", **{how: True})


def test_an_interrupted_run_wants_the_same_files(toy, tmp_path, calibration, monkeypatch):
    paths = [toy("a", "toy 30 1"), toy("b", "toy 10 1")]
    flow = flow_of(*paths, stages=Shift(file=str(calibration)))
    with monkeypatch.context() as patch:
        kill_after(1, patch)
        with pytest.raises(Killed):
            flow.write(tmp_path / "s", "p")
    calibration.write_text("2000")
    with pytest.raises(PassExistsError, match="SHA-256"):
        flow.write(tmp_path / "s", "p")


@pytest.mark.parametrize("on_error", ["raise", "skip"])
def test_a_file_that_changes_during_the_run_ends_it(toy, tmp_path, calibration, on_error):
    @et.stage(reads="hits/shifted", writes={"hits/same": ("hit", "float32", "pe")})
    def meddle(shifted):
        calibration.write_text("2000")
        return {"hits/same": shifted}

    flow = flow_of(toy("a", "toy 30 1"), stages=Shift(file=str(calibration)), on_error=on_error)
    with pytest.raises(SourceError, match="not what it was when the run began"):
        (flow | meddle).write(tmp_path / "s", "p")


def test_files_are_found_wherever_parameters_name_them(tmp_path, calibration):
    class Inner(et.Pipeline.__base__):
        table: str = ""

    class Wide(Shift):
        inner: Inner = Inner()
        places: tuple[Path, ...] = ()
        text: str = ""
        column: str = "events/time"

    named = [tmp_path / f"{n}.npy" for n in range(4)]
    for n, file in enumerate(named):
        file.write_bytes(bytes([n]))
    stage = Wide(
        file=str(calibration),
        more={"b.c": str(named[0])},
        inner=Inner(table=str(named[1])),
        places=(named[2],),
        text=str(named[3]),
    )
    found = {file.place: file.path for file in files_of([stage])}
    assert found == {
        ("file",): str(calibration),
        ("more", "b.c"): str(named[0]),
        ("inner", "table"): str(named[1]),
        ("places", 0): str(named[2]),
        ("text",): str(named[3]),
    }
    with pytest.raises(SourceError, match=r"gone\.txt: file: cannot be read.*Shift: file"):
        files_of([Shift(file="gone.txt")])


def test_a_folder_counts_with_all_that_is_in_it(tmp_path):
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "a").write_text("1")
    before = files_of([Shift(file=str(folder))])[0].sha256
    (folder / "a").rename(folder / "b")
    assert files_of([Shift(file=str(folder))])[0].sha256 != before


def test_every_stage_of_ours_declares_its_files():
    """A parameter of a registered stage that is described as a file has the type that counts."""
    from etendue.dataflow.parameters import Brought
    from etendue.dataflow.registry import registered_stages

    marked, described = set(), set()
    for name, cls in registered_stages().items():
        for field_name, field in cls.model_fields.items():
            if any(isinstance(mark, Brought) for mark in field.metadata):
                marked.add(f"{name}.{field_name}")
            if field.annotation in (str, str | None) and "file" in (field.description or "").split():
                described.add(f"{name}.{field_name}")
    assert described <= marked
    assert marked >= {
        "icecube.PlacePulses.geometry",
        "km3net.CalibrateHits.detector",
        "km3net.MatchTruth.file",
        "km3net.ReconstructMuon.detector",
        "km3net.ReconstructShower.detector",
    }


def test_arrays_that_are_passed_count_by_their_values(toy, tmp_path):
    path, other = toy("a", "toy 20 1"), toy("b", "toy 10 2")
    flow_of(path, stages=ByValue(table={"factor": np.array([2.0])})).write(tmp_path / "s", "p")
    again = flow_of(path, other, stages=ByValue(table={"factor": np.array([2.0])}))
    assert again.write(tmp_path / "s", "p").rows["events"] == 10
    with pytest.raises(PassExistsError, match="ByValue"):
        flow_of(path, other, stages=ByValue(table={"factor": np.array([7.0])})).write(tmp_path / "s", "p")


NOTEBOOK = """
import numpy as np
import etendue as et

FACTOR = {factor}

def helper(x):
    "{doc}"
    return {helper} * x

def make(inner):
    @et.stage(reads="hits/charge", writes={{"hits/made": ("hit", "float32", "pe")}})
    def made(charge, *, offset: float = 0.0):
        # {comment}
        return {{"hits/made": ({body} * FACTOR * helper(charge) * inner + offset).astype(np.float32)}}
    return made

made = make({inner})
"""
AS_IT_WAS = {"factor": 1, "doc": "", "helper": 1, "comment": "", "body": 2, "inner": 1}


def notebook(**changes):
    """The stage of a notebook, whose text nobody has: run as a cell is."""
    module = types.ModuleType("__main__")
    exec(compile(NOTEBOOK.format(**AS_IT_WAS | changes), "<cell>", "exec"), module.__dict__)
    return module.made


@pytest.mark.parametrize("change", [{"body": 7}, {"factor": 7}, {"helper": 7}, {"inner": 7}])
def test_code_is_told_apart_with_all_that_it_uses(change):
    assert code_of(notebook()) == code_of(notebook(doc="it helps"))
    assert code_of(notebook(**change)) != code_of(notebook())


def test_edited_code_is_refused(toy, tmp_path):
    first, second = toy("a", "toy 20 1"), toy("b", "toy 10 2")
    flow_of(first, stages=notebook()).write(tmp_path / "s", "p")
    with pytest.raises(PassExistsError, match=r"stage\[0\] \(__main__:.*made\)"):
        flow_of(first, second, stages=notebook(body=7)).write(tmp_path / "s", "p")
    again = notebook(doc="it helps", comment="said otherwise")
    assert flow_of(first, second, stages=again).write(tmp_path / "s", "p").rows["events"] == 10


def test_the_fingerprint_is_the_same_in_another_process(tmp_path):
    (tmp_path / "homemade.py").write_text(
        NOTEBOOK.format(**AS_IT_WAS)
        + 'KINDS = {"a", "b", "c"}\ndef f(x): return x in KINDS or x in {"d", "e"}\n'
    )
    code = (
        "import homemade; from etendue.dataflow.fingerprint import Fingerprint as F;"
        "print(sorted({**F.of(homemade.f).parts, **F.of(homemade.made).parts}.items()))"
    )
    said = {
        subprocess.run(
            [sys.executable, "-c", code],
            env={"PYTHONPATH": str(tmp_path), "PYTHONHASHSEED": seed, "PATH": ""},
            capture_output=True,
            check=True,
            text=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert len(said) == 1
    assert "homemade.KINDS" in said.pop()


def test_code_of_another_python_is_compared_by_its_text():
    assert same_part("3.12 aa tt", "3.13 bb tt")
    assert not same_part("3.12 aa tt", "3.12 bb tt")
    assert same_part("3.12 aa tt", "3.12 aa uu")  # comments are not code
    assert not same_part("3.12 aa -", "3.13 bb -")


def test_a_file_that_stands_in_the_code_counts(toy, tmp_path):
    table = tmp_path / "table.txt"
    table.write_text("2")

    def made():
        module = types.ModuleType("__main__")
        text = f"""
        import etendue as et
        @et.stage(reads="hits/charge", writes={{"hits/made": ("hit", "float32", "pe")}})
        def made(charge):
            return {{"hits/made": charge * float(open({str(table)!r}).read())}}
        """
        exec(dedent(text), module.__dict__)
        return module.made

    first, second = toy("a", "toy 20 1"), toy("b", "toy 10 2")
    flow_of(first, stages=made()).columns("hits/charge").write(tmp_path / "s", "p")
    table.write_text("7")
    with pytest.raises(PassExistsError, match=r"table\.txt"):
        flow_of(first, second, stages=made()).columns("hits/charge").write(tmp_path / "s", "p")


PLUGIN = """
import etendue as et
from .kernels import FACTOR

class Scale(et.Stage):
    reads = ("hits/charge",)
    writes = {"hits/made": ("hit", "float32", "pe")}

    def __call__(self, partition):
        return {"hits/made": partition["hits/charge"] * FACTOR}
"""


def install(folder, version, factor):
    """Install a plug-in as a package with metadata, in a folder."""
    facts, code = folder / f"scaling-{version}.dist-info", folder / "scaling"
    for made in (facts, code):
        made.mkdir(parents=True, exist_ok=True)
    (facts / "METADATA").write_text(f"Metadata-Version: 2.1\nName: scaling\nVersion: {version}\n")
    (facts / "entry_points.txt").write_text("[etendue.stages]\nscaling.Scale = scaling.stages:Scale\n")
    (code / "__init__.py").write_text("")
    (code / "kernels.py").write_text(f"import numpy as np\nFACTOR = np.float32({factor})\n")
    (code / "stages.py").write_text(PLUGIN)


def identity_in_another_process(folder):
    """What a process that has the plug-in notes of its stage."""
    code = (
        "import json; from etendue.dataflow.outside import code_of; from etendue.dataflow.registry import "
        "find_stage; print(json.dumps(code_of(find_stage('scaling.Scale'))))"
    )
    env = {"PYTHONPATH": str(folder), "PATH": ""}
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, check=True, text=True)
    import json

    return json.loads(done.stdout)


def test_a_plugin_counts_by_version_and_by_what_is_in_it(tmp_path):
    for name, version, factor in (("a", "1.0", 2), ("b", "1.0", 2), ("c", "1.0", 7), ("d", "1.1", 2)):
        install(tmp_path / name, version, factor)
    first, same, other_code, other_version = (identity_in_another_process(tmp_path / n) for n in "abcd")
    assert first["package scaling"].startswith("1.0 ")
    assert first == same
    assert first != other_code
    assert other_version["package scaling"].startswith("1.1 ")


def test_a_pass_of_before_is_added_to_with_words(toy, tmp_path, calibration, caplog):
    first, second = toy("a", "toy 20 1"), toy("b", "toy 10 2")
    stage = Shift(file=str(calibration))
    real = identity_module.identity_of

    def as_before(*args, **kwargs):
        made = real(*args, **kwargs)
        return {part: value for part, value in made.items() if part not in ("stages", "sources")}

    with pytest.MonkeyPatch.context() as patch:
        from etendue.dataflow import passes

        patch.setattr(passes, "identity_of", as_before)
        patch.setattr(passes, "brought_files", lambda identity: ())
        patch.setattr(passes, "code_of_sources", lambda *_: {})
        flow_of(first, stages=stage).write(tmp_path / "s", "p")
    assert "stages" not in PassReader.open(str(tmp_path / "s")).attributes["identity"]
    with caplog.at_level(logging.WARNING):
        assert flow_of(first, second, stages=stage).write(tmp_path / "s", "p").rows["events"] == 10
    assert "not noted" in caplog.text
    assert str(calibration) in caplog.text
    calibration.write_text("2000")
    with pytest.raises(PassExistsError, match="SHA-256"):
        flow_of(first, second, toy("c", "toy 5 3"), stages=stage).write(tmp_path / "s", "p")


def test_the_record_names_the_files(toy, tmp_path, calibration):
    flow_of(toy("a", "toy 20 1"), stages=Shift(file=str(calibration))).write(tmp_path / "s", "p")
    record = document(tmp_path / "s")
    (made,) = activities(record)
    stage = next(b for b in made.brought if "stage" in b)
    assert [(f["path"], f["sha256"]) for f in stage["files"]] == [
        (str(calibration), files_of([Shift(file=str(calibration))])[0].sha256)
    ]
    assert stage["code"]
    (name,) = [n for n in record["entity"] if n.startswith("etendue:file/")]
    assert any(used["prov:entity"] == name for used in record["used"].values())


def test_what_a_class_uses_is_in_its_fingerprint():
    parts = Fingerprint.of(Shift).parts
    assert any(name.endswith("Shift.__call__") for name in parts)
    assert not any("pydantic" in name or "etendue" in name for name in parts)

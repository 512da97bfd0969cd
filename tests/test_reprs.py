"""What objects say of themselves: short, whole lines, and names from files escaped."""

import html.parser
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import etendue as et
from etendue.reprs import LINES, WIDTH, card, collapsed, lines
from etendue.schema import Schema, Table, Variable
from etendue.store.diff import diff
from etendue.store.history import history
from etendue.store.verify import verify

#: What would run, were it not escaped.
WILD = "<script>alert('x')</script>&<img src=x onerror=alert(1)>"


class Tags(html.parser.HTMLParser):
    def __init__(self, text):
        super().__init__()
        self.found, self.open = set(), []
        self.feed(text)
        assert not self.open

    def handle_starttag(self, tag, attrs):
        self.found.add(tag)
        assert not any(name.startswith("on") for name, _ in attrs)
        self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def check(shown, *, most=LINES):
    """Short text, and HTML below 50 kB of tags that do nothing."""
    text = repr(shown)
    assert text.count("\n") < most
    assert max(map(len, text.splitlines())) <= WIDTH
    page = shown._repr_html_()
    assert len(page) < 50_000
    assert Tags(page).found <= {"div", "b", "table", "tr", "th", "td", "details", "summary"}
    return text, page


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    store = tmp_path_factory.mktemp("reprs") / "crab.etendue"
    flow = et.open("simulated://gamma?n_showers=9&seed=1", "simulated://gamma?n_showers=3&seed=2")
    flow |= et.find_pipeline("iact")
    summary = flow.write(store, tag="a", quiet=True)
    (flow | et.iact.Clean(picture=9)).write(store, tag="b", quiet=True)
    return str(store), flow, summary


def test_what_a_run_leaves_is_told_in_ten_lines(store):
    _, flow, summary = store
    assert "written of" in check(summary)[0]
    assert "2 (" in check(flow.plan())[0]
    check(flow)
    check(flow.inputs)
    check(flow.inputs.scans[0])
    check(flow.plan().pipeline)
    check(summary.outcome)
    assert "hillas_intensity" in check(flow.schema)[1]
    assert "hillas_intensity" in check(flow.schema["simcam"])[1]


def test_what_a_store_holds_is_told_in_ten_lines(store):
    place, _, _ = store
    text, page = check(et.passes(place))
    assert "a " in text
    assert "UTC" in page
    check(et.passes(place)[0])
    check(verify(place, "a"))
    for revision in history(place):
        check(revision)
    found = diff(f"{place}@a", f"{place}@b")
    assert found.columns
    assert f"{len(found.columns)} columns" in check(found)[0]
    for column in found.columns:
        check(column)


def test_a_tree_fits_on_a_page_and_does_not_unfold_its_record(store):
    place, flow, _ = store
    for tree in (et.load(place, "a"), flow.preview(2)):
        text, page = check(tree, most=30)
        assert "/simcam" in text
        assert "hillas_intensity" in page
        assert "etendue:input/0" not in page
        check(tree["camera"], most=30)
    provenance = et.load(place, "a").attrs["provenance"]
    assert provenance["activity"].keys() == {"etendue:run/0"}
    assert len(repr(provenance)) < WIDTH


def test_twenty_thousand_inputs_do_not_make_a_long_page(store):
    _, flow, _ = store
    many = replace(flow, paths=tuple(f"/data/{n:06}.simtel.zst" for n in range(20_000)))
    assert "20,000" in check(many)[1]
    scans = tuple(replace(flow.inputs.scans[0], path=path) for path in many.paths)
    assert "... and " in check(replace(flow.inputs, scans=scans))[1]


def test_names_from_files_are_text():
    column = Variable(WILD, ("event",), "int32", WILD, WILD)
    table = Table(WILD, "event", {WILD: column}, description=WILD)
    for shown in (table, Schema({WILD: table})):
        assert "&lt;script&gt;" in check(shown)[1]
    flow = et.open(f"/data/{WILD}.simtel").columns(WILD)

    @et.stage(reads="events/x", writes={"events/y": ("event", "float64", "m")})
    def mine(x):
        return {"y": x}

    check(flow | et.iact.SelectEventType() | mine)
    from etendue.dataflow.doors import to_xarray

    name = WILD.replace("/", "")  # of which xarray makes paths
    table = Table("t", "event", {name: column})
    tree = to_xarray(Schema({"t": table}), {"t": {name: np.zeros(2, "int32")}})
    tree.attrs["name"] = WILD
    assert "&lt;script&gt;" in check(tree)[1]


def test_long_facts_are_cut_and_short_values_stay():
    facts = {f"fact {n}": "x" * 1000 for n in range(100)}
    text = lines("<It>", facts)
    assert text.count("\n") == LINES - 1
    assert text.endswith("and 92 more")
    assert max(map(len, text.splitlines())) == WIDTH
    assert collapsed({"a": 1}) == {"a": 1}
    assert repr(collapsed({"a": 1})) == "{'a': 1}"
    record = {str(n): n for n in range(1000)}
    assert collapsed(record) == record
    assert len(repr(collapsed(record))) < WIDTH
    assert repr(collapsed(list(range(1000)))) == "<1000 entries>"


@given(
    st.text(), st.dictionaries(st.text(), st.text(), max_size=20), st.lists(st.lists(st.text(), max_size=3))
)
def test_any_text_makes_a_well_formed_page(title, facts, rows):
    page = card(title, facts, [(title, ("a", "b"), rows)])
    assert Tags(page).found <= {"div", "b", "table", "tr", "th", "td", "details", "summary"}
    assert all(len(line) <= WIDTH for line in lines("t", facts).splitlines())


def test_column_names_with_dollars_can_be_drawn(tmp_path, store):
    from etendue.store.draw import draw

    place, _, _ = store
    found = diff(f"{place}@a", f"{place}@b")
    found.columns[0].name = "simcam/a $\\frac{x$ b"
    found.columns[0].units = "$\\bad{$"
    (picture, *_) = draw(found, tmp_path / "moved.png", 3)
    assert Path(picture).stat().st_size > 0

"""Names that parameters give take the place of nothing."""

import numpy as np
import pytest
from pydantic import Field

import etendue as et
from etendue.dataflow.pipeline import Pipeline, PipelineError
from etendue.dataflow.stage import Stage
from etendue.schema import Table, Variable, variables


class Late(Stage):
    """A number an event, under a name that a parameter gives."""

    output: str = Field("late", description="what the columns' names begin with")
    about: str = Field("a number", description="what it is")

    def provides(self, schema):
        return {
            f"events/{self.output}_x": Variable(f"{self.output}_x", ("event",), "float64", "", self.about)
        }

    def __call__(self, partition):
        return {f"events/{self.output}_x": np.zeros(partition.rows("events"))}


class Groups(Stage):
    """An empty table, under a name that a parameter gives."""

    output: str = Field("groups", description="name of the table")

    def makes(self, schema):
        return [Table(self.output, "group", variables("group", size=("int32", "", "size")), parent="events")]

    def __call__(self, partition):
        n_events = partition.rows("events")
        counts = np.zeros(n_events, np.int32)
        return {f"{self.output}/size": np.empty(0, np.int32), f"events/n_{self.output}": counts}


@et.stage(reads="events/time", writes={"events/time": ("event", "float64", "s", "in another epoch")})
def moved(time):
    return {"events/time": time + 1}


@pytest.fixture
def stored(toy):
    """The schema of events that have a column late_x, of another origin."""
    schema = et.open(toy("a", "toy 3 1")).schema
    late = Variable("late_x", ("event",), "float64", "", "what an earlier job found")
    return schema.with_variables({"events/late_x": late})


def test_a_name_that_the_input_has_is_refused(stored):
    with pytest.raises(
        PipelineError, match=r"'Late' would make the column 'events/late_x', which the input has"
    ):
        (Pipeline() | Late()).check(stored)
    with pytest.raises(PipelineError, match="give it output='late_2'"):
        (Pipeline() | Late()).check(stored)
    assert "events/late_2_x" in (Pipeline() | Late(output="late_2")).check(stored).schema


def test_a_name_that_an_earlier_stage_made_is_refused(toy):
    flow = et.open(toy("a", "toy 3 1")) | Late() | Late()
    with pytest.raises(PipelineError, match="which stage 'Late' makes already"):
        flow.plan()


def test_a_table_that_is_there_is_refused(toy):
    flow = et.open(toy("a", "toy 3 1")) | Groups(output="hits")
    with pytest.raises(PipelineError, match="would make the table 'hits', which the input has already"):
        flow.plan()
    with pytest.raises(PipelineError, match="the table 'groups', which stage 'Groups' makes"):
        (et.open(toy("a", "toy 3 1")) | Groups() | Groups()).plan()


def test_a_pass_can_be_made_anew_from_itself(toy, tmp_path):
    store = str(tmp_path / "s.etendue")
    (et.open(toy("a", "toy 3 1")) | Late() | Groups()).write(store, tag="one", quiet=True)
    (et.open(f"{store}@one") | Late() | Groups()).write(store, tag="two", quiet=True)
    assert et.load(store, "two")["events"]["late_x"].values.tolist() == [0.0] * 3


def test_a_declared_column_is_made_anew(toy):
    times = (et.open(toy("a", "toy 3 1")) | moved()).compute()["events"]["time"]
    assert times.values.tolist() == [1.0, 1.5, 2.0]

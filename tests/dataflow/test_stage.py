"""What a stage may bring into a run from outside."""

import numpy as np

import etendue as et
from etendue.schema import Table, variables

GAINS = Table(name="gains", dim="channel", role="static", variables=variables("channel", gain=("float32",)))
VALUES = np.array([1, 2, 4], dtype=np.float32)


class Amplify(et.Stage):
    """Multiply each charge with the gain of a channel."""

    reads = ("hits/charge",)
    writes = {"hits/amplified": ("hit", "float32", "pe")}  # noqa: RUF012

    channel: int = 1

    def brings(self):
        return {GAINS.name: (GAINS, {"gain": VALUES})}

    def __call__(self, partition):
        gain = partition.conditions["gains"]["gain"][self.channel]
        return {"hits/amplified": partition["hits/charge"] * gain}


def test_what_a_stage_brings_is_at_hand_and_stored_with_the_pass(toy, tmp_path):
    flow = et.open(toy("a", "toy 7 1")) | Amplify(channel=2)
    store = tmp_path / "s.etendue"
    flow.write(store, "p")
    tree = et.load(store, tag="p")
    np.testing.assert_array_equal(tree["gains/gain"].values, VALUES)
    np.testing.assert_array_equal(tree["hits/amplified"].values, 4 * tree["hits/charge"].values)
    again = (et.open(f"{store}@p") | Amplify(channel=0)).compute()
    np.testing.assert_array_equal(again["hits/amplified"].values, tree["hits/charge"].values)
    np.testing.assert_array_equal(again["gains/gain"].values, VALUES)

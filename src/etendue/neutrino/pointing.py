"""Where on the sky reconstructed particles come from."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import numpy as np
from pydantic import Field

from etendue.dataflow.partition import Partition
from etendue.dataflow.stage import Stage
from etendue.neutrino import sky
from etendue.neutrino.schema import DETECTOR_FILE
from etendue.schema import Columns, Schema, Variable

_VECTOR = ("dir_x", "dir_y", "dir_z")
_ANGLES = ("zenith", "azimuth")
_ADVICE = (
    "give site (arca, orca, antares, icecube), or calibrate with a detector file that has a UTM position"
)


class PointToSky(Stage):
    """Equatorial and galactic coordinates of where a particle of each event comes from.

    Where the detector is follows from the inputs: .i3 files and messages are IceCube's, KM3NeT's detector
    files hold their origin, and some detectors are known by number (`sky.site_of_detector`). Otherwise
    ``site`` says it. Events whose direction is not known get NaN.
    """

    particle: str = Field("muon", description="prefix of its columns: muon_dir_x... or LineFit_zenith...")
    site: Literal["arca", "orca", "antares", "icecube"] | None = Field(
        None, description="where the detector is; by default where the inputs say"
    )

    def check(self, schema: Schema, static: Mapping[str, Columns]) -> None:
        """See that the site of every input is known, and that it is the one that is given."""
        self._sites(static)

    def _sites(self, static: Mapping[str, Columns]) -> dict[int, sky.Site]:
        """The site of each input, by its number in ``/observation``."""
        given = None if self.site is None else sky.site(self.site)
        sites = sites_of_inputs(static)
        for run, found in sites.items():
            if given is None and found is None:
                raise sky.SkyError(f"input {run} does not say where its detector is: {_ADVICE}")
            if given and found and not given.is_near(found):
                message = f"site is {self.site!r}, but input {run} is of {found.name}: leave site out"
                raise sky.SkyError(message)
        return {run: given or found for run, found in sites.items()}

    def requires(self, schema: Schema) -> list[str]:
        """The event's time and the components of the direction, whichever the particle has."""
        columns = schema["events"].variables if "events" in schema else {}
        parts = _ANGLES if f"{self.particle}_zenith" in columns else _VECTOR
        run = ["events/run"] if "run" in columns else []
        return ["events/time", *(f"events/{self.particle}_{part}" for part in parts), *run]

    def provides(self, schema: Schema) -> dict[str, Variable]:
        """Columns ``<particle>_ra``, ``_dec``, ``_gal_lon``, ``_gal_lat``."""
        meanings = {
            "ra": "right ascension (ICRS) that it comes from",
            "dec": "declination (ICRS) that it comes from",
            "gal_lon": "galactic longitude that it comes from",
            "gal_lat": "galactic latitude that it comes from",
        }
        return {
            f"events/{self.particle}_{name}": Variable(
                f"{self.particle}_{name}", ("event",), "float64", "deg", meaning
            )
            for name, meaning in meanings.items()
        }

    def __call__(self, partition: Partition) -> dict[str, np.ndarray]:
        """Compute the coordinates of all events at once."""
        _, *names = self.requires(partition.schema)
        parts = [np.asarray(partition[name], dtype=np.float64) for name in names if name != "events/run"]
        known = np.all(np.isfinite(parts), axis=0)
        sites = self._sites(partition.conditions)
        run = partition["events/run"] if len(sites) > 1 else np.full(len(known), *sites)
        made = {name: np.full(len(known), np.nan) for name in self.provides(partition.schema)}
        for number in np.unique(run[known]):
            rows = np.flatnonzero(known & (run == number))
            direction = [part[rows] for part in parts]
            vectors = sky.angles_to_vectors(*direction) if len(direction) == 2 else tuple(direction)
            time, where = partition["events/time"][rows], sites[int(number)]
            found = (*sky.to_equatorial(vectors, time, where), *sky.to_galactic(vectors, time, where))
            for column, values in zip(made.values(), found, strict=True):
                column[rows] = values
        return made


def sites_of_inputs(static: Mapping[str, Columns]) -> dict[int, sky.Site | None]:
    """Where the detectors of inputs are, by the inputs' numbers in ``/observation``.

    Parameters
    ----------
    static : mapping of str to dict of str to array
        Static tables of the inputs and of stages.

    Returns
    -------
    dict of int to Site
        None where nothing says it.
    """
    observation = static.get("observation", {})
    runs = observation.get("run", np.zeros(1, np.uint32))
    if "frame_objects" in static:  # of .i3 files and messages
        return {int(run): sky.site("icecube") for run in runs}
    numbers = observation.get("det_id", np.full(len(runs), -1))
    of_file = static.get(DETECTOR_FILE.name)
    if of_file is not None:
        origin = sky.Site.of_grid(
            f"detector {of_file['det_id'][0]}",
            str(of_file["utm_grid"][0]),
            *(float(of_file[f"utm_{name}"][0]) for name in ("easting", "northing", "height")),
        )
        if origin is not None:
            return {int(run): origin for run in runs}
        numbers = np.where(numbers > 0, numbers, of_file["det_id"][0])
    return {int(run): sky.site_of_detector(int(n)) for run, n in zip(runs, numbers, strict=True)}

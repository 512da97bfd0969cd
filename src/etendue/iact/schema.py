"""The tables of a gamma-ray telescope run: names, dimensions, dtypes, units.

Column names are ctapipe's where ctapipe has the column. Angles are in degrees, lengths in metres
(telescope-frame lengths in degrees), times in nanoseconds, energies in TeV, charges in photo-electrons.

A run holds ``/events``, one table for each type of camera (of the kind ``camera``), what holds for some
time (``/calibration/<camera>``), and what is known from the headers: ``/array``, ``/observation``,
``/simulation``, and of each camera ``/camera/<camera>`` (its pixels), ``/readout/<camera>`` (its gain
channels) and ``/optics/<camera>`` (one row).
"""

from __future__ import annotations

from dataclasses import replace
from enum import IntEnum

from etendue.schema import Table, variables

#: Kind of the tables that hold one row a camera readout: ``@camera/image``.
CAMERA = "camera"

#: Tables and folders of tables that a camera's own must not take the place of, whatever it is called.
RESERVED = frozenset(
    {"events", "array", "observation", "simulation", "showers", "calibration", "camera", "readout", "optics"}
    | {"failures"}
)


class EventType(IntEnum):
    """Why an event was taken (the values of the CTAO data model, as in ctapipe)."""

    FLATFIELD = 0
    SINGLE_PE = 1
    PEDESTAL = 2
    DARK_PEDESTAL = 3
    ELECTRONIC_PEDESTAL = 4
    SKY_PEDESTAL = 5
    OTHER_CALIBRATION = 15
    MUON = 16
    HARDWARE_STEREO = 17
    RANDOM_MONO = 18
    DAQ = 24
    SUBARRAY = 32
    LONG_EVENT = 33
    UNKNOWN = 255


EVENTS = Table(
    name="events",
    dim="event",
    description="one row a triggered array event",
    key=("run", "obs_id", "event_id"),
    variables=variables(
        "event",
        run=("uint32", "", "row of /observation: the run that the event is of"),
        obs_id=("int64", "", "observation (run) number"),
        event_id=("int64", "", "event number; negative where the stream gives none"),
        event_index=("int64", "", "position of the event in its run, from 0"),
        event_type=("uint8", "", "EventType: 32 physics, 0 flat-field, 5 sky and 3 dark pedestal"),
        time=("int64", "ns", "central trigger time since 1970-01-01 UTC"),
        array_altitude=("float64", "deg", "pointing of the array; NaN where only array_ra is known"),
        array_azimuth=("float64", "deg", "pointing of the array, from north to east"),
        true_energy=("float64", "TeV", "simulated energy"),
        true_alt=("float64", "deg", "simulated direction"),
        true_az=("float64", "deg", "simulated direction, from north to east"),
        true_core_x=("float64", "m", "simulated impact point, to north"),
        true_core_y=("float64", "m", "simulated impact point, to west"),
        true_h_first_int=("float64", "m", "simulated height of the first interaction above sea level"),
        true_x_max=("float64", "g cm-2", "simulated slant depth of the shower maximum"),
        true_starting_grammage=("float64", "g cm-2", "depth at which the primary started"),
        true_shower_primary_id=("int64", "", "CORSIKA code of the primary: 0 gamma, 101 proton"),
    ),
)

ARRAY = Table(
    name="array",
    dim="telescope",
    role="static",
    description="the telescopes of each run",
    variables=variables(
        "telescope",
        run=("uint32", "", "run that the row holds for"),
        tel_id=("int16", "", "telescope number"),
        type=("str", "", "size class: LST, MST or SST"),
        name=("str", "", "name of the optics"),
        camera_name=("str", "", "name of the camera, as the input gives it"),
        pos_x=("float64", "m", "position to north of the array's centre"),
        pos_y=("float64", "m", "position to west of the array's centre"),
        pos_z=("float64", "m", "height above the array's reference altitude"),
        equivalent_focal_length=("float64", "m", "focal length of the mirror; NaN where unknown"),
        effective_focal_length=("float64", "m", "focal length from ray tracing; NaN where unknown"),
    ),
)

OBSERVATION = Table(
    name="observation",
    dim="observation",
    role="static",
    description="one row a run",
    key=("run", "obs_id"),
    variables=variables(
        "observation",
        run=("uint32", "", "run that the row describes"),
        obs_id=("int64", "", "observation (run) number"),
        reference_altitude=("float64", "m", "height of the array's reference point above sea level"),
        latitude=("float64", "deg", "of the array's reference point; 0 where unknown"),
        longitude=("float64", "deg", "of the array's reference point; 0 where unknown"),
        array_ra=("float64", "deg", "pointing of the array; NaN where it is given as altitude and azimuth"),
        array_dec=("float64", "deg", "pointing of the array; NaN where it is given as altitude and azimuth"),
    ),
)

SIMULATION = Table(
    name="simulation",
    dim="observation",
    role="static",
    description="how the events of a simulated run were sampled, one row a run",
    variables=variables(
        "observation",
        run=("uint32", "", "run that the row describes"),
        n_showers=("int64", "", "showers planned, as the input's header says"),
        shower_reuse=("int64", "", "times that each shower was to be used, at other impact points"),
        n_simulated=(
            (),
            "float64",
            "",
            "showers that the events stand for, each use one: those in the input, scaled by the part of its "
            "events that could be read; what effective areas divide by",
            False,
            True,
        ),
        is_closed=("bool", "", "whether the input has its closing histograms; without, it may be cut short"),
        energy_range_min=("float64", "TeV", "least energy"),
        energy_range_max=("float64", "TeV", "greatest energy"),
        spectral_index=("float64", "", "index of the power law that energies were drawn from"),
        min_alt=("float64", "deg", "direction of the view cone's axis"),
        max_alt=("float64", "deg", "direction of the view cone's axis"),
        min_az=("float64", "deg", "direction of the view cone's axis"),
        max_az=("float64", "deg", "direction of the view cone's axis"),
        min_viewcone_radius=("float64", "deg", "inner radius of the view cone"),
        max_viewcone_radius=("float64", "deg", "outer radius of the view cone"),
        min_scatter_range=("float64", "m", "inner radius of the impact points' disc"),
        max_scatter_range=("float64", "m", "outer radius of the impact points' disc"),
    ),
)


#: Of what is simulated, what a row of /events has as well.
TRUTH = tuple(name for name in EVENTS.variables if name.startswith("true_"))

SHOWERS = Table(
    name="showers",
    dim="shower",
    description="one row a simulated shower (each use of one), triggered or not",
    key=("run", "obs_id", "event_id", "shower_index"),
    variables=variables(
        "shower",
        run=("uint32", "", "row of /observation: the run that the shower is of"),
        obs_id=("int64", "", "observation (run) number"),
        event_id=("int64", "", "number of the event that the shower was simulated for, as in /events"),
        shower_index=("int64", "", "position of the shower in its run, from 0"),
        shower_id=("int64", "", "number of the shower, which may be used more than once"),
        triggered=("bool", "", "whether the input has an event of it"),
    )
    | {name: replace(EVENTS.variables[name], dims=("shower",)) for name in TRUTH},
)


def camera_table(label: str, *, n_gains: int, n_samples: int, n_pixels: int) -> Table:
    """The table of one camera's readouts, as a source makes it."""
    return Table(
        name=label,
        dim="readout",
        kind=CAMERA,
        parent=EVENTS.name,
        sizes={"gain": n_gains, "sample": n_samples, "pixel": n_pixels},
        description="one row a camera readout",
        key=("tel_id",),
        variables=variables(
            "readout",
            run=("uint32", "", "row of /observation: the run that the readout is of"),
            obs_id=("int64", "", "observation (run) number"),
            event_id=("int64", "", "event number"),
            tel_id=("int16", "", "telescope number"),
            pointing_altitude=("float64", "deg", "pointing of the telescope"),
            pointing_azimuth=("float64", "deg", "pointing of the telescope, from north to east"),
            trigger_time=("float64", "ns", "trigger time of the telescope after the central trigger"),
            event_type=(
                "uint8", "", "why the telescope was read out: EventType, 32 ordinary trigger, 18 random mono"
            ),
            n_trigger_pixels=("int32", "", "pixels in the trigger; -1 where unknown"),
            r0_waveform=(
                ("gain", "sample", "pixel"), "uint16", "adu", "raw samples of each gain channel", True
            ),
            true_image=(
                ("pixel",), "int32", "pe", "simulated Cherenkov photo-electrons; -1 where missing", True
            ),
            true_image_sum=("int64", "pe", "sum of the simulated photo-electrons; -1 where missing"),
            true_impact_distance=("float64", "m", "distance of the telescope from the true shower axis"),
        ),
    )  # fmt: skip


def calibration_table(label: str, *, n_gains: int, n_pixels: int) -> Table:
    """Calibration coefficients of one camera's telescopes, each from some event of a run on."""
    per_pixel = ("gain", "pixel")
    return Table(
        name=f"calibration/{label}",
        dim="calibration",
        kind="calibration",
        role="conditions",
        sizes={"gain": n_gains, "pixel": n_pixels},
        description="one row a telescope and period",
        variables=variables(
            "calibration",
            run=("uint32", "", "run that the row holds for"),
            tel_id=("int16", "", "telescope number"),
            valid_from=("int64", "", "event_index of the first event that the row holds for"),
            pedestal=(per_pixel, "float32", "adu", "baseline of a sample"),
            dc_to_pe=(per_pixel, "float32", "pe adu-1", "photo-electrons a count above the baseline"),
            time_shift=(per_pixel, "float32", "ns", "to be subtracted from the pixel's peak time"),
            broken=(per_pixel, "bool", "", "pixel to be left out and interpolated"),
        ),
    )


def camera_tables(label: str, *, n_gains: int, n_pixels: int, n_pulse_samples: int) -> list[Table]:
    """The static tables of one camera: its pixels, its gain channels, its optics."""
    pixels = Table(
        name=f"camera/{label}",
        dim="pixel",
        role="static",
        description="pixels of a camera, in the camera frame",
        variables=variables(
            "pixel",
            pixel_x=("float64", "m", "position in the camera frame"),
            pixel_y=("float64", "m", "position in the camera frame"),
            pixel_area=("float64", "m2", "light-collecting area"),
            pixel_shape=("int8", "", "sim_telarray's code: 0 circle, 1 and 3 hexagon, 2 square"),
        ),
    )  # fmt: skip
    channels = Table(
        name=f"readout/{label}",
        dim="gain",
        role="static",
        sizes={"pulse_sample": n_pulse_samples},
        description="gain channels of a camera's readout",
        variables=variables(
            "gain",
            sampling_rate=("float64", "GHz", "samples a nanosecond"),
            reference_pulse_sample_width=("float64", "ns", "step of the reference pulse"),
            reference_pulse_shape=(("pulse_sample",), "float64", "", "pulse of one photo-electron"),
        ),
    )
    optics = Table(
        name=f"optics/{label}",
        dim="optics",
        role="static",
        description="what the telescopes of one camera share, one row",
        variables=variables(
            "optics",
            type=("str", "", "size class: LST, MST or SST"),
            name=("str", "", "name of the optics"),
            camera_name=("str", "", "name of the camera, as the input gives it"),
            equivalent_focal_length=("float64", "m", "focal length of the mirror; NaN where unknown"),
            effective_focal_length=("float64", "m", "focal length from ray tracing; NaN where unknown"),
            mirror_area=("float64", "m2", "area of the mirror"),
            n_mirrors=("int32", "", "mirror tiles"),
            camera_rotation=("float64", "deg", "rotation of the camera, as ctapipe's cam_rotation"),
        ),
    )
    return [pixels, channels, optics]

"""Values of headers that are unusual or cannot be: zeros, right ascensions, focal lengths of some only."""

import logging
import struct

import numpy as np
import pytest

import etendue as et
from etendue.dataflow.pipeline import PipelineError
from etendue.dataflow.source import SourceError
from etendue.iact.sources.simtel import decode

from .simtel_files import SOURCE, find, objects, unpacked

RUN_HEADER, CAMERA_SETTINGS, PIXEL_SETTINGS = 2000, 2002, 2004
#: Where the focal lengths are in an object 2002, its marker and header included.
EQUIVALENT, EFFECTIVE = 20, 24
TRACKING_MODE = 28
STEREO = "pyeventio__history_meta"
SINGLE = "pyeventio__prod4"


@pytest.fixture
def changed(shared, tmp_path):
    """Write a real file of which a function has changed each object; returns its path."""

    def make(name, change):
        path = tmp_path / "changed.simtel"
        parts = objects(unpacked(find(shared, name)))
        numbered = {}
        contents = []
        for kind, content in parts:
            numbered[kind] = numbered.get(kind, -1) + 1
            contents.append(bytes(change(kind, numbered[kind], bytearray(content))))
        path.write_bytes(b"".join(contents))
        return str(path)

    return make


def with_number(content, at, value, form="<f"):
    struct.pack_into(form, content, at, value)
    return content


def with_setting(content, field, before, after):
    """A 2004 of which eventio says that a number is another; it is looked for among its bytes."""
    from eventio.simtel.objects import PixelSettings  # noqa: F401 - makes it known

    at = -1
    while True:
        at = content.index(before, at + 1)
        tried = content[:at] + after + content[at + len(before) :]
        if not np.any(pixel_settings(tried)[field]):
            return tried


def pixel_settings(content):
    from io import BytesIO

    from eventio.base import KNOWN_OBJECTS, read_header

    stream = BytesIO(bytes(content[4:]))
    return KNOWN_OBJECTS[PIXEL_SETTINGS](read_header(stream, offset=0), stream).parse()


def refused(path):
    with pytest.raises(SourceError) as caught:
        SOURCE.scan(path)
    assert caught.value.failure.path == path
    return str(caught.value)


def test_both_focal_lengths_zero(changed):
    def change(kind, number, content):
        if kind == CAMERA_SETTINGS and number == 2:
            with_number(with_number(content, EQUIVALENT, 0.0), EFFECTIVE, 0.0)
        return content

    message = refused(changed(STEREO, change))
    assert (
        "(object 2002, telescope 3): expected a focal length greater than 0 m, found 0.0 and 0.0" in message
    )


def test_one_focal_length_is_enough(changed):
    path = changed(SINGLE, lambda k, n, c: with_number(c, EQUIVALENT, 0.0) if k == CAMERA_SETTINGS else c)
    scan = SOURCE.scan(path)
    (label,) = scan.labels  # another one than with the focal length by which it is known
    optics = scan.static[f"optics/{label}"]
    assert np.isnan(optics["equivalent_focal_length"]).all()
    assert optics["effective_focal_length"] == pytest.approx(29.30565071)
    flow = et.open(path) | et.iact.Calibrate() | et.iact.Integrate() | et.iact.Clean()
    assert (flow | et.iact.Parametrise()).plan()
    with pytest.raises(
        PipelineError, match=r"'Parametrise': focal_length = 'equivalent'.*cameras unknown_1855px"
    ):
        (flow | et.iact.Parametrise(focal_length="equivalent")).plan()


def test_time_slice_of_zero(changed):
    def change(kind, number, content):
        step = struct.pack("<f", 1.0)
        return with_setting(content, "time_slice", step, bytes(4)) if kind == PIXEL_SETTINGS else content

    message = refused(changed(SINGLE, change))
    assert (
        "(object 2004, telescope 1): expected a time slice greater than 0 ns, found 0.0 of 40 samples"
        in message
    )


def test_reference_pulse_of_zeros(changed, caplog):
    """As ctapipe: the charges are NaN; and it is told which telescopes they are of."""

    def change(kind, number, content):
        if kind != PIXEL_SETTINGS:
            return content
        shape = np.asarray(pixel_settings(content)["ref_shape"], dtype="<f2").tobytes()
        return with_setting(content, "ref_shape", bytes(shape), bytes(len(shape)))

    path = changed(SINGLE, change)
    flow = et.open(path) | et.iact.Calibrate()
    with caplog.at_level(logging.WARNING):
        tree = (flow | et.iact.Integrate()).columns("@camera/image").compute()
    assert np.isnan(tree["lstcam"]["image"].values).all()
    assert f"{path}: the reference pulse of the telescopes [1] is missing or zero" in caplog.text
    tree = (flow | et.iact.Integrate(correct=False)).columns("@camera/image").compute()
    assert np.isfinite(tree["lstcam"]["image"].values).all()


@pytest.mark.parametrize(
    ("function", "value", "degrees"),
    [
        (decode.altitude_of, np.float32(np.pi / 2), 90.0),
        (decode.altitude_of, -np.float32(np.pi / 2), -90.0),
        (decode.altitude_of, 1.58, np.rad2deg(1.58)),
        (decode.azimuth_of, np.float32(2 * np.pi), 360.0),
        (decode.azimuth_of, np.float32(np.pi), np.rad2deg(float(np.float32(np.pi)))),
    ],
)
def test_angles_of_single_precision(function, value, degrees):
    assert function(value) == degrees


def test_zenith_is_90_degrees(shared):
    from astropy.coordinates import Latitude

    tree = et.open(find(shared, SINGLE)).columns("events/*", "@camera/pointing_altitude").compute()
    assert (tree["events"]["array_altitude"].values == 90.0).all()
    for column in ("array_altitude", "true_alt"):
        Latitude(tree["events"][column].values, "deg")
    Latitude(tree["simulation"]["min_alt"].values, "deg")


def test_run_in_right_ascension(changed, shared, caplog):
    """Directions and heights are those of the same run in altitude and azimuth; impact points are NaN."""

    def change(kind, number, content):
        if kind == RUN_HEADER:
            with_number(content, TRACKING_MODE, 1, "<i")
        return content

    results = []
    for path in (find(shared, STEREO), changed(STEREO, change)):
        with caplog.at_level(logging.WARNING):
            results.append((et.open(path) | et.find_pipeline("iact")).compute())
    known, unknown = (tree["events"] for tree in results)
    prefix = "HillasReconstructor_"
    for name in ("alt", "az", "alt_uncert", "h_max", "average_intensity", "is_valid", "n_telescopes"):
        np.testing.assert_array_equal(known[prefix + name], unknown[prefix + name], err_msg=name)
    assert known[prefix + "is_valid"].all()
    for name in ("core_x", "core_y", "core_tilted_x", "core_tilted_y"):
        assert np.isfinite(known[prefix + name]).all()
        assert np.isnan(unknown[prefix + name]).all()
    assert np.isnan(unknown["array_altitude"]).all()
    observation = results[1]["observation"]
    assert observation["array_dec"].values == pytest.approx([70], abs=1e-5)
    assert observation["array_ra"].values == [0]
    assert np.isnan(results[0]["observation"]["array_dec"].values).all()
    assert "the run header gives right ascension and declination" in caplog.text


def test_focal_lengths_are_not_mixed(changed, tmp_path):
    """Half of the telescopes have no effective one: refused before anything runs, or all equivalent."""

    def change(kind, number, content):
        if kind == CAMERA_SETTINGS and number % 2:
            with_number(content, EFFECTIVE, 0.0)
        return content

    path = changed(STEREO, change)
    images = et.open(path) | et.iact.Calibrate() | et.iact.Integrate() | et.iact.Clean()
    with pytest.raises(PipelineError, match=r"'Parametrise': focal_length = 'effective'.* cameras lstcam_2"):
        (images | et.iact.Parametrise(focal_length="effective")).plan()
    with pytest.raises(PipelineError, match=r"telescopes \[2, 4, .* of run 0 have no effective") as caught:
        (images | et.iact.Parametrise()).plan()
    assert "set focal_length = 'equivalent'" in str(caught.value)
    parameters = images | et.iact.Parametrise(focal_length="equivalent", true_images=False)
    with pytest.raises(PipelineError, match="'ReconstructStereo': focal_length = 'effective'"):
        (parameters | et.iact.ReconstructStereo(focal_length="effective")).plan()
    store = str(tmp_path / "s.etendue")
    (parameters | et.iact.ReconstructStereo()).write(store, "p")
    tree = et.load(store, "p")
    assert tree["telescope_frame"]["focal_length"].values.tolist() == ["equivalent"]
    assert et.iact.display.event(tree, int(tree["events"]["event_id"][0]))


def test_stereo_takes_the_focal_length_of_the_parameters(shared, tmp_path):
    store = str(tmp_path / "s.etendue")
    images = et.open(find(shared, STEREO)) | et.iact.Calibrate() | et.iact.Integrate() | et.iact.Clean()
    (images | et.iact.Parametrise(focal_length="equivalent", true_images=False)).write(store, "dl1")
    stored = et.open(f"{store}@dl1")
    with pytest.raises(PipelineError, match="made with the equivalent one"):
        (stored | et.iact.ReconstructStereo(focal_length="effective")).plan()
    followed = (stored | et.iact.ReconstructStereo()).compute()
    told = (stored | et.iact.ReconstructStereo(focal_length="equivalent")).compute()
    other = (images | et.iact.Parametrise(true_images=False) | et.iact.ReconstructStereo()).compute()
    alt = [tree["events"]["HillasReconstructor_alt"].values[0] for tree in (followed, told, other)]
    assert alt[0] == alt[1] != alt[2]


def test_runs_may_differ_in_what_they_have(changed, shared):
    """One file has effective focal lengths and the other none: each is made with its own."""
    path = changed(SINGLE, lambda k, n, c: with_number(c, EFFECTIVE, 0.0) if k == CAMERA_SETTINGS else c)
    flow = et.open(path, find(shared, STEREO)) | et.iact.Calibrate() | et.iact.Integrate() | et.iact.Clean()
    assert (flow | et.iact.Parametrise()).plan()
    with pytest.raises(PipelineError, match="focal_length = 'effective'"):
        (flow | et.iact.Parametrise(focal_length="effective")).plan()

"""The kernels of the simulation against integrals, direct sampling, and ctapipe's formulas."""

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scipy import integrate, stats

from etendue.iact.directions import telescope_offset
from etendue.iact.showers import (
    atmosphere,
    cascade,
    eye,
    frontend,
    instrument,
    light,
    muons,
    photosphere,
    tables,
)

GROUND = instrument.ARRAY_ALTITUDE


def rng(seed: int = 1) -> np.random.Generator:
    return np.random.Generator(np.random.PCG64DXSM(seed))


def shower_at(
    energy: float, altitude: float, azimuth: float = 0.0
) -> tuple[photosphere.Photosphere, np.ndarray]:
    """A photosphere of the mean depth for its energy (GeV), and the axes of its shower."""
    frame = instrument.sky_axes(np.array([altitude]), np.array([azimuth]))[0]
    depth = cascade.RADIATION_LENGTH * (np.log(energy / cascade.CRITICAL_ENERGY) + 0.5)
    row = np.array([energy, depth, 0.0, 0.0, 0.0, 0.0])
    return photosphere.photosphere(row, 1.3e-3, frame, np.zeros(3), GROUND), frame


def photo_electrons(sphere, telescope, seen_by, n_times: int, seed: int = 1) -> tuple[np.ndarray, np.ndarray]:
    generator, n = rng(seed), 0
    pixels, times = np.empty(64, np.int32), np.empty(64, np.float32)
    for _ in range(n_times):
        pixels, times, n = photosphere.add_photosphere(
            generator, sphere, telescope, seen_by, pixels, times, n
        )
    return pixels[:n], times[:n]


class TestAtmosphere:
    def test_sea_level_is_the_standard_atmosphere(self):
        assert atmosphere.overburden(0.0) == pytest.approx(1036.1, abs=0.1)  # CORSIKA's value
        assert atmosphere.density(0.0) == pytest.approx(1.225e-3, rel=0.01)
        assert atmosphere.density(10e3) == pytest.approx(4.135e-4, rel=0.04)  # U.S. Standard Atmosphere 1976

    @given(st.floats(0, 112e3))
    def test_height_of_inverts_overburden(self, height):
        assert atmosphere.height_of(atmosphere.overburden(height)) == pytest.approx(height, abs=1e-2)

    @given(st.floats(0, 99e3).filter(lambda h: min(abs(h - f) for f in atmosphere.FLOOR) > 1))
    def test_density_is_the_slope_of_the_overburden(self, height):
        slope = (atmosphere.overburden(height - 0.5) - atmosphere.overburden(height + 0.5)) / 100
        assert atmosphere.density(height) == pytest.approx(slope, rel=1e-6, abs=1e-15)

    @given(st.floats(0, 8e3), st.floats(10, 3e4))
    def test_mean_refractivity_is_the_mean(self, low, way):
        heights = np.linspace(low, low + way, 3001)
        mean = integrate.trapezoid([atmosphere.refractivity(h) for h in heights], heights) / way
        assert atmosphere.mean_refractivity(low, low + way) == pytest.approx(mean, rel=5e-3)


class TestCascade:
    def test_first_interactions_are_exponential(self):
        generator = rng()
        gamma = [cascade.gamma_cascade(generator, 1e3)[2] for _ in range(2000)]
        proton = [cascade.proton_cascade(generator, 1e2, 0.94, GROUND)[2] for _ in range(2000)]
        assert stats.kstest(gamma, stats.expon(scale=9 / 7 * 36.7).cdf).pvalue > 1e-3
        assert stats.kstest(proton, stats.expon(scale=85).cdf).pvalue > 1e-3

    def test_gamma_depth_of_maximum(self):
        generator = rng()
        depth = [cascade.gamma_cascade(generator, 1e3)[0][0, 1] for _ in range(4000)]
        assert np.mean(depth) == pytest.approx(36.7 * (np.log(1e3 / 0.085) + 0.5), abs=4)
        assert np.std(depth) == pytest.approx(np.hypot(47.2, 30), abs=3)

    def test_pions_share_the_energy(self):
        generator = rng()
        made = [cascade.pions(generator, 1e3, 0.0, 0.0, 0.0) for _ in range(1000)]
        assert np.allclose([pions[:, 0].sum() for pions in made], 1e3)
        pions = np.concatenate(made)
        transverse = pions[:, 0] * np.hypot(pions[:, 1], pions[:, 2])
        assert transverse.mean() == pytest.approx(0.35, rel=0.02)
        assert pions[:, 3].mean() == pytest.approx(2 / 3, abs=0.015)
        # 10.9 charged particles at sqrt(s) = 43 GeV, ISR
        assert np.mean([len(pions) for pions in made]) == pytest.approx(1 + 1.5 * 10.9, rel=0.02)

    @given(st.floats(30, 1e5), st.floats(0.5, 1), st.integers(0, 2**31))
    def test_no_energy_is_made(self, energy, cos_zenith, seed):
        showers, muon_rows, first = cascade.proton_cascade(rng(seed), energy, cos_zenith, GROUND)
        assert first > 0
        assert showers[:, 0].sum() + muon_rows[:, 0].sum() <= energy
        assert (showers[:, 1] >= first).all()
        assert np.isfinite(showers).all()
        assert np.isfinite(muon_rows).all()

    def test_electromagnetic_fraction_grows_with_energy(self):
        # At 0.1-10 TeV protons give a third to two thirds to photons, rising (Matthews 2005, section 3.2).
        generator = rng()
        share = [
            np.mean(
                [cascade.proton_cascade(generator, e, 0.94, GROUND)[0][:, 0].sum() / e for _ in range(200)]
            )
            for e in (1e2, 1e3, 1e4)
        ]
        assert 0.25 < share[0] < share[1] < share[2] < 0.66


class TestPhotosphere:
    @pytest.mark.parametrize("eta", [0.008, 0.015])
    def test_emission_is_normalised(self, eta):
        total, _ = integrate.quad(
            lambda angle: 2 * np.pi * angle * photosphere.emission(angle, eta), 0, 1, points=[eta]
        )
        assert total == pytest.approx(1, rel=1e-6)

    @pytest.mark.parametrize("energy", [300.0, 1e3, 3e3])
    def test_light_of_a_vertical_gamma_shower(self, energy):
        # Some 100 photons of 300-600 nm a square metre and TeV, 100 m from the core (Hinton and Hofmann,
        # Annu. Rev. Astron. Astrophys. 47 (2009) 523); here within a factor of 1.7, from first principles.
        sphere, _ = shower_at(energy, np.pi / 2)
        heights = np.random.default_rng(1).normal(sphere.z, sphere.sigma_l, 20_000)
        heights = heights[heights > 0]
        squared = heights**2 + 100**2
        angles = np.arctan2(100, heights)
        light_density = np.mean([photosphere.emission(a, sphere.eta) for a in angles] / squared)
        by_square_metre = (
            sphere.photons * light_density * atmosphere.transmission(GROUND, GROUND + sphere.z, 1.0)
        )
        assert 60 < by_square_metre / (energy / 1e3) < 170

    @settings(deadline=None)
    @given(
        st.floats(0, 0.06), st.floats(0, 2 * np.pi), st.floats(-300, 300), st.floats(-300, 300),
        st.floats(-2e3, 1.2e4), st.floats(5, 40), st.floats(1e3, 4e3),
    )  # fmt: skip
    def test_line_of_sight_is_the_integral(self, off, turn, x, y, z, sigma_t, sigma_l):
        u = np.array([np.sin(off) * np.cos(turn), np.sin(off) * np.sin(turn), np.cos(off)])
        d = -np.array([x, y, z])

        def density(r):
            point = d + r * u
            across = (point[0] ** 2 + point[1] ** 2) / sigma_t**2
            return np.exp(-0.5 * (across + (point[2] / sigma_l) ** 2))

        integral, distance, spread = photosphere.line_of_sight(
            u[2], u @ d, d[2], d @ d, sigma_l, sigma_t, 0.0
        )
        a = (u[0] ** 2 + u[1] ** 2) / sigma_t**2 + (u[2] / sigma_l) ** 2
        peak = -((u[0] * d[0] + u[1] * d[1]) / sigma_t**2 + u[2] * d[2] / sigma_l**2) / a
        low, high = max(0.0, peak - 9 / np.sqrt(a)), max(1.0, peak + 9 / np.sqrt(a))
        expected = integrate.quad(density, low, high, limit=200)[0] / (
            (2 * np.pi) ** 1.5 * sigma_l * sigma_t**2
        )
        if integral == 0:
            assert density(max(0.0, peak)) <= np.exp(-photosphere.FURTHEST) * 1.001
        else:
            assert integral == pytest.approx(expected, rel=1e-4, abs=1e-12 * expected)
            assert distance == pytest.approx(peak, rel=1e-9)
            assert spread == pytest.approx(1 / np.sqrt(a), rel=1e-9)

    @pytest.mark.parametrize(("altitude", "impact", "energy"), [(90, 90, 500.0), (60, 180, 2000.0)])
    def test_images_against_direct_sampling(self, altitude, impact, energy):
        """Photons thrown one by one, with no closed form: number, place, size, orientation, time."""
        sphere, frame = shower_at(energy, np.deg2rad(altitude))
        seen_by = instrument.eye_at(np.deg2rad(altitude), 0.0)
        across = 0.6 * frame[0] + 0.8 * frame[1]
        telescope = impact * (across - across[2] / frame[2, 2] * frame[2])
        n_times = 40
        pixels, times = photo_electrons(sphere, telescope, seen_by, n_times)

        generator = np.random.default_rng(2)
        n = 150_000
        along, one, two = generator.normal(0, [sphere.sigma_l, sphere.sigma_t, sphere.sigma_t], (n, 3)).T
        barycentre = np.array([sphere.x, sphere.y, sphere.z])
        place = barycentre + along[:, None] * frame[2] + one[:, None] * frame[0] + two[:, None] * frame[1]
        way = place - telescope
        r = np.linalg.norm(way, axis=1)
        u = way / r[:, None]
        lat, lon = np.array([eye.project(*v, seen_by.axes) for v in u]).T
        seen = np.array([eye.nearest_pixel(*point, seen_by) >= 0 for point in zip(lat, lon, strict=True)])
        angle = np.arccos(np.minimum(u @ frame[2], 1))
        weight = np.array([photosphere.emission(a, sphere.eta) for a in angle]) / r**2 * seen
        through = atmosphere.transmission(GROUND, GROUND + sphere.z, frame[2, 2])
        expected = sphere.photons * weight.mean() * seen_by.mirror_area * seen_by.efficiency * through
        assert len(pixels) / n_times == pytest.approx(expected, rel=0.03)

        lat, lon, weight = lat[seen], lon[seen], weight[seen]
        moments = np.cov(lat, lon, aweights=weight)
        off_axis = np.average(lat**2 + lon**2, weights=weight)
        blur = seen_by.psf**2 + seen_by.coma**2 * off_axis + 5 / 72 * seen_by.pitch**2
        columns = instrument.camera_columns()
        found = columns["pixel_x"][pixels] / 16, columns["pixel_y"][pixels] / 16
        centre = [np.average(v, weights=weight) for v in (lat, lon)]
        assert np.mean(found, axis=1) == pytest.approx(centre, abs=2e-4)
        values, vectors = np.linalg.eigh(np.cov(found))
        true_values, true_vectors = np.linalg.eigh(moments + blur * np.eye(2))
        assert np.sqrt(values) == pytest.approx(np.sqrt(true_values), rel=0.06)
        assert abs(vectors[:, 1] @ true_vectors[:, 1]) > 0.9995

        chosen = generator.choice(np.flatnonzero(seen), 2000, p=weight / weight.sum())
        arrival = []
        for p in chosen:
            steps = np.linspace(0, 1, 60)
            heights = GROUND + telescope[2] + steps * way[p, 2]
            slow = integrate.trapezoid([atmosphere.refractivity(h) for h in heights], steps)
            arrival.append((-place[p] @ frame[2] + r[p] * (1 + slow)) / photosphere.SPEED_OF_LIGHT)
        assert np.mean(times) == pytest.approx(np.mean(arrival), abs=0.25)
        assert np.std(times) == pytest.approx(np.std(arrival), rel=0.1, abs=0.15)

    @pytest.mark.parametrize(("impact", "sign"), [(20.0, -1), (300.0, 1)])
    def test_time_gradient_turns_with_impact_distance(self, impact, sign):
        # Far off, light from low in the shower, which is seen far from the source, takes the longer way;
        # close to the axis it comes first, since the particles outrun the light from above.
        sphere, _ = shower_at(3e3, np.pi / 2)
        pixels, times = photo_electrons(
            sphere, np.array([0.0, impact, 0.0]), instrument.eye_at(np.pi / 2, 0.0), 20
        )
        columns = instrument.camera_columns()
        from_source = np.hypot(columns["pixel_x"][pixels], columns["pixel_y"][pixels])
        assert sign * stats.linregress(from_source, times).slope > 0

    def test_light_adds_up_to_the_same_in_any_direction(self):
        counts = []
        for azimuth in (0.0, 1.0, 4.0):
            sphere, frame = shower_at(1e3, 1.2, azimuth)
            pixels, _ = photo_electrons(sphere, 100 * frame[1], instrument.eye_at(1.2, azimuth), 30)
            counts.append(len(pixels) / 30)
        assert counts == pytest.approx([np.mean(counts)] * 3, rel=0.01)


class TestEye:
    def test_pixels_look_where_ctapipe_says(self):
        import astropy.units as u
        from astropy.coordinates import AltAz, SkyCoord
        from ctapipe.coordinates import CameraFrame

        columns, seen_by = instrument.camera_columns(), instrument.eye_at(np.deg2rad(65), np.deg2rad(130))
        pointing = SkyCoord(alt=65 * u.deg, az=130 * u.deg, frame=AltAz())
        frame = CameraFrame(focal_length=16 * u.m, telescope_pointing=pointing)
        sky = SkyCoord(columns["pixel_x"] * u.m, columns["pixel_y"] * u.m, frame=frame).transform_to(AltAz())
        alt, az = sky.alt.rad, sky.az.rad
        expected = np.stack([np.cos(alt) * np.cos(az), -np.cos(alt) * np.sin(az), np.sin(alt)], axis=1)
        assert seen_by.direction == pytest.approx(expected, abs=1e-9)

    def test_neighbours(self):
        geometry = instrument.geometry()
        n_neighbours = np.bincount(np.diff(geometry.indptr))
        assert list(n_neighbours[3:]) == [6, 6 * 23, 0, 1801 - 6 * 24]
        assert geometry.pixel_area.sum() == pytest.approx(1801 * np.sqrt(0.75) * (np.deg2rad(0.16) * 16) ** 2)

    @given(st.floats(-0.075, 0.075), st.floats(-0.075, 0.075))
    def test_nearest_pixel(self, x, y):
        seen_by, columns = instrument.eye_at(1.2, 0.0), instrument.camera_columns()
        distance = np.hypot(columns["pixel_x"] / 16 - x, columns["pixel_y"] / 16 - y)
        pixel = eye.nearest_pixel(x, y, seen_by)
        nearest = distance.argmin()
        if pixel >= 0:
            assert distance[pixel] == pytest.approx(distance[nearest], abs=1e-12)
        else:  # outside: at least half a pixel from the nearest centre
            assert distance[nearest] >= seen_by.pitch / 2 * (1 - 1e-9)
        if distance[nearest] < seen_by.pitch / 2 * (1 - 1e-9):
            assert pixel == nearest

    @given(st.floats(0.9, 1.4), st.floats(0, 6), st.floats(0.9, 1.4), st.floats(0, 6))
    def test_project_is_the_telescope_frame(self, altitude, azimuth, pointing, pointing_azimuth):
        v = instrument.sky_axes(np.array([altitude]), np.array([azimuth]))[0, 2]
        x, y = eye.project(*v, instrument.eye_at(pointing, pointing_azimuth).axes)
        lon, lat = telescope_offset(*np.rad2deg([altitude, azimuth, pointing, pointing_azimuth]))
        assert np.rad2deg([y, x]) == pytest.approx([lon, lat], abs=1e-9)


class TestMuons:
    @settings(deadline=None)
    @given(st.floats(0.1, 60), st.floats(-np.pi, np.pi))
    @example(5.6, 2.0)  # on the rim, and away from the mirror
    @example(5.6, 1.0)
    def test_chord_is_ctapipes(self, impact, angle):
        from ctapipe.image.muon.intensity_fitter import chord_length

        expected = chord_length(5.6, impact / 5.6, angle)
        assert muons.chord(impact, 5.6, np.cos(angle), np.sin(angle)) == pytest.approx(expected, abs=1e-6)

    def test_central_ring(self):
        seen_by = instrument.eye_at(np.pi / 2, 0.0)
        axis, place, telescope = np.array([0.0, 0.0, 1.0]), np.zeros(3), np.zeros(3)
        generator, n = rng(), 0
        pixels, times = np.empty(64, np.int32), np.empty(64, np.float32)
        for _ in range(100):
            pixels, times, n = muons.add_muon(
                generator, 30.0, place, axis, 5.0, telescope, seen_by, pixels, times, n
            )
        theta = np.sqrt(2 * atmosphere.refractivity(GROUND) - (0.1057 / 30) ** 2)
        alpha, radius = 1 / 137.036, np.sqrt(seen_by.mirror_area / np.pi)
        expected = np.pi * alpha * np.sin(2 * theta) * (1 / 300e-9 - 1 / 600e-9) * radius * seen_by.efficiency
        assert n / 100 == pytest.approx(expected, rel=0.01)
        columns = instrument.camera_columns()
        x, y = columns["pixel_x"][pixels[:n]] / 16, columns["pixel_y"][pixels[:n]] / 16
        width = seen_by.psf**2 + muons.SCATTERING**2 + 5 / 72 * seen_by.pitch**2
        assert np.mean(x**2 + y**2) == pytest.approx(theta**2 + 2 * width, rel=0.01)
        assert np.mean(x) == pytest.approx(0, abs=1e-4)

    def test_arc_is_on_the_far_side(self):
        # A muon to the north of the mirror: light comes from the north of its direction (smaller altitudes
        # of a telescope that looks up and whose first axis points to the south).
        seen_by = instrument.eye_at(np.pi / 2, 0.0)
        pixels, times = np.empty(64, np.int32), np.empty(64, np.float32)
        pixels, _, n = muons.add_muon(
            rng(),
            30.0,
            np.array([20.0, 0.0, 0.0]),
            np.array([0.0, 0.0, 1.0]),
            0.0,
            np.zeros(3),
            seen_by,
            pixels,
            times,
            0,
        )
        north = instrument.eye_at(np.pi / 2, 0.0).direction[pixels[:n], 0]
        assert n > 50
        assert np.mean(north) == pytest.approx(0.02, abs=0.004)

    def test_slow_muons_are_dark(self):
        pixels, times = np.empty(4, np.int32), np.empty(4, np.float32)
        up = np.array([0.0, 0.0, 1.0])
        *_, n = muons.add_muon(
            rng(), 4.0, np.zeros(3), up, 0.0, np.zeros(3), instrument.eye_at(np.pi / 2, 0.0), pixels, times, 0
        )
        assert n == 0


class TestFrontEnd:
    def test_draw_is_normal_and_independent(self):
        out = np.empty((2, 200_003), np.float32)
        table = tables.normal_quantiles(2.0)
        frontend.draw(np.uint64(12345), table, out[0])
        frontend.draw(np.uint64(2**63 + 7), table, out[1])
        assert stats.kstest(out[0], stats.norm(scale=2).cdf).statistic < 0.005
        assert out.std() == pytest.approx(2, rel=5e-3)
        for lag in (1, 2, 50_000):  # neighbours, and the lanes of one hash
            assert abs(np.corrcoef(out[0][:-lag], out[0][lag:])[0, 1]) < 0.01
        assert abs(np.corrcoef(out)[0, 1]) < 0.01

    @pytest.mark.parametrize("rate", [0.0, 0.05, 0.2, 1.5])
    def test_night_sky_charge_is_compound_poisson(self, rate):
        table = tables.night_sky_quantiles(rate)
        assert table.mean() == pytest.approx(rate, abs=1e-6)
        assert table.var() == pytest.approx(rate * (1 + 0.35**2), rel=1e-4)
        assert np.mean(table < 0.05) == pytest.approx(np.exp(-rate), abs=0.005)

    @given(st.integers(0, 2**31))
    @settings(max_examples=20, deadline=None)
    def test_shape_is_a_convolution(self, seed):
        generator = np.random.default_rng(seed)
        charges = generator.normal(size=(25, 7)).astype(np.float32)
        pulse = generator.normal(size=6).astype(np.float32)
        trace = np.empty((20, 7), np.float32)
        frontend.shape(charges, pulse, trace)
        expected = [np.convolve(charges[:, p], pulse, mode="valid") for p in range(7)]
        np.testing.assert_allclose(trace.T, expected, atol=1e-4)

    def test_pulse_of_a_photo_electron(self):
        table = tables.pulse_table()
        assert table.sum(axis=1) == pytest.approx(np.ones(len(table)), abs=1e-3)
        time = np.linspace(0, 20, 20001)
        pulse = tables.pulse_shape(time)
        assert integrate.trapezoid(pulse, time) == pytest.approx(1, abs=1e-6)
        above = time[pulse > pulse.max() / 2]
        assert above[-1] - above[0] == pytest.approx(3.0, abs=0.1)

    def test_extracted_charge_is_in_photo_electrons(self):
        """Isolated pulses of 100 photo-electrons, as ctapipe extracts them."""
        from ctapipe.image.extractor import extract_around_peak, integration_correction

        n_pixels, n_pe, arrival = 400, 100, 12.3
        trace = np.zeros((40, n_pixels), np.float32)
        pixels = np.repeat(np.arange(n_pixels, dtype=np.int32), n_pe)
        arrivals = (arrival + np.random.default_rng(1).random(n_pixels)).astype(np.float32)
        frontend.add_pulses(rng(), pixels, arrivals[pixels], tables.pulse_table(), trace)
        counts = np.empty((40, n_pixels), np.uint16)
        pedestal, gain = np.full(n_pixels, 300, np.float32), np.full(n_pixels, 40, np.float32)
        frontend.digitise(trace, np.zeros_like(trace), pedestal, gain, np.float32(16383), counts)
        waveform = ((counts.astype(np.float32) - 300) / 40).T.copy()
        readout = instrument.readout_columns(1)
        correction = integration_correction(readout["reference_pulse_shape"], 0.1, 1.0, 7, 3)[0]
        charge, time = extract_around_peak(waveform, waveform.argmax(axis=1), 7, 3, 1.0)
        assert (charge * correction).mean() == pytest.approx(n_pe, rel=0.02)
        assert (charge * correction).std() == pytest.approx(0.35 * np.sqrt(n_pe), rel=0.12)
        # The pulse's mean time is 7 x 0.5 ns after the arrival.
        assert (time - arrivals).mean() == pytest.approx(3.5, abs=0.3)
        assert (time - arrivals).std() < 0.3

    @given(st.integers(0, 2**31), st.floats(0.5, 40))
    @settings(max_examples=30, deadline=None)
    def test_trigger_is_the_sum_over_neighbours(self, seed, threshold):
        generator, geometry = np.random.default_rng(seed), instrument.geometry()
        trace = generator.exponential(1.0, (6, 1801)).astype(np.float32)
        lit = generator.random(1801) < 0.1
        near = np.zeros((1801, 1801), dtype=bool)
        near[np.repeat(np.arange(1801), np.diff(geometry.indptr)), geometry.indices] = True
        np.fill_diagonal(near, True)
        above = (trace - np.float32(0.5)) @ near.T.astype(np.float32) > threshold
        fired = above[:, lit]
        sample, n_pixels = frontend.trigger(trace, lit, geometry.indptr, geometry.indices, 0.5, threshold)
        expected = np.flatnonzero(fired.any(axis=1))
        assert sample == (expected[0] if expected.size else -1)
        assert n_pixels == fired.any(axis=0).sum()

    def test_brightest_patch(self):
        geometry = instrument.geometry()
        centre = 900
        around = geometry.indices[geometry.indptr[centre] : geometry.indptr[centre + 1]]
        pixels = np.concatenate([[centre] * 3, around, [5, 5], []]).astype(np.int32)
        found = frontend.brightest_patches(pixels, np.array([9, 11, 11]), geometry.indptr, geometry.indices)
        assert list(found) == [9, 2, 0]

    def test_saturation(self):
        trace = np.array([[1e6, -1e6, 0.0]], np.float32)
        counts = np.empty((1, 3), np.uint16)
        frontend.digitise(
            trace, np.zeros_like(trace), np.full(3, 300, np.float32), np.full(3, 40, np.float32),
            np.float32(4095), counts,
        )  # fmt: skip
        assert list(counts[0]) == [4095, 0, 300]


def test_light_of_a_shower_is_independent_of_the_telescopes_before_it():
    """Counts by telescope add up to the photo-electrons, and a dark shower makes none."""
    frame = instrument.sky_axes(np.array([1.2, 1.2]), np.array([0.0, 0.0]))
    core = np.array([[0.0, 50.0, 0.0], [0.0, 9e4, 0.0]])
    telescopes = np.array([[60.0, 0.0, 0.0], [-60.0, 0.0, 0.0]])
    pixels, times, counts, first, maximum = light.array_light(
        rng(), False, np.array([1e3, 1e3]), frame, core, telescopes, instrument.eye_at(1.2, 0.0)
    )
    assert counts[0].min() > 500
    assert counts[1].sum() == 0
    assert counts.sum() == len(pixels) == len(times)
    assert (maximum > first).all()

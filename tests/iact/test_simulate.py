"""Simulated runs: how they are sampled, that they are reproducible, and that they look like showers."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from etendue.dataflow.source import SourceError, find_source
from etendue.iact.directions import horizon_to_direction, telescope_offset
from etendue.iact.showers import instrument, tables
from etendue.iact.simulate import BLOCK, Simulation, simulate_blocks, thrown
from etendue.iact.sources.simulated import SimulatedSource, schema_of

SMALL = Simulation(n_showers=3 * BLOCK - 40, seed=11, offset=0.5)


@pytest.fixture(scope="module")
def run() -> dict:
    return simulate_blocks(SMALL, 0, SMALL.n_blocks)


def r1(simulation: Simulation, readouts: dict) -> np.ndarray:
    """Calibrated samples of the first gain channel: shape (n_readouts, n_samples, n_pixels)."""
    calibration = instrument.calibration_columns(
        len(simulation.positions), simulation.n_gains, simulation.night_sky_rate
    )
    row = readouts["tel_id"] - 1
    pedestal, dc_to_pe = (calibration[name][row, :1] for name in ("pedestal", "dc_to_pe"))
    return (readouts["r0_waveform"][:, 0].astype(np.float32) - pedestal) * dc_to_pe


def all_thrown(simulation: Simulation) -> dict[str, np.ndarray]:
    blocks = [thrown(simulation, block) for block in range(simulation.n_blocks)]
    return {name: np.concatenate([block[name] for block in blocks]) for name in blocks[0]}


class TestSampling:
    @pytest.mark.parametrize("index", [-1.0, -2.0, -2.7])
    def test_energies_follow_the_power_law(self, index):
        simulation = Simulation(
            n_showers=4000, spectral_index=index, energy_range_min=0.3, energy_range_max=30
        )
        energy = all_thrown(simulation)["true_energy"]

        def cumulative(e):
            if index == -1:
                return np.log(e / 0.3) / np.log(100)
            return (e ** (index + 1) - 0.3 ** (index + 1)) / (30 ** (index + 1) - 0.3 ** (index + 1))

        assert stats.kstest(energy, cumulative).pvalue > 1e-3
        assert energy.min() >= 0.3
        assert energy.max() <= 30

    def test_cores_are_uniform_in_the_disc_across_the_shower(self):
        simulation = Simulation(n_showers=4000, altitude=50, azimuth=120, max_scatter_range=300)
        truth = all_thrown(simulation)
        s = np.stack(horizon_to_direction(*np.deg2rad([truth["true_alt"], truth["true_az"]])), axis=1)
        core = np.stack([truth["true_core_x"], truth["true_core_y"], np.zeros(len(s))], axis=1)
        across = core - np.sum(core * s, axis=1)[:, None] * s
        radius = np.linalg.norm(across, axis=1)
        assert stats.kstest((radius / 300) ** 2, "uniform").pvalue > 1e-3
        axes = instrument.sky_axes(np.array([np.deg2rad(50)]), np.array([np.deg2rad(120)]))[0]
        angle = np.arctan2(across @ axes[0], across @ axes[1])
        assert stats.kstest(angle / (2 * np.pi) + 0.5, "uniform").pvalue > 1e-3

    def test_directions_are_uniform_in_the_cone(self):
        simulation = Simulation(particle="proton", n_showers=4000, altitude=60, azimuth=10, offset=1)
        truth = all_thrown(simulation)
        lon, lat = telescope_offset(truth["true_alt"], truth["true_az"], *simulation.axis)
        cos = np.cos(np.deg2rad(lon)) * np.cos(np.deg2rad(lat))
        share = (1 - cos) / (1 - np.cos(np.deg2rad(5)))
        assert share.max() <= 1 + 1e-9
        assert stats.kstest(share, "uniform").pvalue > 1e-3
        assert stats.kstest(np.arctan2(lat, lon) / (2 * np.pi) + 0.5, "uniform").pvalue > 1e-3
        centre = telescope_offset(*simulation.axis, 60, 10)
        assert centre == pytest.approx((1, 0), abs=1e-9)

    @given(st.integers(0, 2**40), st.integers(1, 5 * BLOCK), st.sampled_from(["gamma", "proton"]))
    @settings(max_examples=20)
    def test_every_shower_is_thrown_once(self, seed, n_showers, particle):
        truth = all_thrown(Simulation(particle=particle, n_showers=n_showers, seed=seed))
        assert list(truth["event_index"]) == list(range(n_showers))
        assert len(np.unique(truth["true_energy"])) == n_showers


class TestRun:
    def test_any_partitioning_gives_the_same(self, run):
        parts = [simulate_blocks(SMALL, block, block + 1) for block in (2, 0, 1)]
        for table, columns in run.items():
            for name, column in columns.items():
                again = np.concatenate([parts[i][table][name] for i in (1, 2, 0)])
                np.testing.assert_array_equal(column, again, err_msg=f"{table}/{name}")

    def test_seeds_and_particles_differ(self, run):
        other = simulate_blocks(SMALL.model_copy(update={"seed": 12}), 0, 1)
        assert not np.isin(run["events"]["true_energy"], other["events"]["true_energy"]).any()
        a, b = (thrown(Simulation(particle=p, seed=1), 0)["true_energy"] for p in ("gamma", "proton"))
        assert not np.isin(a, b).any()

    def test_columns_are_as_declared(self, run):
        schema = schema_of(SMALL)
        for table in ("events", "simcam"):
            assert schema[table].validate(run[table], complete=True) == len(run[table]["obs_id"])

    def test_truth_fits_the_readouts(self, run):
        events, readouts = run["events"], run["simcam"]
        owner = np.repeat(np.arange(len(events["run"])), events["n_simcam"])
        assert len(owner) == len(readouts["tel_id"])
        assert (events["n_simcam"] >= 2).all()
        assert (np.diff(events["event_index"]) > 0).all()
        np.testing.assert_array_equal(events["event_id"][owner], readouts["event_id"])
        np.testing.assert_array_equal(readouts["true_image"].sum(axis=1), readouts["true_image_sum"])
        assert (readouts["true_image_sum"] >= SMALL.trigger_threshold).all()
        assert (readouts["trigger_time"] >= 0).all()
        assert readouts["trigger_time"].max() < 1e3
        assert (readouts["n_trigger_pixels"] > 0).all()
        slant = events["true_x_max"]
        assert (slant > 80).all()
        assert (slant < 800).all()

    def test_signal_in_the_samples_is_the_true_image(self, run):
        charge = r1(SMALL, run["simcam"]).sum(axis=1)
        true = run["simcam"]["true_image"]
        bright = true.sum(axis=1) > 300
        total = (charge * (true > 3))[bright].sum(axis=1) / (true * (true > 3))[bright].sum(axis=1)
        assert np.median(total) == pytest.approx(1, abs=0.02)

    def test_night_sky_is_poisson(self, run):
        """Campbell's theorem: variance and autocovariance of samples without Cherenkov light."""
        readouts = run["simcam"]
        dark = np.broadcast_to((readouts["true_image"] == 0)[:, None], (len(readouts["tel_id"]), 40, 1801))
        samples = np.where(dark, r1(SMALL, readouts), np.nan)
        assert np.nanmean(samples) == pytest.approx(0, abs=2e-3)
        pulse = tables.pulse_shape(np.arange(0, 20, 0.01))
        square, product = (np.sum(pulse * np.roll(pulse, -lag)) * 0.01 for lag in (0, 200))
        by_pe = SMALL.night_sky_rate * (1 + tables.SINGLE_PE_WIDTH**2)
        row = readouts["tel_id"] - 1
        dc_to_pe = instrument.calibration_columns(4, 1, 0.2)["dc_to_pe"][row, 0]
        adc = (instrument.ADC_NOISE**2 + 1 / 12) * np.mean(dc_to_pe**2)
        assert np.nanvar(samples) == pytest.approx(by_pe * square + adc, rel=0.01)
        assert np.nanmean(samples[:, :-2] * samples[:, 2:]) == pytest.approx(by_pe * product, rel=0.02)

    @pytest.mark.parametrize("particle", ["gamma", "proton"])
    def test_nothing_triggers(self, particle):
        simulation = Simulation(particle=particle, n_showers=3, energy_range_max=0.11, max_scatter_range=1e5)
        made, schema = simulate_blocks(simulation, 0, 1), schema_of(simulation)
        assert [schema[table].validate(made[table], complete=True) for table in made] == [0, 0]

    def test_low_and_bright_showers(self):
        simulation = Simulation(
            particle="proton", n_showers=5, altitude=30, max_viewcone_radius=20, energy_range_min=900,
            energy_range_max=1000,
        )  # fmt: skip
        made = simulate_blocks(simulation, 0, 1)
        assert made["simcam"]["r0_waveform"].max(initial=0) <= instrument.FULL_SCALE
        assert np.isfinite(made["events"]["true_x_max"]).all()

    def test_no_night_sky(self):
        made = simulate_blocks(Simulation(n_showers=60, night_sky_rate=0), 0, 1)["simcam"]
        dark = made["true_image"] == 0
        samples = made["r0_waveform"][:, 0].transpose(0, 2, 1)[dark]
        assert samples.std(axis=1).mean() == pytest.approx(instrument.ADC_NOISE, rel=0.03)

    def test_second_gain_channel(self):
        simulation = Simulation(n_showers=60, n_gains=2, energy_range_min=5)
        made = simulate_blocks(simulation, 0, 1)["simcam"]["r0_waveform"].astype(float)
        calibration = instrument.calibration_columns(4, 2, simulation.night_sky_rate)
        tel_id = simulate_blocks(simulation, 0, 1)["simcam"]["tel_id"] - 1
        high, low = ((made - calibration["pedestal"][tel_id][:, :, None])
                     * calibration["dc_to_pe"][tel_id][:, :, None]).transpose(1, 0, 2, 3)  # fmt: skip
        bright = (high > 100) & (made[:, 0] < instrument.FULL_SCALE)
        assert bright.sum() > 100
        assert low[bright] / high[bright] == pytest.approx(np.ones(bright.sum()), abs=0.1)


class TestSource:
    @given(
        st.sampled_from(["gamma", "proton"]), st.integers(1, 10**9), st.integers(0, 2**61),
        st.floats(0.03, 0.9), st.floats(0, 3), st.integers(1, 2),
    )  # fmt: skip
    def test_path_names_the_simulation(self, particle, n_showers, seed, energy, offset, n_gains):
        simulation = Simulation(
            particle=particle, n_showers=n_showers, seed=seed, energy_range_min=energy, offset=offset,
            n_gains=n_gains, positions=((0.5, 1), (-100.25, 3), (7, 1e-3)),
        )  # fmt: skip
        assert Simulation.of(simulation.path()) == simulation
        assert Simulation(particle=particle).path() == f"simulated://{particle}"

    def test_it_is_found(self):
        assert isinstance(find_source("simulated://gamma"), SimulatedSource)

    @pytest.mark.parametrize(
        ("path", "place", "message"),
        [
            ("simulated://gamma?n_shower=5", "parameters", "did you mean 'n_showers'"),
            ("simulated://electron", "particle", "'gamma' or 'proton', not 'electron'"),
            ("simulated://gamma?n_showers=0", "n_showers", "greater than or equal to 1, not '0'"),
            ("simulated://gamma?n_showers", "parameters", "bad query field"),
            ("simulated://gamma?positions=[[0,0],", "parameters", "Expecting value"),
            ("simulated://gamma?energy_range_min=5&energy_range_max=2", "parameters", "must be less than"),
        ],
    )
    def test_wrong_paths_say_so(self, path, place, message):
        with pytest.raises(SourceError, match="simulated://") as caught:
            SimulatedSource().scan(path)
        assert caught.value.failure.place == place
        assert message in str(caught.value)

    def test_scan_and_read(self, run):
        source, path = SimulatedSource(), SMALL.path()
        scan = source.scan(path)
        assert scan.splittable
        assert len(scan.rows["events"]) == SMALL.n_blocks
        n_events, n_readouts = (len(run[t]["obs_id"]) for t in ("events", "simcam"))
        assert 0.8 * n_events < scan.rows["events"].sum() < 2 * n_events
        assert 0.8 * n_readouts < scan.rows["simcam"].sum() < 2 * n_readouts
        for name, columns in scan.static.items():
            assert scan.schema[name].validate(columns, complete=True) > 0

        wanted = frozenset({"events/true_energy", "simcam/tel_id", "simcam/true_image"})
        parts = list(source.read(scan, [(1, 3), (0, 1)], wanted))
        assert [set(part.tables["simcam"]) for part in parts] == [{"tel_id", "true_image"}] * 2
        assert set(parts[0].tables["events"]) == {"true_energy", "n_simcam"}
        joined = np.concatenate([part["events/true_energy"] for part in parts[::-1]])
        np.testing.assert_array_equal(joined, run["events"]["true_energy"])
        assert parts[0].offsets("simcam")[-1] == parts[0].rows("simcam")
        # The coefficients are met once, and known everywhere.
        assert [part.rows("calibration/simcam") for part in parts] == [0, 4]
        known = [part.conditions["calibration/simcam"] for part in parts]
        assert all(
            scan.schema["calibration/simcam"].validate(columns, complete=True) == 4 for columns in known
        )

    def test_sampling_is_recorded(self):
        simulation = Simulation(
            particle="proton", n_showers=500, seed=5, spectral_index=-2.7, max_viewcone_radius=3, altitude=80
        )
        recorded = SimulatedSource().scan(simulation.path()).static["simulation"]
        for name, value in {
            "n_showers": 500, "shower_reuse": 1, "energy_range_min": 0.1, "energy_range_max": 50,
            "spectral_index": -2.7, "max_viewcone_radius": 3, "max_scatter_range": 700, "min_alt": 80,
        }.items():  # fmt: skip
            assert recorded[name][0] == pytest.approx(value), name


@pytest.fixture(scope="module")
def images() -> dict[str, dict[str, np.ndarray]]:
    """Hillas parameters, by ctapipe, of cleaned true images of gammas from a point and of protons."""
    import astropy.units as u
    from ctapipe.coordinates import TelescopeFrame
    from ctapipe.image import hillas_parameters, tailcuts_clean
    from ctapipe.instrument import CameraGeometry

    columns = instrument.camera_columns()
    lon, lat = (np.rad2deg(columns[name] / instrument.FOCAL_LENGTH) for name in ("pixel_y", "pixel_x"))
    area = np.full(lon.size, np.sqrt(0.75) * instrument.PIXEL_PITCH**2)
    geometry = CameraGeometry(
        "simcam",
        np.arange(lon.size),
        lon * u.deg,
        lat * u.deg,
        area * u.deg**2,
        "hexagonal",
        frame=TelescopeFrame(),
    )
    found = {}
    for simulation in (
        Simulation(n_showers=400, seed=21, offset=0.5, energy_range_min=0.5, max_scatter_range=250),
        Simulation(particle="proton", n_showers=1500, seed=21, energy_range_min=1, max_scatter_range=300),
    ):
        made = simulate_blocks(simulation, 0, simulation.n_blocks)
        owner = np.repeat(np.arange(len(made["events"]["run"])), made["events"]["n_simcam"])
        rows = []
        for event, image in zip(owner, made["simcam"]["true_image"].astype(float), strict=True):
            mask = tailcuts_clean(geometry, image, 8, 4, min_number_picture_neighbors=1)
            if image[mask].sum() < 100:
                continue
            h = hillas_parameters(geometry[mask], image[mask])
            position = h.fov_lon.value, h.fov_lat.value
            rows.append((event, h.intensity, h.length.value, h.width.value, *position, h.psi.to_value(u.rad)))
        names = ("event", "intensity", "length", "width", "lon", "lat", "psi")
        found[simulation.particle] = dict(zip(names, np.array(rows).T, strict=True)) | {
            "events": made["events"]
        }
    return found


class TestPhysics:
    def test_gamma_images_are_narrow(self, images):
        # 0.06-0.14 degrees, as those of H.E.S.S. and of the model's prototype.
        gamma = images["gamma"]
        assert 0.06 < np.median(gamma["width"]) < 0.12
        assert 0.15 < np.median(gamma["length"]) < 0.5

    def test_proton_images_are_wider(self, images):
        widths = [images[particle]["width"] for particle in ("gamma", "proton")]
        area = stats.mannwhitneyu(widths[1], widths[0]).statistic / (len(widths[0]) * len(widths[1]))
        assert min(map(len, widths)) > 100
        assert area > 0.7

    def test_gamma_images_point_to_the_source(self, images):
        """Angular resolution of the crossing point of the images' axes, which knows nothing of the model."""
        gamma = images["gamma"]
        normal = np.stack([-np.sin(gamma["psi"]), np.cos(gamma["psi"])], axis=1)
        level = np.sum(normal * np.stack([gamma["lon"], gamma["lat"]], axis=1), axis=1)
        weight = gamma["intensity"] * (1 - gamma["width"] / gamma["length"]) ** 2
        theta = []
        for event in np.unique(gamma["event"]):
            i = np.flatnonzero(gamma["event"] == event)
            if len(i) >= 3:
                matrix = np.einsum("i,ij,ik->jk", weight[i], normal[i], normal[i])
                crossing = np.linalg.solve(matrix, (weight[i] * level[i]) @ normal[i])
                theta.append(np.hypot(crossing[0] - 0.5, crossing[1]))
        assert len(theta) > 100
        assert np.quantile(theta, 0.68) < 0.1
        assert np.quantile(theta, 0.68) > 0.01  # and images do fluctuate

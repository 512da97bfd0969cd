"""Job scripts of SLURM, HTCondor and PBS, as text; what the last two do with them was not tried here."""

import os
import shlex
import subprocess

import pytest

from etendue.cluster import jobs
from etendue.cluster.profile import HTCondorProfile, PBSProfile, SlurmProfile
from etendue.cluster.security import temporary_credentials

pytest.importorskip("dask_jobqueue")

PROFILES = {"slurm": SlurmProfile, "htcondor": HTCondorProfile, "pbs": PBSProfile}


@pytest.fixture(scope="module")
def credentials(tmp_path_factory):
    return temporary_credentials(tmp_path_factory.mktemp("shared"))


@pytest.fixture
def script(tmp_path, credentials):
    def make(kind, **changes):
        facts = {
            "cores": 4,
            "memory": "8GB",
            "shared_directory": tmp_path,
            "walltime": "2h",
            "account": "cta",
        }
        profile = PROFILES[kind](**facts | changes)
        variables = jobs.private_environment(profile) if profile.environment else None
        with jobs.make_cluster(profile, credentials, variables) as cluster:
            return cluster.job_script()

    return make


@pytest.mark.parametrize("kind", PROFILES)
def test_what_holds_for_all(kind, script, credentials):
    text = script(kind)
    assert "tls://" in text
    assert "tcp://" not in text
    for option, name in (("ca-file", "ca.pem"), ("cert", "cert.pem"), ("key", "key.pem")):
        assert f"--tls-{option} {credentials / name}" in text
    assert "PRIVATE KEY" not in text
    assert "--lifetime=6480s" in text
    assert "--lifetime-stagger=360s" in text
    assert "--no-dashboard" in text
    assert "--dashboard-address=127.0.0.1:0" in text
    assert "--nthreads 1" in text
    assert "--nworkers 4" in text
    assert "--memory-limit 1.86GiB" in text  # a quarter of 8 GB, each
    for variable in ("OMP_NUM_THREADS", "NUMBA_NUM_THREADS", "MALLOC_ARENA_MAX"):
        assert f'export {variable}="1"' in text.replace('""', '"')
    assert "DASK_DISTRIBUTED__WORKER__MEMORY__TARGET" in text


def test_slurm(script):
    lines = script("slurm", queue="htc", directives=("--constraint=el9",)).splitlines()
    for line in (
        "-J etendue",
        "-p htc",
        "-A cta",
        "--cpus-per-task=4",
        "--mem=8G",
        "-t 02:00:00",
        "--constraint=el9",
    ):
        assert f"#SBATCH {line}" in lines


def test_pbs(script):
    lines = script("pbs", queue="batch", directives=("-l place=scatter",)).splitlines()
    for line in ("-N etendue", "-q batch", "-A cta", "-l walltime=02:00:00", "-l place=scatter"):
        assert f"#PBS {line}" in lines
    assert "#PBS -l select=1:ncpus=4:mem=7630MB" in lines
    assert "#PBS -l nodes=1:ppn=4" in script("pbs", resource_spec="nodes=1:ppn=4").splitlines()


def test_htcondor(script):
    lines = script("htcondor", disk="10GB", directives=('+JobFlavour = "longlunch"',)).splitlines()
    for line in (
        "RequestCpus = MY.DaskWorkerCores", "MY.DaskWorkerCores = 4", "MY.DaskWorkerMemory = 8000000000",
        "MY.DaskWorkerDisk = 10000000000", "allowed_job_duration = 7200", "accounting_group = cta",
        '+JobFlavour = "longlunch"', "Executable = /bin/sh",
    ):  # fmt: skip
        assert line in lines


def unquoted(text):
    """The words of a line ``Arguments = "..."``, by the rules of HTCondor's manual for condor_submit."""
    (line,) = (line for line in text.splitlines() if line.startswith("Arguments = "))
    body = line.removeprefix('Arguments = "').removesuffix('"').replace('""', '"')
    return shlex.split(body.replace("''", "\0"), posix=True)


def run_head(command, folder):
    """Run the part of a job before its worker, and print the environment instead."""
    head = command[: command.index("-m distributed.cli.dask_worker")].rpartition("\n")[0]
    environment = {"PATH": os.environ["PATH"], "HOME": str(folder), "TMPDIR": str(folder)}
    done = subprocess.run(
        ["bash", "-c", f"{head}\nenv; ls -d $ETENDUE_SCRATCH"],
        env=environment, capture_output=True, text=True, timeout=30, check=True,
    )  # fmt: skip
    return dict(line.split("=", 1) for line in done.stdout.splitlines() if "=" in line)


@pytest.mark.parametrize("kind", ["slurm", "pbs"])
def test_the_head_of_a_job_runs_and_leaves_nothing(kind, script, tmp_path):
    """Variables are filled in on the node, values are taken as they are, scratch goes with the job."""
    wild = {"DATA": "$HOME/data", "PLAIN": 'a "quoted" `id` $(id) \\ value'}
    made = run_head(script(kind, environment=wild, prologue=("export MODULE=loaded",)), tmp_path)
    assert made["DATA"] == f"{tmp_path}/data"
    assert made["PLAIN"] == wild["PLAIN"]
    assert made["MODULE"] == "loaded"
    assert made["NUMBA_CACHE_DIR"].startswith(f"{tmp_path}/etendue.")
    assert not list(tmp_path.glob("etendue.*"))


@pytest.mark.parametrize("kind", PROFILES)
def test_what_a_profile_puts_into_the_environment_is_seen_by_its_owner_only(kind, script, tmp_path):
    """Batch systems show scripts to everybody: `scontrol write batch_script`, `qstat -f`, condor_q -long."""
    text = script(kind, environment={"AWS_SECRET_ACCESS_KEY": "wJalrXUtnFEMI", "SITE": "dc1"})
    assert "wJalrXUtnFEMI" not in text
    (file,) = tmp_path.glob("environment-*.sh")
    assert str(file) in text
    assert file.stat().st_mode & 0o777 == 0o600
    assert 'export AWS_SECRET_ACCESS_KEY="wJalrXUtnFEMI"' in file.read_text().splitlines()


def test_containers_can_be_the_python_of_a_job(script):
    text = script("slurm", python="apptainer exec --bind /data image.sif python")
    assert "\napptainer exec --bind /data image.sif python -m distributed.cli.dask_worker" in text

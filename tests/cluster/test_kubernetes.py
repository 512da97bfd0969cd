"""Manifests for the Dask operator, as text; no Kubernetes took them here."""

from pathlib import Path

import pytest
import yaml

from etendue.cluster.kubernetes import manifests
from etendue.cluster.profile import KubernetesProfile, read_profile
from etendue.cluster.security import temporary_security

FOLDER = Path(__file__).parents[2] / "cluster"


@pytest.fixture(scope="module")
def made():
    profile = KubernetesProfile(jobs=3, cores=2, memory="8GiB", namespace="cta", image="site/etendue:1")
    return manifests(profile, "night", temporary_security())


def container(cluster, role):
    (found,) = cluster["spec"][role]["spec"]["containers"]
    return found


def test_scheduler_and_workers_speak_tls_only(made):
    secret, cluster = made
    assert secret["stringData"]["key.pem"].startswith("-----BEGIN")
    for role in ("scheduler", "worker"):
        words = container(cluster, role)["args"]
        for option, name in (
            ("--tls-ca-file", "ca.pem"),
            ("--tls-cert", "cert.pem"),
            ("--tls-key", "key.pem"),
        ):
            assert words[words.index(option) + 1] == f"/etc/etendue/credentials/{name}"
    assert "tls://night-scheduler.cta.svc:8786" in container(cluster, "worker")["args"]
    words = container(cluster, "scheduler")["args"]
    assert words[words.index("--protocol") + 1] == "tls"
    assert words[words.index("--dashboard-address") + 1].startswith("127.0.0.1:")
    assert "tcp://" not in str(cluster)
    assert "BEGIN" not in str(cluster)


def test_credentials_reach_the_pods_and_nobody_else_in_them(made):
    secret, cluster = made
    for role in ("scheduler", "worker"):
        pod = cluster["spec"][role]["spec"]
        (volume,) = (v["secret"] for v in pod["volumes"] if v["name"] == "credentials")
        assert volume["secretName"] == secret["metadata"]["name"]
        assert volume["defaultMode"] & 0o007 == 0
        assert pod["securityContext"]["runAsNonRoot"]


@pytest.mark.parametrize("security", [None, temporary_security()])
def test_the_environment_of_a_profile_is_in_the_secret_only(security):
    profile = KubernetesProfile(
        environment={"AWS_SECRET_ACCESS_KEY": "wJalrXUtnFEMI", "OMP_NUM_THREADS": "2"}
    )
    secret, cluster = manifests(profile, "night", security)
    assert "wJalrXUtnFEMI" not in str(cluster)
    for role in ("scheduler", "worker"):
        variables = container(cluster, role)["env"]
        names = [v["name"] for v in variables]
        assert len(names) == len(set(names))
        found = {v["name"]: v["valueFrom"]["secretKeyRef"] for v in variables if "valueFrom" in v}
        told = {name: secret["stringData"][place["key"]] for name, place in found.items()}
        assert told == profile.environment
        assert {place["name"] for place in found.values()} == {secret["metadata"]["name"]}
        (volume,) = (
            v["secret"] for v in cluster["spec"][role]["spec"]["volumes"] if v["name"] == "credentials"
        )
        assert {item["path"] for item in volume["items"]} == {"ca.pem", "cert.pem", "key.pem"}


def test_sizes(made):
    worker = container(made[1], "worker")
    assert made[1]["spec"]["worker"]["replicas"] == 3
    assert worker["image"] == "site/etendue:1"
    assert worker["resources"]["limits"] == {"cpu": "2", "memory": str(8 << 30)}
    words = worker["args"]
    assert words[words.index("--nworkers") + 1] == "2"
    assert words[words.index("--memory-limit") + 1] == str(4 << 30)


def test_the_operator_sets_no_address_without_encryption(made):
    """It adds DASK_SCHEDULER_ADDRESS=tcp://... to containers that do not have the variable."""
    for role in ("scheduler", "worker"):
        variables = {v["name"]: v["value"] for v in container(made[1], role)["env"]}
        assert variables["DASK_SCHEDULER_ADDRESS"] == "tls://night-scheduler.cta.svc:8786"
        assert variables["DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES"] == "10"


def test_services_and_pods_are_those_that_the_operator_makes(made):
    """Against the peer: names of ports, selectors and places of things in a DaskCluster."""
    kubecluster = pytest.importorskip("dask_kubernetes.operator.kubecluster.kubecluster")
    theirs, ours = kubecluster.make_cluster_spec("night", n_workers=3), made[1]
    for key in ("apiVersion", "kind", "metadata"):
        assert ours[key] == theirs[key]
    for role in ("scheduler", "worker"):
        assert ours["spec"][role].keys() == theirs["spec"][role].keys()
        assert container(ours, role)["name"] == container(theirs, role)["name"]
    mine, his = (spec["spec"]["scheduler"]["service"] for spec in (ours, theirs))
    assert mine["selector"] == his["selector"]
    assert mine["ports"][0] == his["ports"][0]


def test_the_example_is_what_is_made():
    profile = read_profile(FOLDER / "kubernetes.toml")
    (shown,) = yaml.safe_load_all((FOLDER / "kubernetes.yaml").read_text())
    assert shown == manifests(profile, "etendue", temporary_security())[1]

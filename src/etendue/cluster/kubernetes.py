"""Workers that are pods of the Dask operator.

The operator's own `KubeCluster` speaks to schedulers without encryption only. So its resources are used as
they are: a Secret with the credentials, and a DaskCluster whose pods mount it.
"""

from __future__ import annotations

import os
import time
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from etendue.cluster.errors import ClusterError, needed
from etendue.cluster.profile import ENVIRONMENT, KubernetesProfile, variable
from etendue.cluster.security import FILES, reach, temporary_security

if TYPE_CHECKING:
    from distributed import Client
    from distributed.security import Security

PORT = 8786
#: Where pods see the credentials.
CREDENTIALS = "/etc/etendue/credentials"
#: What the keys of environment variables begin with in the Secret.
VARIABLE = "environment."
#: Seconds within which the scheduler's pod has to be there.
TIMEOUT = 600
#: The user and group of the image (see cluster/Dockerfile).
USER = 1000


def connect_pods(profile: KubernetesProfile, insecure: bool) -> Client:
    """Have the operator start scheduler and workers, and connect."""
    kr8s = needed("kr8s", profile.extra)
    from kr8s.objects import Secret, new_class

    from etendue.cluster.client import ClusterClient

    security = None if insecure else temporary_security()
    name = f"etendue-{uuid4().hex[:8]}"
    with ExitStack() as stack:
        secret, cluster = manifests(profile, name, security)
        kinds = {"Secret": Secret, "DaskCluster": new_class("DaskCluster", cluster["apiVersion"])}
        for manifest in (secret, cluster) if secret["stringData"] else (cluster,):
            thing = kinds[manifest["kind"]](manifest, namespace=profile.namespace)
            thing.create()
            stack.callback(thing.delete)
        pod = _scheduler_pod(kr8s, profile, name)
        host, port = f"{name}-scheduler.{profile.namespace}.svc", PORT
        if "KUBERNETES_SERVICE_HOST" not in os.environ:  # we are outside
            forward = pod.portforward(remote_port=PORT, local_port="auto")
            forward.start()
            stack.callback(forward.stop)
            host, port = "localhost", forward.local_port
        address = f"{'tls' if security else 'tcp'}://{host}:{port}"
        reach(address, security)
        client = ClusterClient(address, stack.pop_all(), security=security)
        try:
            client.wait_for_workers(1, timeout=TIMEOUT)
        except BaseException:
            client.close()
            raise
        return client


def _scheduler_pod(kr8s: Any, profile: KubernetesProfile, name: str) -> Any:
    label = f"dask.org/cluster-name={name},dask.org/component=scheduler"
    deadline = time.monotonic() + TIMEOUT
    while time.monotonic() < deadline:
        for pod in kr8s.get("pods", namespace=profile.namespace, label_selector=label):
            pod.wait("condition=Ready", timeout=TIMEOUT)
            return pod
        time.sleep(1)
    raise ClusterError(
        f"no scheduler within {TIMEOUT} s: is the Dask operator installed in this cluster, and may its pods "
        f"pull {profile.image}? (kubectl -n {profile.namespace} describe daskcluster {name})"
    )


def manifests(profile: KubernetesProfile, name: str, security: Security | None) -> tuple[dict, dict]:
    """The Secret with the credentials and the site's own environment, and the DaskCluster.

    Parameters
    ----------
    profile : KubernetesProfile
        How many pods, how large, of which image.
    name : str
        Of the cluster.
    security : Security or None
        Credentials in memory; None for a scheduler without encryption.
    """
    credentials = {}
    if security:
        texts = (security.tls_ca_file, security.tls_client_cert, security.tls_client_key)
        credentials = dict(zip(FILES, texts, strict=True))
    secret = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": f"{name}-credentials"},
        "type": "Opaque",
        "stringData": credentials | {VARIABLE + key: value for key, value in profile.environment.items()},
    }
    protocol = "tls" if security else "tcp"
    address = f"{protocol}://{name}-scheduler.{profile.namespace}.svc:{PORT}"
    keys = ("--tls-ca-file", "--tls-cert", "--tls-key")
    files = zip(keys, FILES, strict=True)
    tls = [word for key, file in files for word in (key, f"{CREDENTIALS}/{file}")] if security else []
    scheduler = ["dask", "scheduler", "--protocol", protocol, "--port", str(PORT), *tls]
    scheduler += ["--dashboard-address", "127.0.0.1:8787"]
    worker = ["dask", "worker", address, *tls, "--name", "$(DASK_WORKER_NAME)", "--no-dashboard"]
    worker += ["--dashboard-address", "127.0.0.1:0"]  # a server is there without pages too
    worker += ["--nworkers", str(profile.cores), "--nthreads", "1"]
    worker += ["--memory-limit", str(profile.memory // profile.cores), "--local-directory", "/scratch"]
    ports = [{"name": "tcp-comm", "containerPort": PORT, "protocol": "TCP"}]
    alive = {"tcpSocket": {"port": "tcp-comm"}, "initialDelaySeconds": 5, "periodSeconds": 10}
    environment = {"DASK_SCHEDULER_ADDRESS": address}  # else the operator sets one without encryption
    environment |= ENVIRONMENT | {"NUMBA_CACHE_DIR": "/scratch/numba"}
    environment |= {variable(key): str(value) for key, value in profile.settings.items()}
    known = {key: {"name": key, "value": value} for key, value in environment.items()}
    known |= {key: {"name": key, "valueFrom": _secret(name, key)} for key in profile.environment}
    pods = {
        role: {
            "name": role,
            "image": profile.image,
            "args": command,
            "env": [*known.values()],
            "resources": {"requests": size, "limits": size},
            "volumeMounts": [
                {"name": "credentials", "mountPath": CREDENTIALS, "readOnly": True},
                {"name": "scratch", "mountPath": "/scratch"},
            ],
        }
        for role, command, size in (
            ("scheduler", scheduler, {"cpu": "1", "memory": "2G"}),
            ("worker", worker, {"cpu": str(profile.cores), "memory": str(profile.memory)}),
        )
    }
    pods["scheduler"] |= {"ports": ports, "readinessProbe": alive}
    service = {
        "type": "ClusterIP",
        "selector": {"dask.org/cluster-name": name, "dask.org/component": "scheduler"},
        "ports": [{"name": "tcp-comm", "protocol": "TCP", "port": PORT, "targetPort": "tcp-comm"}],
    }
    cluster = {
        "apiVersion": "kubernetes.dask.org/v1",
        "kind": "DaskCluster",
        "metadata": {"name": name},
        "spec": {
            "scheduler": {"spec": _pod(name, pods["scheduler"]), "service": service},
            "worker": {"replicas": profile.jobs, "spec": _pod(name, pods["worker"])},
        },
    }
    return secret, cluster


def _secret(name: str, key: str) -> dict[str, Any]:
    """Where a pod finds a variable that a description of it does not show."""
    return {"secretKeyRef": {"name": f"{name}-credentials", "key": VARIABLE + key}}


def _pod(name: str, container: dict[str, Any]) -> dict[str, Any]:
    """A pod of one container that runs as nobody special, with its credentials and empty scratch."""
    items = [{"key": file, "path": file} for file in FILES]
    secret = {"secretName": f"{name}-credentials", "defaultMode": 0o440, "optional": True, "items": items}
    return {
        "containers": [container],
        "securityContext": {"runAsNonRoot": True, "runAsUser": USER, "runAsGroup": USER, "fsGroup": USER},
        "volumes": [
            {"name": "credentials", "secret": secret},
            {"name": "scratch", "emptyDir": {}},
        ],
    }

"""Workers that are jobs of a batch system: SLURM, HTCondor, PBS.

Jobs end at any time: at their walltime, by an operator's hand, with their node. dask-jobqueue then goes on
with those that are left. `Keeper` sends new ones.
"""

from __future__ import annotations

import getpass
import logging
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from tempfile import mkstemp
from threading import Event, Thread
from typing import TYPE_CHECKING, Any

from etendue.cluster.errors import ClusterError, needed
from etendue.cluster.profile import ENVIRONMENT, HTCondorProfile, JobProfile, PBSProfile, clock, variable
from etendue.cluster.security import read_credentials, temporary_credentials

if TYPE_CHECKING:
    from dask_jobqueue import JobQueueCluster
    from distributed import Client

log = logging.getLogger(__name__)

_numbers = count()

#: Seconds between looks at the jobs.
CHECK_SECONDS = 15.0
#: Jobs a wanted job that may end without having brought a worker, before it is given up.
FAILURES = 3


@dataclass(frozen=True)
class BatchSystem:
    """What differs between batch systems."""

    #: Class of dask-jobqueue.
    cluster: str
    #: Command that submits.
    submit: str
    #: Command that prints the numbers of a user's jobs, one a line.
    list_jobs: tuple[str, ...]


SYSTEMS = {
    "slurm": BatchSystem("SLURMCluster", "sbatch", ("squeue", "--noheader", "--format=%A", "--user={user}")),
    "htcondor": BatchSystem(
        "HTCondorCluster", "condor_submit", ("condor_q", "{user}", "-autoformat", "ClusterId")
    ),
    "pbs": BatchSystem("PBSCluster", "qsub", ("qselect", "-u", "{user}")),
}


def connect_jobs(profile: JobProfile, insecure: bool) -> Client:
    """Submit the jobs of a profile, wait for the first worker, and connect."""
    system = SYSTEMS[profile.kind]
    needed("dask_jobqueue", profile.extra)
    if shutil.which(system.submit) is None:
        raise ClusterError(
            f"there is no {system.submit} here: run this where {profile.kind} jobs are submitted from"
        )
    import dask

    from etendue.cluster.client import ClusterClient
    from etendue.cluster.kernels import WarmKernels

    with ExitStack() as stack, dask.config.set(profile.settings):
        credentials = None
        if not insecure:
            credentials = temporary_credentials(profile.shared)
            stack.callback(shutil.rmtree, credentials, ignore_errors=True)
        variables = None
        if profile.environment:
            variables = private_environment(profile)
            stack.callback(variables.unlink, missing_ok=True)
        cluster = stack.enter_context(make_cluster(profile, credentials, variables))
        keeper = Keeper(cluster, profile)
        stack.callback(keeper.stop)
        submit(cluster, 1)  # alone, so that a refusal is told once
        submit(cluster, profile.minimum_jobs if profile.adaptive else profile.jobs)
        if profile.adaptive:
            cluster.adapt(minimum_jobs=profile.minimum_jobs, maximum_jobs=profile.jobs)
        security = read_credentials(credentials) if credentials else None
        client = ClusterClient(cluster, stack.pop_all(), security=security)
        try:
            client.register_plugin(WarmKernels(str(profile.shared)))
            keeper.wait_for_worker()
            keeper.start(client)
        except BaseException:
            client.close()
            raise
        return client


def make_cluster(
    profile: JobProfile, credentials: Path | None, variables: Path | None = None, **options: Any
) -> JobQueueCluster:
    """The cluster of a profile, without jobs yet.

    Parameters
    ----------
    profile : JobProfile
        What the site wants.
    credentials : path or None
        Folder of credentials that the nodes see; None for a scheduler without encryption.
    variables : path, optional
        File of `private_environment`, which each job reads.
    **options
        Of the class of dask-jobqueue, beside those of the profile.
    """
    import dask_jobqueue

    logs = profile.shared / "logs"
    logs.mkdir(parents=True, exist_ok=True, mode=0o700)
    security = read_credentials(credentials) if credentials else None
    return getattr(dask_jobqueue, SYSTEMS[profile.kind].cluster)(
        cores=profile.cores,
        processes=profile.n_processes,
        memory=f"{profile.memory}B",
        interface=profile.interface,
        protocol="tls://" if security else "tcp://",
        security=security,
        scheduler_options={"interface": profile.interface, "dashboard_address": "127.0.0.1:0"},
        python=profile.python,
        local_directory='"$ETENDUE_SCRATCH"',
        log_directory=str(logs),
        job_name="etendue",
        shebang="#!/bin/bash",
        death_timeout=120,
        worker_extra_args=[
            "--no-dashboard",
            "--dashboard-address=127.0.0.1:0",  # a server is there without pages too
            f"--lifetime={profile.lifetime_seconds}s",
            f"--lifetime-stagger={profile.stagger_seconds}s",
        ],
        job_script_prologue=prologue(profile, variables),
        **_of_the_system(profile),
        **options,
    )


def _of_the_system(profile: JobProfile) -> dict[str, Any]:
    if isinstance(profile, HTCondorProfile):
        own = {"allowed_job_duration": str(profile.walltime)}
        if profile.queue:
            own["MY.QueueName"] = f'"{profile.queue}"'
        if profile.account:
            own["accounting_group"] = profile.account
        pairs = (directive.partition("=") for directive in profile.directives)
        own |= {name.strip(): value.strip() for name, _, value in pairs}
        return {"disk": f"{profile.disk}B", "job_extra_directives": own}
    facts = {
        "queue": profile.queue,
        "account": profile.account,
        "walltime": clock(profile.walltime),
        "job_extra_directives": list(profile.directives),
    }
    return facts | ({"resource_spec": profile.resource_spec} if isinstance(profile, PBSProfile) else {})


def submit(cluster: JobQueueCluster, n_jobs: int) -> None:
    """Submit what is missing to a number of jobs.

    As `JobQueueCluster.scale` does, which does not tell when the batch system refuses.
    """
    while len(cluster.worker_spec) < n_jobs:
        # Names are not used again: the cluster looks for lost workers by them.
        cluster.worker_spec[f"etendue-{next(_numbers)}"] = cluster.new_worker_spec().popitem()[1]
    try:
        cluster.sync(cluster._correct_state)
    except RuntimeError as error:
        from distributed.core import Status

        for job in cluster.workers.values():
            if job.job_id is None:
                job.status = Status.failed  # else the cluster cannot be closed
        said = str(error).partition("stderr:")[2].strip() or str(error)
        raise ClusterError(f"the batch system refuses the job: {said}") from None


def prologue(profile: JobProfile, variables: Path | None = None) -> list[str]:
    """Commands of a job before its worker: scratch that goes with the job, environment, the site's own."""
    return [
        f"export ETENDUE_SCRATCH=$(mktemp -d {_quoted(profile.local_directory + '/etendue.XXXXXXXX')})",
        "trap 'rm -rf \"$ETENDUE_SCRATCH\"' EXIT",
        *_exports(environment(profile)),
        *([f". {shlex.quote(str(variables))} || exit 1"] if variables else []),
        *profile.prologue,
    ]


def environment(profile: JobProfile) -> dict[str, str]:
    """What everybody may see of the workers' environment: ours, caches in scratch, Dask's settings."""
    return (
        ENVIRONMENT
        | {"NUMBA_CACHE_DIR": "$ETENDUE_SCRATCH/numba"}
        | {variable(key): str(value) for key, value in profile.settings.items()}
    )


def private_environment(profile: JobProfile) -> Path:
    """Write the profile's own environment into a file that only its owner can read; the caller removes it.

    It may hold keys, and batch systems show scripts of jobs to everybody and keep them.
    """
    profile.shared.mkdir(parents=True, exist_ok=True, mode=0o700)
    descriptor, path = mkstemp(prefix="environment-", suffix=".sh", dir=profile.shared)  # mode 0600
    with open(descriptor, "w") as file:
        file.write("\n".join([*_exports(profile.environment), ""]))
    return Path(path)


def _exports(variables: Mapping[str, str]) -> list[str]:
    return [f"export {name}={_quoted(value)}" for name, value in variables.items()]


def _quoted(value: str) -> str:
    """A word of the shell in which variables are filled in, and nothing else happens."""
    return '"' + re.sub(r'([\\"`])', r"\\\1", value).replace("$(", r"\$(") + '"'


class Keeper:
    """Sends new jobs for those that ended, from a thread beside the run.

    Parameters
    ----------
    cluster : JobQueueCluster
        The jobs.
    profile : JobProfile
        How many there should be.
    """

    def __init__(self, cluster: JobQueueCluster, profile: JobProfile) -> None:
        self.cluster = cluster
        self.profile = profile
        self.arrived: set[str] = set()
        self.failures = 0
        self.stopped = Event()
        self.thread = Thread(target=self._run, daemon=True, name="etendue-jobs")

    def start(self, client: Client) -> None:
        """Begin, for the tasks of a client."""
        self.client = client
        self.thread.start()

    def stop(self) -> None:
        self.stopped.set()
        if self.thread.is_alive():
            self.thread.join()

    def _run(self) -> None:
        while not self.stopped.wait(CHECK_SECONDS):
            self.replace_ended()

    def wait_for_worker(self) -> None:
        """Wait until a job brought a worker; raises `ClusterError` if all ended before."""
        checks = 0
        if sys.stderr.isatty():
            print(f"waiting for the first of {self.profile.jobs} {self.profile.kind} jobs", file=sys.stderr)
        while not self._present():
            self.stopped.wait(0.2)
            checks += 1
            if checks * 0.2 >= CHECK_SECONDS:
                checks = 0
                jobs = self.cluster.workers
                if jobs and not self._present() and len(self._ended(jobs)) == len(jobs):
                    raise ClusterError(
                        f"all {len(jobs)} jobs ended before a worker came; " + self._last_words(jobs)
                    )

    def replace_ended(self) -> None:
        """Look once at the jobs, and send new ones for those that are gone."""
        from distributed.core import Status

        present = self._present()
        if present - self.arrived:
            self.failures = 0
        self.arrived |= present
        jobs = {name: job for name, job in self.cluster.workers.items() if name not in present}
        ended = self._ended(jobs)
        for name in ended:
            jobs[name].status = Status.closed  # else the cluster cannot be closed
        self.failures += len(set(ended) - self.arrived)
        if self.failures > FAILURES * self.profile.jobs:
            self._give_up(jobs, present)
            return
        for name in ended:
            log.info("job %s ended; another one is sent", jobs[name].job_id)
            self.cluster.worker_spec.pop(name, None)
            self.cluster.workers.pop(name, None)
        if ended or self.cluster.worker_spec.keys() - self.cluster.workers.keys():
            wanted = self.profile.minimum_jobs if self.profile.adaptive else self.profile.jobs
            try:
                submit(self.cluster, wanted)
            except ClusterError as error:
                log.warning("%s; tried again in %g s", error, CHECK_SECONDS)

    def _give_up(self, jobs: dict[str, Any], present: set[str]) -> None:
        """Send no more jobs; when the last worker is gone, cancel what waits for one in vain."""
        from distributed import Future

        if not present:
            words = self._last_words(jobs)
            log.error("%d jobs brought no worker, and none is left; %s", self.failures, words)
            self.stopped.set()
            self.client.cancel([Future(key, self.client) for key in list(self.client.futures)])

    def _present(self) -> set[str]:
        """Names of jobs that have a worker now."""
        names = {str(state.name) for state in list(self.cluster.scheduler.workers.values())}
        if self.profile.n_processes > 1:
            names = {name.rpartition("-")[0] for name in names}  # of JOB-0, JOB-1, ...
        return names

    def _ended(self, jobs: dict[str, Any]) -> list[str]:
        """Which of some jobs the batch system knows no more."""
        if not jobs or (queued := self._queued()) is None:
            return []
        return [
            name for name, job in jobs.items() if job.job_id and job.job_id.partition(".")[0] not in queued
        ]

    def _queued(self) -> set[str] | None:
        """Numbers of the user's jobs; None if the batch system does not answer."""
        command = [word.format(user=getpass.getuser()) for word in SYSTEMS[self.profile.kind].list_jobs]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
        except (OSError, subprocess.SubprocessError) as error:
            log.warning("cannot look at the jobs: %s", error)
            return None
        return {line.strip().partition(".")[0] for line in done.stdout.splitlines()}

    def _last_words(self, jobs: dict[str, Any]) -> str:
        folder = self.profile.shared / "logs"
        files = [path for job in jobs.values() for path in folder.glob(f"*{job.job_id}*.e*")]
        return (
            f"the log {files[-1]} ends with: {files[-1].read_text()[-500:].strip()}"
            if files
            else f"see {folder}"
        )

"""Site profiles: what a computing centre wants to be told, in TOML."""

from __future__ import annotations

import os
import re
import sys
import tomllib
from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Self

from dask.utils import parse_bytes, parse_timedelta
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from etendue.cluster.errors import ClusterError
from etendue.dataflow import memory

#: What Dask is told where we start the scheduler. A task is tried again after ten workers died with it,
#: not three, since jobs end at any time; spans take a minute and not half a second; nothing is worth
#: spilling, since tasks return receipts of some hundred bytes.
DISTRIBUTED: dict[str, Any] = {
    "distributed.scheduler.allowed-failures": 10,
    "distributed.scheduler.unknown-task-duration": "60s",
    "distributed.worker.memory.target": False,
    "distributed.worker.memory.spill": False,
    "distributed.worker.memory.pause": 0.85,
    "distributed.worker.memory.terminate": 0.95,
    "distributed.comm.timeouts.connect": "60s",
}

#: Environment of the workers: one thread a task, and freed memory stays for the next partition.
ENVIRONMENT = {
    f"{name}_NUM_THREADS": "1" for name in ("OMP", "OPENBLAS", "MKL", "NUMBA")
} | memory.ENVIRONMENT


def seconds(value: Any) -> int:
    """Seconds of a duration: ``90``, ``"30m"``, ``"4h"``, ``"04:00:00"`` or ``"1-12:00:00"``."""
    if isinstance(value, str) and (match := re.fullmatch(r"(?:(\d+)-)?(\d+):(\d\d):(\d\d)", value)):
        days, hours, minutes, rest = (int(part or 0) for part in match.groups())
        return ((days * 24 + hours) * 60 + minutes) * 60 + rest
    try:
        return round(parse_timedelta(value))
    except (KeyError, TypeError, ValueError):
        raise ValueError("a duration is written as 30m, 4h, 04:00:00, or 1-12:00:00") from None


def _bytes(value: Any) -> int:
    try:
        return parse_bytes(value)
    except (TypeError, ValueError):
        raise ValueError("a size is written as 500MB or 4GiB") from None


Duration = Annotated[int, BeforeValidator(seconds)]
Size = Annotated[int, BeforeValidator(_bytes)]


def clock(duration: int) -> str:
    """Hours, minutes and seconds, as batch systems read them: ``100:00:00``."""
    return f"{duration // 3600:02d}:{duration // 60 % 60:02d}:{duration % 60:02d}"


def variable(key: str) -> str:
    """The environment variable from which Dask takes a setting."""
    return "DASK_" + key.upper().replace("-", "_").replace(".", "__")


class Profile(BaseModel):
    """What all kinds of cluster have in common."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    #: The extra of this package that brings what the kind needs.
    extra: ClassVar[str]

    kind: str
    description: str = Field("", description="For people.")
    cores: int = Field(1, gt=0, description="Cores of a job: as many partitions at a time.")
    memory: Size = Field("4GB", validate_default=True, description="Memory of a job.")
    environment: dict[str, str] = Field(
        {}, description="Environment variables of the workers; $NAME is filled in on the node."
    )
    distributed: dict[str, Any] = Field({}, description="Settings of Dask, beside those that we make.")

    @property
    def settings(self) -> dict[str, Any]:
        """Settings of Dask, ours and the site's."""
        return DISTRIBUTED | self.distributed


class NodeProfile(Profile):
    """Nodes that share directories with the driver."""

    interface: str | None = Field(
        None,
        description="Network interface that driver and nodes share, as ib0; by default that to the world.",
    )
    local_directory: str = Field(
        "${TMPDIR:-/tmp}", description="Scratch on the node; may hold shell variables of the job."
    )
    shared_directory: Path = Field(
        Path("~/.cache/etendue"),
        description="Directory that driver and nodes see, and nobody else: credentials, logs, kernels.",
    )

    @property
    def shared(self) -> Path:
        """The shared directory."""
        return self.shared_directory.expanduser().absolute()


class JobProfile(NodeProfile):
    """A batch system, whose jobs are the workers."""

    extra: ClassVar[str] = "jobqueue"

    processes: int | None = Field(None, gt=0, description="Processes of a job; by default one a core.")
    jobs: int = Field(1, gt=0, description="Jobs; the most that there may be, if adaptive.")
    adaptive: bool = Field(False, description="Whether jobs come and go with the work that waits.")
    minimum_jobs: int = Field(1, gt=0, description="Jobs that are kept at least, if adaptive.")
    queue: str | None = Field(None, description="Queue or partition.")
    account: str | None = Field(None, description="Account that is charged.")
    walltime: Duration = Field("1h", validate_default=True, description="Time after which a job is killed.")
    lifetime: Duration | None = Field(
        None, description="Time after which a worker retires; by default nine tenths of the walltime."
    )
    stagger: Duration | None = Field(
        None,
        description="Random part of the lifetime, so that not all go at once; by default half of the rest.",
    )
    directives: tuple[str, ...] = Field((), description="More lines for the head of the job script.")
    prologue: tuple[str, ...] = Field(
        (), description="Commands before the worker starts, as 'module load ...'; one each, no comments."
    )
    python: str = Field(
        sys.executable,
        description="Python on the nodes; may be a container, as 'apptainer exec image.sif python'.",
    )

    @model_validator(mode="after")
    def _retire_in_time(self) -> Self:
        last = self.lifetime_seconds + self.stagger_seconds
        if last >= self.walltime:
            raise ValueError(
                f"lifetime {clock(self.lifetime_seconds)} and stagger {clock(self.stagger_seconds)} reach to "
                f"the walltime {clock(self.walltime)}: workers would be killed with their tasks; leave both "
                "out, or make them shorter"
            )
        if self.minimum_jobs > self.jobs:
            raise ValueError(f"minimum_jobs = {self.minimum_jobs} is more than jobs = {self.jobs}")
        if self.cores % self.n_processes:
            raise ValueError(f"cores = {self.cores} cannot be shared out to processes = {self.processes}")
        return self

    @property
    def n_processes(self) -> int:
        """Processes of a job."""
        return self.processes or self.cores

    @property
    def lifetime_seconds(self) -> int:
        """Seconds after which a worker retires, on the mean."""
        if self.lifetime is not None:
            return self.lifetime
        return self.walltime - max(self.walltime // 10, min(60, self.walltime // 2))

    @property
    def stagger_seconds(self) -> int:
        """The most by which the lifetime is longer or shorter, in seconds."""
        if self.stagger is not None:
            return self.stagger
        return max(0, min(self.walltime - self.lifetime_seconds, self.lifetime_seconds)) // 2


class SlurmProfile(JobProfile):
    """SLURM."""

    kind: Literal["slurm"] = "slurm"


class HTCondorProfile(JobProfile):
    """HTCondor."""

    kind: Literal["htcondor"] = "htcondor"
    disk: Size = Field("4GB", validate_default=True, description="Scratch on the node of a job.")


class PBSProfile(JobProfile):
    """PBS: OpenPBS, PBS Pro, Torque."""

    kind: Literal["pbs"] = "pbs"
    resource_spec: str | None = Field(
        None, description="Resources in the site's words; by default select=1:ncpus=CORES:mem=MEMORY."
    )


class MPIProfile(NodeProfile):
    """Ranks of a program under mpiexec: one schedules, one drives, each other is a worker."""

    extra: ClassVar[str] = "mpi"

    kind: Literal["mpi"] = "mpi"
    local_directory: str = Field(
        "", description="Scratch on the node; by default that of Python: $TMPDIR, or /tmp."
    )


class KubernetesProfile(Profile):
    """Pods that the Dask operator starts."""

    extra: ClassVar[str] = "kubernetes"

    kind: Literal["kubernetes"] = "kubernetes"
    jobs: int = Field(1, gt=0, description="Worker pods.")
    namespace: str = Field("default", description="Namespace of the pods.")
    image: str = Field(
        "etendue:latest", description="Image of scheduler and workers: see cluster/Dockerfile."
    )


KINDS: dict[str, type[Profile]] = {
    "slurm": SlurmProfile,
    "htcondor": HTCondorProfile,
    "pbs": PBSProfile,
    "mpi": MPIProfile,
    "kubernetes": KubernetesProfile,
}


def user_directory() -> Path:
    """Where a user's profiles lie: ``$XDG_CONFIG_HOME/etendue``."""
    return Path(os.environ.get("XDG_CONFIG_HOME") or "~/.config").expanduser() / "etendue"


def known_profiles() -> dict[str, Path | None]:
    """Names of profiles: the user's with their files, and each kind's own."""
    found = {path.stem: path for path in sorted(user_directory().glob("*.toml"))}
    return dict.fromkeys(KINDS) | found


def find_profile(name: str | Path) -> Profile:
    """A profile by its name or file.

    Parameters
    ----------
    name : str or path
        A ``.toml`` file, the name of one in ``~/.config/etendue``, or a kind, which then has its defaults.

    Raises
    ------
    ClusterError
        If there is none, or if it holds what it should not.
    """
    text = str(name)
    if text.endswith(".toml"):
        return read_profile(Path(text).expanduser())
    known = known_profiles()
    if text not in known:
        places = ["laptop", "processes", *known, "tls://host:port", "tcp://host:port"]
        raise ClusterError(
            f"unknown place {text!r}{_nearest(text, places)}; there are {', '.join(places)}, "
            f"and profiles in {user_directory()}"
        )
    path = known[text]
    return read_profile(path) if path else KINDS[text]()


def read_profile(path: Path) -> Profile:
    """Read a profile from a TOML file; raises `ClusterError` if it is wrong."""
    try:
        entries = tomllib.loads(path.read_text())
    except (OSError, tomllib.TOMLDecodeError) as error:
        raise ClusterError(f"profile {path}: {error}") from None
    kind = entries.get("kind")
    if kind not in KINDS:
        raise ClusterError(f"profile {path}: kind = {kind!r}; it must be one of {', '.join(KINDS)}")
    try:
        return KINDS[kind](**entries)
    except ValidationError as error:
        raise ClusterError(f"profile {path}: {_explain(error, KINDS[kind])}") from None


def _explain(error: ValidationError, cls: type[Profile]) -> str:
    findings = []
    for detail in error.errors():
        key = ".".join(map(str, detail["loc"]))
        message = detail["msg"].removeprefix("Value error, ")
        if detail["type"] == "extra_forbidden":
            known = list(cls.model_fields)
            findings.append(f"unknown key {key!r}{_nearest(key, known)}; there are {', '.join(known)}")
        else:
            findings.append(f"{key} = {detail['input']!r}: {message}" if key else message)
    return "; ".join(findings)


def _nearest(name: str, known: list[str]) -> str:
    close = get_close_matches(name, known, n=1, cutoff=0.6)
    return f", did you mean {close[0]!r}?" if close else ""


def profile_text(profile: Profile) -> str:
    """A profile as TOML with what each key means, to start one's own from; defaults are commented out."""
    lines = [f"# {type(profile).__doc__}", f'kind = "{profile.kind}"']
    for name, field in type(profile).model_fields.items():
        value = getattr(profile, name)
        if name != "kind":
            mark = "" if name in profile.model_fields_set else "# "
            lines += ["", f"# {field.description}", f"{mark}{name} = {_toml(name, value)}"]
    return "\n".join(lines) + "\n"


def _toml(name: str, value: Any) -> str:
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{_toml('', key)} = {_toml('', item)}" for key, item in value.items()) + " }"
    if isinstance(value, tuple):
        return "[" + ", ".join(_toml("", item) for item in value) + "]"
    if isinstance(value, bool):
        return str(value).lower()
    if name in ("walltime", "lifetime", "stagger"):
        return f'"{clock(value or 0)}"'
    if isinstance(value, int | float):
        return str(value)
    return '"' + str("" if value is None else value).replace("\\", "\\\\").replace('"', '\\"') + '"'

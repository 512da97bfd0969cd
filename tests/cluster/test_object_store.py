"""Passes in an object store: a real server on this machine, spoken to over HTTP."""

import socket
import subprocess
import sys
from threading import Thread
from time import monotonic, sleep

import pytest

import etendue as et

pytest.importorskip("moto.server", reason="needs moto, flask and flask-cors")


@pytest.fixture(scope="module")
def bucket(tmp_path_factory):
    """A bucket of a server in a process of its own."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    log = (tmp_path_factory.mktemp("server") / "log").open("w")
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    with pytest.MonkeyPatch.context() as patch, subprocess.Popen(command, stdout=log, stderr=log) as server:
        try:
            deadline = monotonic() + 60
            while socket.socket().connect_ex(("127.0.0.1", port)) != 0:
                assert monotonic() < deadline, "no server"
                sleep(0.2)
            for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
                patch.setenv(name, "testing")
            patch.setenv("AWS_DEFAULT_REGION", "us-east-1")
            patch.setenv("AWS_REGION", "us-east-1")
            patch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{port}")
            import boto3

            boto3.client("s3").create_bucket(Bucket="passes")
            yield "s3://passes"
        finally:
            server.terminate()
            server.wait(20)


def flow(n_inputs=3, first=1):
    return et.open(*(f"simulated://gamma?n_showers=5&seed={first + n}" for n in range(n_inputs)))


@pytest.mark.timeout(120)
def test_a_pass_in_a_bucket_is_the_local_one(bucket, tmp_path):
    flow().write(f"{bucket}/night/one", "a", quiet=True)
    flow().write(tmp_path / "s", "a", quiet=True)
    remote, local = et.load(f"{bucket}/night/one", "a").compute(), et.load(tmp_path / "s", "a").compute()
    assert set(remote.groups) == set(local.groups)
    for group in remote.groups:
        assert remote[group].equals(local[group])


@pytest.mark.timeout(120)
def test_what_is_not_there_is_told(bucket):
    with pytest.raises(FileNotFoundError, match="there is no store at s3://passes/nothing"):
        et.load(f"{bucket}/nothing", "a")


@pytest.mark.timeout(200)
def test_two_writers_of_one_store_are_told_apart(bucket):
    """Both passes are there and whole, or one of the two was refused with an error; never a mixture."""
    store, outcomes = f"{bucket}/night/two", {}

    def write(tag, first):
        try:
            flow(first=first).write(store, tag, quiet=True)
            outcomes[tag] = "written"
        except Exception as error:
            outcomes[tag] = error

    flow(1, first=90).write(store, "zero", quiet=True)
    writers = [Thread(target=write, args=facts) for facts in (("a", 10), ("b", 20))]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    written = [tag for tag, outcome in outcomes.items() if outcome == "written"]
    assert written, outcomes
    for tag, first in (("a", 10), ("b", 20)):
        if tag in written:
            assert et.load(store, tag).compute()["simcam"].equals(flow(first=first).compute()["simcam"])
        else:
            assert str(outcomes[tag])
    assert len(et.load(store, "zero")["events/event_id"]) > 0

"""Places to run: open schedulers are refused, closed ones refuse strangers."""

import pytest

import etendue as et
from etendue.cluster import ClusterError


def test_an_open_scheduler_is_an_explicit_choice():
    with pytest.raises(ClusterError, match="not encrypted"):
        et.connect("tcp://127.0.0.1:1")


def test_an_unknown_place_is_named():
    with pytest.raises(ClusterError, match="unknown place 'moon'"):
        et.connect("moon")


@pytest.mark.cluster
def test_processes_speak_tls_on_loopback_and_refuse_strangers():
    from distributed import Client

    with et.connect("processes", workers=1) as client:
        address = client.scheduler.address
        assert address.startswith("tls://127.0.0.1:")
        with pytest.raises((TypeError, OSError)):
            Client(address, timeout="5s")
        assert client.submit(pow, 2, 10).result() == 1024

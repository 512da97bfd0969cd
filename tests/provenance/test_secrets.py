"""Secrets that a command line gives away do not get into records."""

import json
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

import etendue as et
from etendue.provenance import document
from etendue.provenance.secrets import command_without_secrets, without_secrets

SECRET = "hunter2/Xy+9"


@pytest.mark.parametrize(
    "words",
    [
        ["--password", SECRET],
        ["--db-password", SECRET],
        [f"--password={SECRET}"],
        ["--token", SECRET],
        [f"--api-key={SECRET}"],
        ["--apiKey", SECRET],
        ["-key", SECRET],
        ["--set", f"password={SECRET}"],
        ["--set", f"AWS_SECRET_ACCESS_KEY={SECRET}"],
        ["--storage", json.dumps({"secret": SECRET, "key": SECRET})],
        [f"s3://AKIA:{SECRET.replace('/', '')}@bucket/crab.etendue"],
        [f"https://host/data?X-Amz-Signature={SECRET}&n=3"],
        ["--header", f"Authorization: Bearer {SECRET}"],
        ["--header", f"authorization: {SECRET}"],
        ["--with", f"url=https://user:{SECRET.replace('/', '')}@host/x"],
        ["ghp_" + "a1B2" * 9],
        ["AKIA" + "ABCD" * 4],
        ["glpat-" + "ab12_-" * 4],
    ],
    ids=lambda words: words[0][:16],
)
def test_what_is_hidden(words):
    told = " ".join(command_without_secrets(["etendue", "run", *words, "night.csv"]))
    assert "***" in told
    for part in (SECRET, SECRET.replace("/", ""), words[-1]):
        assert part not in told
    assert told.startswith("etendue run ")
    assert told.endswith(" night.csv")


@pytest.mark.parametrize(
    "words",
    [
        ["--pass", "2026.1", "--into", "crab.etendue"],
        ["--credentials", "folder/of/credentials", "--on", "tls://host:8786"],
        ["simulated://gamma?n_showers=3&seed=1", "crab.etendue@2026.1"],
        ["--key-columns", "run,event_id", "--author", "me", "monkey=3", "--keys-of", "run"],
        ["--where", "hillas_intensity > 50", "C:/data:x"],
        ["--set", "detector=det:3.detx", "--set", "pulses=SplitInIcePulses"],
    ],
)
def test_what_is_kept(words):
    assert command_without_secrets(words) == words


@given(st.text())
def test_hiding_twice_changes_nothing_more(text):
    once = without_secrets(text)
    assert without_secrets(once) == once


def test_a_pass_does_not_publish_them(tmp_path, monkeypatch):
    secret = "correct-horse"
    monkeypatch.setattr(
        sys, "argv", ["reprocess.py", "--db-password", secret, f"https://me:{secret}@host/list"]
    )
    flow = et.open("simulated://gamma?n_showers=2&seed=1").columns("events/*")
    flow.write(tmp_path / "crab.etendue", tag="a", quiet=True)
    record = json.dumps(document(str(tmp_path / "crab.etendue"), "a"))
    assert "reprocess.py --db-password" in record
    assert secret not in record

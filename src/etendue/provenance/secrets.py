"""Secrets kept out of records: a pass is published, and with it the command line that made it."""

from __future__ import annotations

import re
from collections.abc import Iterable

#: What stands in place of a secret.
HIDDEN = "***"

#: What a name has in it, or ends with, of which the value is a secret; after `_words`.
_NAME = re.compile(
    r"(?:^|_)(?:passw(?:or)?d|passphrase|secret)s?(?:_|$)"
    r"|(?:^|_)(?:pwd|token|key|apikey|auth|authorization|signature|sig|credential)s?\d*$"
)
#: Where a word of mixed case, or with other marks, has a new part.
_PARTS = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|[\-. ]+")
#: ``name=value`` in a word; the value reaches to what ends it in an address, a list, or JSON.
_PAIR = re.compile(
    r"(?P<name>[A-Za-z_][\w.\-]*)(?P<mark>[\"']?\s*[=:]\s*)"
    r"(?P<value>(?:(?:Bearer|Basic|Token)\s+)?(?:\"[^\"]*\"|'[^']*'|[^\s&;,#}\"']+))"
)
#: The user's part of an address: ``https://user:password@host``, ``s3://key:secret@bucket``.
_USER = re.compile(r"(?P<scheme>[A-Za-z][\w+.\-]*://)[^\s/?#]*@")
#: What is a secret by its form: keys of AWS, tokens of GitHub, GitLab and Slack, JSON web tokens.
_FORMS = re.compile(
    r"\b(?:(?:AKIA|ASIA)[A-Z0-9]{16}|gh[pousr]_\w{20,}|github_pat_\w{20,}|glpat-[\w\-]{16,}"
    r"|xox[abprs]-[\w\-]{10,}|eyJ[\w\-]{8,}\.eyJ[\w\-]{8,}\.[\w\-]*)"
)


def is_secret(name: str) -> bool:
    """Whether what has this name is a secret: ``--db-password``, ``AWS_SECRET_ACCESS_KEY``, ``apiToken``."""
    return bool(_NAME.search(_PARTS.sub("_", name.lstrip("-")).lower()))


def without_secrets(text: str) -> str:
    """A text without the secrets that its form gives away.

    Hidden are users and passwords of addresses, values of names such as ``password``, ``token`` and ``key``
    (``name=value``, also in the query of an address and in JSON), and what is known by its form (keys of AWS,
    tokens of GitHub, GitLab and Slack, JSON web tokens).

    Examples
    --------
    >>> without_secrets("s3://AKIA:xyz@bucket/crab?token=abc&n=3")
    's3://***@bucket/crab?token=***&n=3'
    """
    text = _USER.sub(rf"\g<scheme>{HIDDEN}@", text)
    return _FORMS.sub(HIDDEN, _PAIR.sub(_hidden, text))


def _hidden(pair: re.Match[str]) -> str:
    value = HIDDEN if is_secret(pair["name"]) else _PAIR.sub(_hidden, pair["value"])
    return f"{pair['name']}{pair['mark']}{value}"


def command_without_secrets(words: Iterable[str]) -> list[str]:
    """The words of a command line without secrets, such as what follows ``--password``.

    Examples
    --------
    >>> command_without_secrets(["fetch", "--token", "abc", "--n", "3", "--key=xyz"])
    ['fetch', '--token', '***', '--n', '3', '--key=***']
    """
    told: list[str] = []
    secret_follows = False
    for word in words:
        name, equals, _ = word.partition("=")
        is_option = word.startswith("-")
        if secret_follows and not is_option:
            told.append(HIDDEN)
        elif is_option and equals and is_secret(name):
            told.append(f"{name}={HIDDEN}")
        else:
            told.append(without_secrets(word))
        secret_follows = is_option and not equals and is_secret(word) and word != "--credentials"
    return told

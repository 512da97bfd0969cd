"""Make credentials for a Dask cluster of one's own: ca.pem, cert.pem and key.pem, readable by the owner only.

    python cluster/credentials.py ~/.config/etendue/credentials

They are good for a year. Who holds them can run code on the cluster.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from distributed.security import Security


def write_credentials(folder: Path) -> None:
    """Write new credentials into a folder; what is there is not written over."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    security = Security.temporary()
    contents = {
        "ca.pem": security.tls_ca_file,
        "cert.pem": security.tls_client_cert,
        "key.pem": security.tls_client_key,
    }
    for name, text in contents.items():
        descriptor = os.open(folder / name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with open(descriptor, "w") as file:
            file.write(text)


if __name__ == "__main__":
    write_credentials(Path(sys.argv[1]).expanduser())

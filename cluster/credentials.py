"""Make credentials for a Dask cluster of one's own: ca.pem, cert.pem and key.pem, readable by the owner only.

    python cluster/credentials.py ~/.config/etendue/credentials

They are good for a year. Who holds them can run code on the cluster. What is there is not written over.
"""

from __future__ import annotations

import sys
from pathlib import Path

from etendue.cluster.security import write_credentials

if __name__ == "__main__":
    write_credentials(Path(sys.argv[1]).expanduser())

"""Where work runs: one name, one Dask client.

Who can reach a Dask scheduler can run code on its workers. So everything that listens on a socket does
so with TLS, dashboards on loopback, unless the caller asks otherwise in so many words.
"""

from etendue.cluster.errors import ClusterError
from etendue.cluster.places import connect
from etendue.cluster.profile import Profile, find_profile, known_profiles, profile_text

__all__ = ["ClusterError", "Profile", "connect", "find_profile", "known_profiles", "profile_text"]

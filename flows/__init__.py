"""What Prefect reads from the environment while it is imported, which modules of this package do."""

import os
import sys

from flows.processes import tell_interruption
from storage.proxies import keep_loopback_direct

# So Python calls a program while it looks for its module: this is a command of this package, and imports for seconds.
if sys.argv[0] == "-m":
    tell_interruption()
keep_loopback_direct()
# Neither the client nor a server tells anybody what is run here.
os.environ.setdefault("DO_NOT_TRACK", "1")
os.environ.setdefault("PREFECT_SERVER_ANALYTICS_ENABLED", "false")
# A server that is gone is given up after 14 s (2 + 4 + 8).
os.environ.setdefault("PREFECT_CLIENT_MAX_RETRIES", "3")
# A page of another origin can neither change anything on a server that is started here nor read from it: what changes
# something needs a token, and no origin is called "none". The server with a UI names its own (flows/loopback.py).
# These spellings come before all others that Prefect knows for the same settings.
os.environ["PREFECT_SERVER_API_CSRF_PROTECTION_ENABLED"] = "true"
os.environ.setdefault("PREFECT_SERVER_API_CORS_ALLOWED_ORIGINS", "none")

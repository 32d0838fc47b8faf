"""What Prefect reads from the environment while it is imported, which modules of this package do."""

import os

# Neither the client nor a server tells anybody what is run here.
os.environ.setdefault("DO_NOT_TRACK", "1")
os.environ.setdefault("PREFECT_SERVER_ANALYTICS_ENABLED", "false")
# A server that is gone is given up after 14 s (2 + 4 + 8).
os.environ.setdefault("PREFECT_CLIENT_MAX_RETRIES", "3")

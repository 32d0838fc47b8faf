"""`make ui`: Prefect, MLflow and the deployments on this machine, until Ctrl-C.

Ports: PREFECT_PORT (4200) and MLFLOW_PORT (5000) in the environment; nothing listens beyond 127.0.0.1.
"""

import os
import shlex
import socket
import sys
from pathlib import Path

from flows import loopback
from flows.loopback import HOST
from flows.processes import end_politely
from flows.server import authorization, check_database
from flows.servers import ServerError, Servers
from storage.errors import StorageError
from storage.tracking import connection as tracking

PORTS = {"PREFECT_PORT": 4200, "MLFLOW_PORT": 5000}


def free_port(variable: str) -> int:
    """The port that the environment variable names, or its default.

    Raises:
        ServerError: it is no port, or somebody uses it.
    """
    text = os.environ.get(variable) or str(PORTS[variable])
    if not text.isdecimal() or not 0 < int(text) < 65536:
        raise ServerError(f"{variable} must be a port from 1 to 65535, found {text!r}")
    with socket.socket() as trial:
        trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            trial.bind((HOST, int(text)))
        except OSError as error:
            raise ServerError(
                f"port {text} cannot be used ({error.strerror}); name another one: {variable}=..."
            ) from None
    return int(text)


def main() -> None:
    end_politely()
    servers = Servers()
    try:
        tracking.require_folder()
        _run(servers)
    except (ServerError, StorageError) as error:
        sys.exit(str(error))
    except KeyboardInterrupt:
        print("ending ...", flush=True)
    finally:
        servers.stop()


def _run(servers: Servers) -> None:
    prefect, mlflow = free_port("PREFECT_PORT"), free_port("MLFLOW_PORT")
    if prefect == mlflow:
        raise ServerError(f"PREFECT_PORT and MLFLOW_PORT are both {prefect}")
    check_database()
    addresses = {"Prefect": f"http://{HOST}:{prefect}", "MLflow": f"http://{HOST}:{mlflow}"}
    environment = os.environ | {
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)]),
        **loopback.settings(prefect),
        # Where a stage's run can be looked at.
        "MLFLOW_UI_URL": addresses["MLflow"],
    }
    servers.start("Prefect", loopback.command(prefect), environment, Path(".prefect/server.log"))
    # Its database is made by the stages' own code, whichever of them comes first.
    folder = tracking.FOLDER.absolute()
    make_database = "from storage.tracking.connection import client; client()"
    command = [f"python -c '{make_database}' && exec mlflow server", "--host", HOST]
    command += ["--port", str(mlflow), "--workers", "1", "--backend-store-uri", f"sqlite:///{folder}/mlflow.db"]
    command += ["--artifacts-destination", f"{folder}/artifacts"]
    # MLflow's own choice would let in every name that begins like an address of a local network.
    command += ["--allowed-hosts", ",".join(f"{name}:{mlflow}" for name in loopback.NAMES)]
    command += ["--cors-allowed-origins", ",".join(loopback.origins(mlflow))]
    servers.start("MLflow", ["sh", "-c", f"{command[0]} {shlex.join(command[1:])}"], environment, folder / "server.log")
    servers.wait_for("Prefect", f"{addresses['Prefect']}/api/health")
    servers.start("the deployments", [sys.executable, "-m", "flows.serve"], environment, Path(".prefect/serve.log"))
    servers.wait_for("MLflow", f"{addresses['MLflow']}/health")
    headers = authorization(os.environ.get("PREFECT_API_AUTH_STRING"))
    servers.wait_for("the deployments", f"{addresses['Prefect']}/api/deployments/name/watch/changes", headers)
    for name, address in addresses.items():
        print(f"{name + ':':9}{address}", flush=True)
    print("Runs: Deployments in Prefect. Ctrl-C ends all.", flush=True)
    servers.check(None)


if __name__ == "__main__":
    main()

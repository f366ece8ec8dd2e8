"""A standalone cluster of one master and two workers, really started on the loopback."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from mlops_assets.engines.spark.session import SparkSessions

if TYPE_CHECKING:
    from collections.abc import Iterator

WORKERS = 2
# Short-lived: what the second compiler would gain is less than what it takes.
JAVA = "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC -Xshare:auto"
_START_SECONDS = 120


def free_port() -> int:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        return server.getsockname()[1]


@contextmanager
def cluster(folder: Path) -> Iterator[str]:
    """Start the cluster and give its master's address; every process is stopped by its id."""
    import pyspark

    home = Path(pyspark.__file__).parent
    environment = {
        **os.environ,
        "SPARK_HOME": str(home),
        "SPARK_LOCAL_IP": "127.0.0.1",
        "SPARK_NO_DAEMONIZE": "1",
        "SPARK_DAEMON_MEMORY": "256m",
        "SPARK_WORKER_DIR": str(folder / "work"),
        "SPARK_LOCAL_DIRS": str(folder / "local"),
        "PYSPARK_PYTHON": sys.executable,
        "JDK_JAVA_OPTIONS": JAVA,
    }
    processes: list[subprocess.Popen] = []

    def start(name: str, *arguments: str) -> Path:
        log = folder / f"{name}.log"
        with log.open("wb") as output:
            processes.append(
                subprocess.Popen(
                    [str(home / "bin" / "spark-class"), *arguments],
                    env=environment,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                )
            )
        return log

    port = free_port()
    address = f"spark://127.0.0.1:{port}"
    deploy = "org.apache.spark.deploy"
    quiet = ["--webui-port", "0"]
    try:
        log = start(
            "master", f"{deploy}.master.Master", "--host", "127.0.0.1", "--port", str(port), *quiet
        )
        await_text(log, "I have been elected leader", 1)
        for number in range(WORKERS):
            start(
                f"worker-{number}", f"{deploy}.worker.Worker", "--host", "127.0.0.1",
                "--cores", "1", "--memory", "1g", *quiet, address,
            )  # fmt: skip
        await_text(log, "Registering worker", WORKERS)
        yield address
    finally:
        for process in reversed(processes):
            process.terminate()
        for process in processes:
            process.wait(30)


def await_text(log: Path, text: str, times: int) -> None:
    end = time.monotonic() + _START_SECONDS
    while len(re.findall(text, log.read_text(errors="replace"))) < times:
        if time.monotonic() > end:
            raise TimeoutError(f"no {text!r} in {log}: {log.read_text(errors='replace')[-2000:]}")
        time.sleep(0.1)


@contextmanager
def held_sessions(address: str) -> Iterator[SparkSessions]:
    """Sessions whose one session lives as long as the cluster, so that a JVM starts once."""
    sessions = SparkSessions(address)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("JDK_JAVA_OPTIONS", JAVA)
        with sessions.session():
            yield sessions

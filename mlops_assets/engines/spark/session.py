"""Sessions of Spark: started when something first needs one, stopped when nothing does any more.

Settings alone decide where: `local[2]` in this process, `spark://HOST:PORT` on a standalone
cluster. A session that was there before, such as Synapse's, is used and left running.
"""

from __future__ import annotations

import os
import shutil
import sys
import threading
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from mlops_assets.domain.errors import DataError, EngineError
from mlops_assets.engines.processes import WORKER_ENVIRONMENT
from mlops_assets.engines.spark.jars import INSTALL, installed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pyspark.sql import SparkSession

_LOG_SETTINGS = Path(__file__).with_name("log4j2.properties")
_LOOPBACK = ("local", "spark://127.0.0.1:", "spark://localhost:")

# What the tables that both engines write need, wherever the session comes from.
TABLE_CONFIGURATION = {
    "spark.sql.session.timeZone": "UTC",
    "spark.sql.ansi.enabled": "true",
    # Parquet readers other than Spark know no INT96.
    "spark.sql.parquet.outputTimestampType": "TIMESTAMP_MICROS",
    "spark.sql.parquet.compression.codec": "zstd",
    # A log is read with one task: its default of 50 is for logs of millions of files.
    "spark.databricks.delta.snapshotPartitions": "1",
    # delta-rs reads neither.
    "spark.databricks.delta.properties.defaults.enableDeletionVectors": "false",
    "spark.databricks.delta.properties.defaults.checkpointPolicy": "classic",
}


def configuration(master: str) -> dict[str, str]:
    """Return what a session on ``master`` is started with.

    Raises:
        EngineError: a jar of Delta is absent or not the one in the lock.
    """
    found = {
        "spark.master": master,
        "spark.app.name": "mlops-assets",
        "spark.jars": ",".join(str(path) for path in installed()),
        "spark.sql.extensions": "io.delta.sql.DeltaSparkSessionExtension",
        "spark.sql.catalog.spark_catalog": "org.apache.spark.sql.delta.catalog.DeltaCatalog",
        "spark.ui.enabled": "false",
        "spark.ui.showConsoleProgress": "false",
        "spark.driver.extraJavaOptions": f"-Dlog4j2.configurationFile={_LOG_SETTINGS.as_uri()}",
        # Checksum files beside each file of a table: no other writer keeps them.
        "spark.hadoop.fs.file.impl": "org.apache.hadoop.fs.RawLocalFileSystem",
        "spark.hadoop.fs.AbstractFileSystem.file.impl": "org.apache.hadoop.fs.local.RawLocalFs",
        # A task that failed would fail again: what one circuit does is told, not raised.
        "spark.task.maxFailures": "2",
        **TABLE_CONFIGURATION,
        # One thread a fit, as in the local engine: sums in another order are other bits.
        **{f"spark.executorEnv.{name}": value for name, value in WORKER_ENVIRONMENT.items()},
    }
    if master.startswith(_LOOPBACK):
        found |= {
            "spark.driver.host": "127.0.0.1",
            "spark.driver.bindAddress": "127.0.0.1",
            "spark.executorEnv.PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
        }
    return found


def check_installed() -> None:
    """Refuse in one line where Spark cannot run.

    Raises:
        EngineError: pyspark, Java or a jar is absent; it says what to run.
    """
    if find_spec("pyspark") is None or find_spec("delta") is None:
        raise EngineError(f"Spark is chosen, but pyspark is not installed: run `{INSTALL}`")
    home = os.environ.get("JAVA_HOME")
    if shutil.which("java", path=str(Path(home, "bin")) if home else None) is None:
        raise EngineError(
            "Spark is chosen, but there is no Java: install one of 17 or later (Debian: "
            "openjdk-17-jre-headless) or set JAVA_HOME"
        )
    installed()


class SparkSessions:
    """The one session of this process, held by whoever works on it.

    Args:
        master: where it runs; empty for wherever this process was submitted to.
        start: what starts it instead of this module, such as Dagster's `PySparkResource`.
    """

    def __init__(
        self, master: str, *, start: Callable[[dict[str, str]], SparkSession] | None = None
    ) -> None:
        self.master = master
        self._start = start or _started
        self._lock = threading.Lock()
        self._holders = 0
        self._session: SparkSession | None = None
        self._ours = False

    @contextmanager
    def session(self) -> Iterator[SparkSession]:
        """Hold the session; the last one to let go stops it where it was started here.

        Raises:
            EngineError: Spark is not installed here, or the cluster cannot be reached.
        """
        with self._lock:
            if self._session is None:
                self._session, self._ours = self._open()
            self._holders += 1
            session = self._session
        try:
            yield session
        finally:
            with self._lock:
                self._holders -= 1
                if not self._holders:
                    self._session = None
                    if self._ours:
                        session.stop()

    def _open(self) -> tuple[SparkSession, bool]:
        if find_spec("pyspark") is not None:
            from pyspark.sql import SparkSession

            if (active := SparkSession.getActiveSession()) is not None:
                return _prepared(active), False
        if self.master:
            check_installed()
        try:
            wanted = configuration(self.master) if self.master else {}
            if "spark.executorEnv.PYTHONPATH" in wanted:
                # Executors on this machine run this interpreter, whatever `python3` is there.
                os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
            session = self._start(wanted)
            # Spark cuts every exchange in 200 by default, which is for terabytes.
            tasks = 2 * session.sparkContext.defaultParallelism
            session.conf.set("spark.sql.shuffle.partitions", str(tasks))
            return _prepared(session), True
        except EngineError:
            raise
        except Exception as error:
            raise EngineError(f"{self.master}: no Spark session there: {line(error)}") from error


@contextmanager
def explained(what: str) -> Iterator[None]:
    """Turn what Spark could not do into one line.

    Raises:
        DataError: with what an executor said, where it was one of our own lines.
    """
    from py4j.protocol import Py4JError
    from pyspark.errors import PySparkException

    try:
        yield
    except (PySparkException, Py4JError) as error:
        raise DataError(f"{what} on Spark: {line(error)}; run it again") from error


def line(error: BaseException) -> str:
    """Return what Spark, Java or Python on an executor says, as one line."""
    text = str(getattr(error, "java_exception", None) or error).strip()
    lines = [each for each in text.splitlines() if each.strip()]
    if not lines:
        return type(error).__name__
    said = lines[0]
    if "Traceback (most recent call last):" in text:
        # The last line of a Python traceback; what Java says of it comes after and is indented.
        said = [each for each in lines if each[0] not in " \t"][-1]
    return said.removeprefix("mlops_assets.domain.errors.")[:300]


def _started(wanted: dict[str, str]) -> SparkSession:
    from pyspark.sql import SparkSession

    builder = SparkSession.builder
    for name, value in wanted.items():
        builder = builder.config(name, value)
    return builder.getOrCreate()


def _prepared(session: SparkSession) -> SparkSession:
    """Set what our tables need in a session that others may have started."""
    for name, value in TABLE_CONFIGURATION.items():
        session.conf.set(name, value)
    return session

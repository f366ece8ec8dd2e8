"""Notebooks run in one warm kernel, which is emptied between them, and are rendered as one page.

The kernel is this interpreter, reached over sockets in a private folder, with a profile of its own,
so nothing of the user's settings or history takes part. It ends with its renderer, and by itself
when the process that started it is gone.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
import sys
import tempfile
import weakref
from dataclasses import dataclass, field
from html import escape
from pathlib import Path
from subprocess import DEVNULL
from typing import TYPE_CHECKING, Any

from jupyter_client.kernelspec import KernelSpec, KernelSpecManager
from jupyter_client.manager import AsyncKernelManager
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError
from nbconvert.exporters import HTMLExporter
from nbformat import from_dict

from mlops_assets.domain.errors import DataError
from mlops_assets.domain.scoring_notebook import filled
from mlops_assets.ports import RenderedNotebook

if TYPE_CHECKING:
    from collections.abc import Awaitable, Mapping, Sequence

_CELL_SECONDS = 120
_STARTUP_SECONDS = 60
_RESET = "get_ipython().reset(new_session=True)\nimport os as _os\n_os.chdir({home!r})\ndel _os\n"
# One thread a kernel: renderers run side by side, and sums repeat bit for bit.
_ENVIRONMENT = {
    "PYTHONHASHSEED": "0",
    "PYTHONWARNINGS": "ignore",
    "PYDEVD_DISABLE_FILE_VALIDATION": "1",
    "POLARS_MAX_THREADS": "1",
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "NUMBA_NUM_THREADS": "1",
    "NO_COLOR": "1",
}
_REMOVED = ("PYTHONSTARTUP", "IPYTHONDIR", "JUPYTER_CONFIG_DIR")
_COLOURS = re.compile(r"\x1b\[[0-9;]*m")
_ERROR_CHARACTERS = 300
# A socket's path may have 107 characters; the kernel adds some. Longer: loopback instead.
_SOCKET_CHARACTERS = 80

_PAGE = """<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>{title}</title>
<meta name="viewport" content="width=device-width"><style>
:root{{color-scheme:light dark}}
body{{font:15px/1.5 system-ui,sans-serif;max-width:62rem;margin:2rem auto;padding:0 1rem}}
pre{{font:12.5px/1.45 ui-monospace,monospace;overflow-x:auto;margin:.3rem 0}}
.input pre{{background:#7f7f7f1a;border-left:3px solid #7f7f7f66;padding:.5rem .8rem}}
.prompt{{display:none}}img{{max-width:100%;height:auto}}
table{{border-collapse:collapse;margin:.6rem 0}}
th,td{{border-bottom:1px solid #7f7f7f55;padding:.2rem .7rem;text-align:right}}
th:first-child,td:first-child{{text-align:left}}
code{{background:#7f7f7f1a;padding:0 .2rem}}
.k,.kn,.kc,.ow{{color:#a371f7}}.s1,.s2,.sd,.sa{{color:#2a9d5c}}.c1{{color:#7f7f7f}}
.mi,.mf,.nb{{color:#2f81f7}}.output_error pre,.output_stderr pre{{color:#e5534b}}
</style></head><body>
{body}
</body></html>
"""


@dataclass(slots=True)
class KernelRenderer:
    """Runs notebooks of one home; a kernel starts with the first and serves the next ones."""

    home: Path
    config_dir: Path
    cell_seconds: int = _CELL_SECONDS
    _kernel: _Kernel | None = field(default=None, init=False)
    _exporter: HTMLExporter | None = field(default=None, init=False)

    def render(self, notebook: bytes, parameters: Mapping[str, Any]) -> RenderedNotebook:
        """Run every cell in a clean namespace; the bytes repeat for the same input."""
        document = json.loads(filled(notebook, parameters))
        node = from_dict(document)
        kernel = self._kernel = self._kernel or _Kernel(self.home, self.config_dir)
        error = kernel.run(node, self.cell_seconds)
        if kernel.lost:
            self.close()
        _settle(node, document["metadata"])
        text = json.dumps(node, indent=1, sort_keys=True, ensure_ascii=False) + "\n"
        return RenderedNotebook(ipynb=text.encode(), html=self._html(node), error=error)

    def close(self) -> None:
        """Stop the kernel."""
        kernel, self._kernel = self._kernel, None
        if kernel is not None:
            kernel.stop()

    def _html(self, node: Any) -> bytes:  # noqa: ANN401 nbformat is untyped
        if self._exporter is None:
            self._exporter = HTMLExporter(
                template_name="basic", exclude_anchor_links=True, exclude_input_prompt=True
            )
        body, _ = self._exporter.from_notebook_node(node)
        title = escape(str(node.metadata.get("title", "Notebook")))
        return _PAGE.format(title=title, body=body.strip()).encode()


class _SameInterpreter(KernelSpecManager):  # type: ignore[misc]  # untyped base
    """The one kernel there is: this interpreter, whatever kernels the user installed."""

    def get_kernel_spec(self, kernel_name: str) -> KernelSpec:  # noqa: ARG002 there is one
        return KernelSpec(argv=list(_argv()), display_name="Python 3", language="python")


def _argv() -> Sequence[str]:
    return (
        sys.executable,
        "-P",
        "-Xfrozen_modules=off",
        "-m",
        "ipykernel_launcher",
        "-f",
        "{connection_file}",
        "--InteractiveShellApp.ignore_cwd=True",
        "--InteractiveShellApp.exec_PYTHONSTARTUP=False",
        "--HistoryManager.enabled=False",
        "--IPCompleter.use_jedi=False",
    )


class _Kernel:
    """One running kernel and the event loop that speaks with it."""

    def __init__(self, home: Path, config_dir: Path) -> None:
        self.lost = False
        self._home = home
        self._loop = asyncio.new_event_loop()
        self._folder = Path(tempfile.mkdtemp(prefix="mlops-kernel-"))
        self._sweep = weakref.finalize(self, shutil.rmtree, self._folder, ignore_errors=True)
        self._manager = AsyncKernelManager(
            transport="ipc" if len(str(self._folder)) < _SOCKET_CHARACTERS else "tcp",
            kernel_spec_manager=_SameInterpreter(),
            connection_file=str(self._folder / "k.json"),
        )
        self._client: Any = None
        environment = {name: value for name, value in os.environ.items() if name not in _REMOVED}
        environment |= _ENVIRONMENT
        environment |= {
            "MLOPS_HOME": str(home),
            "MLOPS_CONFIG": str(config_dir),
            "IPYTHONDIR": str(self._folder / "ipython"),
        }
        try:
            self._wait(self._start(environment))
        except BaseException:
            self.stop()
            raise

    async def _start(self, environment: Mapping[str, str]) -> None:
        await self._manager.start_kernel(
            env=dict(environment), cwd=str(self._home), stdout=DEVNULL, stderr=DEVNULL
        )
        self._client = self._manager.client()
        self._client.start_channels()
        await self._client.wait_for_ready(timeout=_STARTUP_SECONDS)
        self._client.allow_stdin = False

    def run(self, node: Any, seconds: int) -> str | None:  # noqa: ANN401 nbformat is untyped
        """Run every cell up to the first that fails; returns what went wrong there."""
        client = NotebookClient(
            node,
            km=self._manager,
            timeout=seconds,
            record_timing=False,
            coalesce_streams=True,
        )
        client.kc = self._client
        try:
            error: str | None = self._wait(self._cells(client, node))
        except BaseException:
            self.lost = True
            raise
        return error

    async def _cells(self, client: Any, node: Any) -> str | None:  # noqa: ANN401 untyped
        client.reset_execution_trackers()
        await self._reset()
        for index, cell in enumerate(node.cells):
            try:
                await client.async_execute_cell(
                    cell, index, execution_count=client.code_cells_executed + 1
                )
            except CellExecutionError as error:
                return _sentence(index, f"{error.ename}: {error.evalue}")
            except CellTimeoutError:
                self.lost = True
                return _sentence(index, f"ran longer than {client.timeout} s and was stopped")
            except DeadKernelError:
                self.lost = True
                return _sentence(index, "its kernel died, perhaps for lack of memory")
        return None

    async def _reset(self) -> None:
        """Empty the namespace, so that no notebook sees another's."""
        reply = await self._client.execute_interactive(
            _RESET.format(home=str(self._home)),
            silent=True,
            store_history=False,
            allow_stdin=False,
            output_hook=lambda _: None,
            timeout=_STARTUP_SECONDS,
        )
        if reply["content"]["status"] != "ok":
            raise DataError(f"the notebook kernel could not be emptied: {reply['content']}")

    def stop(self) -> None:
        """End the kernel and leave nothing behind."""
        try:
            self._wait(self._end())
        finally:
            self._loop.close()
            self._sweep()

    async def _end(self) -> None:
        if self._client is not None:
            self._client.stop_channels()
        if self._manager.has_kernel:
            await self._manager.shutdown_kernel(now=True)
        self._manager.context.destroy(linger=0)

    def _wait(self, work: Awaitable[Any]) -> Any:  # noqa: ANN401 whatever the work returns
        return self._loop.run_until_complete(work)


def _sentence(index: int, what: str) -> str:
    line = " ".join(_COLOURS.sub("", what).split())
    return f"scoring notebook, cell {index + 1}: {line[:_ERROR_CHARACTERS]}"


def _settle(node: Any, metadata: Mapping[str, Any]) -> None:  # noqa: ANN401 nbformat is untyped
    """Keep what the notebook says and drop what only this run knows."""
    node.metadata = from_dict(dict(metadata))
    for cell in node.cells:
        cell.metadata.pop("execution", None)
        for output in cell.get("outputs", ()):
            output.pop("transient", None)
            if "traceback" in output:
                output.traceback = [_COLOURS.sub("", line) for line in output.traceback]

"""The warm kernel: clean between notebooks, the same bytes each time, gone afterwards."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from mlops_assets.adapters.local.notebook import KernelRenderer
from mlops_assets.domain.errors import DataError


def notebook(*sources, title="T"):
    cells = [
        {"id": f"cell-{i}", "cell_type": "markdown", "metadata": {}, "source": source[3:]}
        if source.startswith("md:")
        else {
            "id": f"cell-{i}",
            "cell_type": "code",
            "metadata": {"tags": ["parameters"]} if source.startswith("N = ") else {},
            "execution_count": None,
            "outputs": [],
            "source": source,
        }
        for i, source in enumerate(sources)
    ]
    document = {"nbformat": 4, "nbformat_minor": 5, "metadata": {"title": title}, "cells": cells}
    return json.dumps(document).encode()


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def renderer(home):
    made = KernelRenderer(home, home / "config")
    yield made
    made.close()


def outputs(rendered):
    return [
        output.get("text") or output.get("data", {}).get("text/plain")
        for cell in json.loads(rendered.ipynb)["cells"]
        for output in cell.get("outputs", ())
    ]


def test_a_rerun_gives_the_same_bytes(renderer):
    source = notebook(
        "md:# A **title**",
        "for i in range(50): print(i, flush=True)",
        "from IPython.display import SVG; SVG('<svg xmlns=\"http://www.w3.org/2000/svg\"/>')",
        "{3, 1, 2}, hash('x')",
    )
    first = renderer.render(source, {})
    second = renderer.render(source, {})
    assert first == second
    assert first.error is None
    assert "execution" not in json.dumps(json.loads(first.ipynb)["cells"][1]["metadata"])


def test_no_name_survives_into_the_next_notebook(renderer):
    renderer.render(notebook("left_over = 1; import os; os.chdir('/')"), {})
    after = renderer.render(notebook("'left_over' in globals()", "import os; os.getcwd()"), {})
    assert outputs(after) == ["False", repr(str(renderer.home))]


def test_parameters_replace_the_assignments_of_their_cell(renderer):
    rendered = renderer.render(
        notebook("md:About {{N}}", "N = None  # how many", "N + 1"), {"N": 4}
    )
    cells = json.loads(rendered.ipynb)["cells"]
    assert cells[0]["source"] == "About 4"
    assert cells[1]["source"] == "N = 4  # how many"
    assert outputs(rendered) == ["5"]


def test_a_parameter_that_the_notebook_lacks_is_refused(renderer):
    with pytest.raises(DataError, match="no parameter M"):
        renderer.render(notebook("N = None"), {"M": 1})


def test_bytes_that_are_no_notebook_are_refused(renderer):
    with pytest.raises(DataError, match="not a Jupyter notebook"):
        renderer.render(b"{}", {})


def test_a_failing_cell_is_named_and_stops_the_notebook(renderer):
    rendered = renderer.render(notebook("1", "1 / 0", "print('never')"), {})
    assert rendered.error == "scoring notebook, cell 2: ZeroDivisionError: division by zero"
    assert b"never')" in rendered.ipynb
    assert b"never\\n" not in rendered.ipynb
    assert renderer.render(notebook("2"), {}).error is None


def test_a_cell_that_never_ends_is_stopped_and_the_next_notebook_runs(home):
    renderer = KernelRenderer(home, home, cell_seconds=1)
    try:
        rendered = renderer.render(notebook("while True: pass"), {})
        assert rendered.error == "scoring notebook, cell 1: ran longer than 1 s and was stopped"
        renderer.cell_seconds = 60
        assert renderer.render(notebook("2"), {}).error is None
    finally:
        renderer.close()


def test_a_kernel_that_dies_is_named_and_replaced(home):
    renderer = KernelRenderer(home, home)
    try:
        rendered = renderer.render(notebook("import os; os._exit(3)"), {})
        assert rendered.error is not None
        assert "its kernel died" in rendered.error
        assert renderer.render(notebook("2"), {}).error is None
    finally:
        renderer.close()


def test_the_page_is_whole_in_itself(renderer):
    svg = '<svg xmlns=\\"http://www.w3.org/2000/svg\\"><title>a</title></svg>'
    rendered = renderer.render(
        notebook("md:| a |\n|---|\n| 1 |", f'from IPython.display import SVG; SVG("{svg}")'), {}
    )
    page = rendered.html.decode()
    assert re.findall(r"(?:src|href)=\"(?!data:|#)[^\"]*\"", page) == []
    assert "<script" not in page
    assert "data:image/svg+xml;base64," in page
    assert "<td>1</td>" in page
    assert len(page) < 20_000


def test_the_title_is_text_and_no_markup(renderer):
    page = renderer.render(notebook("1", title="</title><script>"), {}).html
    assert b"<script>" not in page


def test_the_kernel_sees_the_home_and_this_interpreter(renderer, home):
    rendered = renderer.render(
        notebook("import os, sys", "os.environ['MLOPS_HOME'], sys.prefix"), {}
    )
    assert outputs(rendered) == [repr((str(home), sys.prefix))]


def test_nothing_of_the_users_startup_takes_part(home, tmp_path, monkeypatch):
    startup = tmp_path / "startup.py"
    startup.write_text("from_startup = 1\n")
    monkeypatch.setenv("PYTHONSTARTUP", str(startup))
    renderer = KernelRenderer(home, home)
    try:
        assert outputs(renderer.render(notebook("'from_startup' in globals()"), {})) == ["False"]
    finally:
        renderer.close()


def test_closing_ends_the_kernel_and_its_folder(home):
    renderer = KernelRenderer(home, home)
    shown = outputs(
        renderer.render(notebook("import os; os.getpid(), os.environ['IPYTHONDIR']"), {})
    )
    pid, folder = eval(shown[0])  # noqa: S307 our own output
    renderer.close()
    renderer.close()
    assert not Path(folder).parent.exists()
    assert gone(pid, seconds=5)


def test_a_kernel_ends_when_the_process_that_started_it_is_killed(home, tmp_path):
    program = (
        "import sys, time, json; from pathlib import Path\n"
        "from mlops_assets.adapters.local.notebook import KernelRenderer\n"
        f"r = KernelRenderer(Path({str(home)!r}), Path({str(home)!r}))\n"
        f"out = r.render({notebook('import os; os.getpid()')!r}, {{}})\n"
        "cell = json.loads(out.ipynb)['cells'][0]\n"
        "print(cell['outputs'][0]['data']['text/plain'], flush=True); time.sleep(60)\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", program],
        stdout=subprocess.PIPE,
        env={**os.environ, "TMPDIR": str(tmp_path)},
    )
    assert process.stdout is not None
    kernel = int(process.stdout.readline())
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()
    assert gone(kernel, seconds=10)


def gone(pid, *, seconds):
    """Whether a process is gone, or is a zombie that nobody has waited for yet."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            os.kill(pid, 0)
            if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z":
                return True
        except (ProcessLookupError, FileNotFoundError):
            return True
        time.sleep(0.1)
    return False

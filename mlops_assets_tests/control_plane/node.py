"""What runs on a node for a batch deployment: `init` once, `run` for each mini batch of files.

``python -P node.py ORDER``; the order is a JSON file. As the service does it: a mini batch that
raises is tried again, then all its files have failed; one that returns fewer items than it got has
failed for the rest. More failures than the threshold (-1: any number) fail the job. What `run`
returned is appended to one file, a line an item.
"""

from __future__ import annotations

import importlib.util
import json
import sys
import traceback
from pathlib import Path


def main(order_file: str) -> int:
    """Score what the order names; 1 when too much of it failed."""
    order = json.loads(Path(order_file).read_text(encoding="utf-8"))
    script = Path(order["script"])
    sys.path.insert(0, str(script.parent))
    spec = importlib.util.spec_from_file_location(script.stem, script)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    if hasattr(module, "init"):
        module.init()
    failed, lines, size = 0, [], order["mini_batch_size"]
    for start in range(0, len(order["files"]), size):
        batch = order["files"][start : start + size]
        items = attempted(module, batch, order["retries"])
        failed += max(0, len(batch) - len(items))
        lines += [str(item) for item in items]
    if order["output"]:
        Path(order["output"]).write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    threshold = order["error_threshold"]
    if 0 <= threshold < failed:
        sys.stderr.write(f"{failed} failed items exceed the error threshold {threshold}\n")
        return 1
    return 0


def attempted(module, batch, retries):
    """What `run` returns for a mini batch, nothing where every attempt raised."""
    for attempt in range(retries + 1):
        try:
            return list(module.run(batch))
        except Exception:  # noqa: BLE001 whatever a script raises fails its mini batch
            sys.stderr.write(f"mini batch {batch}, attempt {attempt + 1}:\n")
            traceback.print_exc()
    return []


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))

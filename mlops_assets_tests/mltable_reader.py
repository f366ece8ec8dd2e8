"""Loads MLTable folders with Azure ML's own reader and says what it found, as JSON.

It is run by a Python that has the mltable package and nothing of this project:
``python mltable_reader.py FOLDER...``
"""

from __future__ import annotations

import json
import sys
from datetime import timezone


def read(folder):
    """Rows, columns and first row of one folder."""
    import mltable

    frame = mltable.load(folder).to_pandas_dataframe()
    first = {} if frame.empty else {name: plain(cell) for name, cell in frame.iloc[0].items()}
    return {
        "folder": folder,
        "rows": len(frame),
        "columns": list(frame.columns),
        "first": first,
    }


def plain(cell):
    """A cell as JSON can hold it; stamps without a zone are UTC."""
    if hasattr(cell, "isoformat"):
        utc = timezone.utc  # noqa: UP017 its Python may be 3.10
        stamp = cell.replace(tzinfo=utc) if cell.tzinfo is None else cell.astimezone(utc)
        return stamp.isoformat()
    return cell.item() if hasattr(cell, "item") else cell


if __name__ == "__main__":
    json.dump([read(folder) for folder in sys.argv[1:]], sys.stdout)

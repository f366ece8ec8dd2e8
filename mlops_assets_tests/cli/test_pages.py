"""Every command of ours that a page names is one that there is, with the options that it has."""

from __future__ import annotations

import pytest

from mlops_assets_tests.pages import PAGES, ROOT, ours, unknown


@pytest.mark.parametrize("page", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_page_names_only_commands_and_options_that_there_are(page):
    said = {" ".join(words): unknown(words) for words in ours(page.read_text())}
    assert {line: lack for line, lack in said.items() if lack} == {}


@pytest.mark.parametrize(
    ("text", "lack"),
    [
        ("`mlops trian`", "trian"),
        ("`mlops release sign ID`", "sign"),
        ("```\nmlops train --al\n```", "--al"),
        ("   ```\n   git pull && mlops --homes x status\n   ```", "--homes"),
        ("`mlops --home x plan --working-tree`", None),
        ("`mlops --json train --ref HEAD > train.json`", None),
    ],
)
def test_what_there_is_not_is_found_wherever_it_stands(text, lack):
    (words,) = ours(text)
    assert unknown(words) == lack

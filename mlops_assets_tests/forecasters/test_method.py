"""A form that was chosen before is fitted again, or anew where readings no longer fit it."""

from __future__ import annotations

import numpy as np
import pytest

from mlops_assets.domain.errors import ModelError
from mlops_assets.forecasters.ets import Ets
from mlops_assets.forecasters.method import fit_single
from mlops_assets.forecasters.window import Window
from mlops_assets_tests.forecasters.series import load_values, series_of

pytestmark = pytest.mark.filterwarnings("ignore")
LABEL = "mstl_ets"
REFUSAL = "no model able to be fitted"


@pytest.fixture
def window():
    return Window.of(series_of(load_values(77)), 77 * 24)


@pytest.fixture
def refused(monkeypatch):
    """Let the library refuse some forms, as it does without a class of its own."""
    forms, asked, own = {}, [], Ets.fit.__func__

    def fit(cls, values, start, period, trend, variant=None):  # noqa: PLR0917 as it is
        asked.append(variant)
        if variant in forms:
            raise forms[variant]
        return own(cls, values, start, period, trend, variant)

    monkeypatch.setattr(Ets, "fit", classmethod(fit))
    return forms, asked


def test_a_known_form_is_fitted_alone(window, refused):
    _, asked = refused

    model = fit_single(LABEL, window, {}, {LABEL: "damped"})

    assert asked == ["damped"]
    assert model.core.variant == "damped"


def test_a_known_form_that_fits_no_more_is_chosen_anew(window, refused):
    forms, asked = refused
    forms["damped"] = Exception(REFUSAL)

    model = fit_single(LABEL, window, {}, {LABEL: "damped"})

    assert asked == ["damped", None]
    assert model.core.variant == fit_single(LABEL, window, {}, {}).core.variant


@pytest.mark.parametrize("error", [Exception(REFUSAL), np.linalg.LinAlgError("singular")])
def test_where_no_form_fits_it_is_said_in_one_line(window, refused, error):
    forms, _ = refused
    forms[None] = forms["damped"] = error

    with pytest.raises(ModelError, match=rf"^mstl_ets: .*these readings \({error}\)$"):
        fit_single(LABEL, window, {}, {LABEL: "damped"})


def test_a_failure_that_is_not_about_the_readings_is_not_hidden(window, refused):
    forms, _ = refused
    forms["damped"] = Exception("Parameters out of range")

    with pytest.raises(Exception, match=r"^Parameters out of range$"):
        fit_single(LABEL, window, {}, {LABEL: "damped"})

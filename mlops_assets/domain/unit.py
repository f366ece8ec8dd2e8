"""Units of readings, and the exact conversion between two of one kind.

A unit that is not listed converts to nothing but itself: a factor is then declared in
`sources.yml`, never guessed.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    import polars as pl


@dataclass(frozen=True, slots=True)
class Conversion:
    """``value * scale + offset``."""

    scale: Fraction = Fraction(1)
    offset: Fraction = Fraction(0)

    def apply(self, values: pl.Series) -> pl.Series:
        """Convert numbers; by a division where that is exact and a product would not be."""
        numerator, denominator = self.scale.numerator, self.scale.denominator
        if numerator != 1:
            values = values * float(numerator)
        if denominator != 1:
            values = values / float(denominator)
        return values + float(self.offset) if self.offset else values


UNCHANGED = Conversion()


def _scaled(kind: str, **scales: str) -> dict[str, tuple[str, Conversion]]:
    return {name: (kind, Conversion(Fraction(scale))) for name, scale in scales.items()}


_KELVIN = Fraction("273.15")
_HOUR = 3600
# How a value in each unit becomes the first one of its kind.
_UNITS: Mapping[str, tuple[str, Conversion]] = {
    **_scaled("power", W="1", kW="1e3", MW="1e6", GW="1e9"),
    **_scaled("energy", J="1", kJ="1e3", MJ="1e6", GJ="1e9"),
    **_scaled("energy", Wh="3600", kWh="3.6e6", MWh="3.6e9", GWh="3.6e12"),
    **_scaled("pressure", Pa="1", hPa="100", kPa="1e3", MPa="1e6", bar="1e5", mbar="100"),
    "psi": ("pressure", Conversion(Fraction("6894.757293168"))),
    **_scaled("voltage", V="1", kV="1e3", mV="1e-3"),
    **_scaled("current", A="1", kA="1e3", mA="1e-3"),
    **_scaled("length", m="1", mm="1e-3", cm="1e-2", km="1e3"),
    **_scaled("mass", kg="1", g="1e-3", t="1e3"),
    **_scaled("volume", m3="1", l="1e-3"),
    "m3/s": ("flow", Conversion()),
    "m3/h": ("flow", Conversion(Fraction(1, _HOUR))),
    "l/s": ("flow", Conversion(Fraction(1, 1000))),
    "l/min": ("flow", Conversion(Fraction(1, 60_000))),
    "l/h": ("flow", Conversion(Fraction(1, 1000 * _HOUR))),
    "kg/s": ("mass flow", Conversion()),
    "kg/h": ("mass flow", Conversion(Fraction(1, _HOUR))),
    "t/h": ("mass flow", Conversion(Fraction(1000, _HOUR))),
    "m/s": ("speed", Conversion()),
    "km/h": ("speed", Conversion(Fraction(1000, _HOUR))),
    "Hz": ("frequency", Conversion()),
    "1/min": ("frequency", Conversion(Fraction(1, 60))),
    "1": ("share", Conversion()),
    "%": ("share", Conversion(Fraction(1, 100))),
    "K": ("temperature", Conversion()),
    "degC": ("temperature", Conversion(Fraction(1), _KELVIN)),
    "degF": ("temperature", Conversion(Fraction(5, 9), Fraction("459.67") * Fraction(5, 9))),
}
UNITS = tuple(sorted(_UNITS))


def conversion(sent: str, wanted: str) -> Conversion | None:
    """Return how values in one unit become another; None where there is no such way.

    >>> conversion("degF", "degC")
    Conversion(scale=Fraction(5, 9), offset=Fraction(-160, 9))
    """
    if sent == wanted:
        return UNCHANGED
    if sent not in _UNITS or wanted not in _UNITS or _UNITS[sent][0] != _UNITS[wanted][0]:
        return None
    source, target = _UNITS[sent][1], _UNITS[wanted][1]
    return Conversion(source.scale / target.scale, (source.offset - target.offset) / target.scale)


def factor_conversion(factor: float) -> Conversion:
    """Return a declared factor as people wrote it: 0.001 is a thousandth, not its binary image."""
    return Conversion(Fraction(repr(factor)))

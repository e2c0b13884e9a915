"""Fit a model's spread on days it was not trained on: by wavenumber, member by member, from day to day."""

from xdownscale.calibration.fitting import calibrate

__all__ = ["calibrate"]

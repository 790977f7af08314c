"""The evaluation: suites, measurements, calibration and comparison."""

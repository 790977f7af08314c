"""The evaluation: suites, measurements, tables, reports, calibration and comparison."""

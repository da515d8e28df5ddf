"""Whether the audit tells the truth: networks trained on drawn pictures, whose every dependence is known by drawing.

python -m benchmarks.planted --help
"""

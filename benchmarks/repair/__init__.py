"""Does `seewhy repair` remove what it says? Converged networks on drawn faces, where every dependence can be drawn.

python -m benchmarks.repair --help
"""

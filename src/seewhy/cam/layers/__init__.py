"""Which modules run, which outputs are grids, and which layer is taken."""

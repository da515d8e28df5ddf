"""Other packages' names, over seewhy's own core: change one import, and a script runs."""

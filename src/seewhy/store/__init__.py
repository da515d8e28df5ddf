"""The run folder: the only owner of zarr and pyarrow."""

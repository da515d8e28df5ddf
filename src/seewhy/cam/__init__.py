"""Capture and CAM methods: torch only, no files, no pictures, no printing."""

"""Preprocessing that other packages made, as canvases."""

"""From bytes to photographs and canvases, and which photographs are nearly the same."""

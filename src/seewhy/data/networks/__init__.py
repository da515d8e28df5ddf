"""Networks and weights in: from code, files and other packages."""

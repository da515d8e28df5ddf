"""What `check` looks at: behaviour, feeding, and whether maps may be read."""

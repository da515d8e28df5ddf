"""Repair: ways, control arms and the proof."""

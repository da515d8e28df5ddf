"""From effects to findings: cases, safeguards, levels, sentences."""

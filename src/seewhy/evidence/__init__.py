"""What can be claimed about a classifier, and with which certainty."""

"""Pictures: numpy and PIL only."""

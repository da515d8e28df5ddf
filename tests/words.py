"""Words that no sentence about a model may hold."""

BANNED = ("the model looks at", "because", "overfitting")

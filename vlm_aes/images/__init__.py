"""Opening an image safely; degradations; sample photos."""

"""Culling of a shoot: faces and eyes, ranking inside a group, and verdicts."""

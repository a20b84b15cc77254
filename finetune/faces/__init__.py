"""The recipe that converts the nets for faces and eyes."""

"""A run and its folder: where it stands, what is kept of it and read again, how it is interrupted."""

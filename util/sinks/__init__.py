"""Places that show how a run goes: one file each."""

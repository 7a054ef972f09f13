"""Writes on the wire what is no event."""

input()
print("Loading weights: 100%", flush=True)
input()

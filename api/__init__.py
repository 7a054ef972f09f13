"""The Flask ingress: HTTP in, rows out."""

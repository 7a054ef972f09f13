"""The farm on one machine: the embedded services and the processes of ``farm up``."""

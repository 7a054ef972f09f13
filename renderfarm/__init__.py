"""The domain of the farm: jobs, credits, storage, settings. No Flask, no torch."""

__version__ = "0.1.0"

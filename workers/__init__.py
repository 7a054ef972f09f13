"""The Celery app and its tasks: they bind the domain to the pipeline."""

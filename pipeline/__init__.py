"""Pure media and models: files in, files out. No database, no queue, no web."""

"""Media that means harm, sent through the farm's own door: ``farm bench hostile``."""

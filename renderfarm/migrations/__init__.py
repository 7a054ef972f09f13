"""Alembic's revisions of the rows in ``renderfarm.models``; ``renderfarm.migrate`` runs them."""

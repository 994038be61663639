"""Settings kept in the database, as frozen documents."""

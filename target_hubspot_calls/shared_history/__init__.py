"""History of several hosts: pages read it from PostgreSQL, one host copies it to DuckDB."""

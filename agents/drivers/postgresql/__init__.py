"""PostgreSQL: one artifact per database by pg_dump and one for roles and tablespaces by pg_dumpall, or the whole cluster's
files by pg_basebackup.
"""

"""MariaDB: the data directory by mariadb-backup, or one artifact per database by mariadb-dump; and one of accounts."""

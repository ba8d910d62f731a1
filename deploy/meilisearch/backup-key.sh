#!/bin/sh
# Makes the API key for backups and writes it into a file, mode 0600, that is named by `api_key_file` in the service's file:
#
#     MEILI_MASTER_KEY=… ./backup-key.sh http://127.0.0.1:7700 /etc/strongroom/secrets/search.key
#
# A key's actions cannot be changed afterwards: to correct one, make another and delete the old one.
# For dumps.create see what a dump holds: all documents, and the settings with their secrets. The key alone reads none of
# it: dumps appear in the instance's own dump directory. tasks.cancel may be left out; a cancelled backup then leaves its
# dump task in the queue. The key stays out of the process list: curl reads it from its standard input.
set -eu
umask 077
url=${1:?the instance, such as http://127.0.0.1:7700}
file=${2:?the file for the key}
answer=$(printf 'header = "Authorization: Bearer %s"\n' "${MEILI_MASTER_KEY:?the master key of the instance}" |
    curl --silent --show-error --fail-with-body --config - --request POST "$url/keys" \
        --header 'Content-Type: application/json' --data-binary "@$(dirname "$0")/backup-key.json")
printf '%s' "$answer" | sed -n 's/.*"key" *: *"\([^"]*\)".*/\1/p' >"$file"
test -s "$file"

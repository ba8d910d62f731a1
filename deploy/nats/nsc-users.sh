#!/bin/sh
# The same users for servers that are run with an operator and JWTs.
#
#   nsc-users.sh ACCOUNT [backup|restore]
#
# Makes the user strongroom-backup (or strongroom-restore) in the account and prints its credentials: put them into the file
# that creds_file of the service's connection names, mode 0600.  Push the account afterwards as usual: nsc push -a ACCOUNT
set -eu

account=${1:?usage: nsc-users.sh ACCOUNT [backup|restore]}
purpose=${2:-backup}

publish='$JS.API.INFO,$JS.API.STREAM.LIST,$JS.API.CONSUMER.LIST.*,$JS.API.STREAM.SNAPSHOT.*,$JS.SNAPSHOT.ACK.*.>'
if [ "$purpose" = restore ]; then
    publish="$publish"',$JS.API.STREAM.INFO.*,$JS.API.STREAM.RESTORE.*,$JS.SNAPSHOT.RESTORE.*.>'
    publish="$publish"',$JS.API.STREAM.UPDATE.*,$JS.API.STREAM.DELETE.*'
fi

nsc add user --account "$account" --name "strongroom-$purpose" \
    --allow-pub "$publish" --allow-sub '_INBOX.strongroom.>' >&2
nsc generate creds --account "$account" --name "strongroom-$purpose"

#!/bin/sh
# Lets the agent's user read and remove the dumps that Meilisearch makes, which has no other way to hand them out:
#
#     ./dump-dir.sh /var/lib/meilisearch/dumps strongroom
#
# The default entries are for dumps to come. A Meilisearch with `UMask=0077` makes files that nobody else may read in spite
# of them: let it be 0027. In containers, give the directory that is mounted at /meili_data/dumps.
set -eu
directory=${1:?the directory that Meilisearch was started with by --dump-dir or MEILI_DUMP_DIR}
user=${2:?the user that the agent runs as}
setfacl --modify "user:$user:rwx,default:user:$user:rw" "$directory"

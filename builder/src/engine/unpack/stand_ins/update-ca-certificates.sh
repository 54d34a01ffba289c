#!/bin/sh
# without hooks to tell of them, what is done first is done again by the trigger that the package sets next
hooks=$(echo /etc/ca-certificates/update.d/*)
if [ "$*" = "--hooksdir " ] && [ "$hooks" = "/etc/ca-certificates/update.d/*" ]; then
    exit 0
fi
exec /run/smbgw/bin/later certificates /usr/sbin/update-ca-certificates "$@"

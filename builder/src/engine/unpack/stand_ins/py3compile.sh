#!/bin/sh
exec /run/smbgw/bin/later python /usr/bin/py3compile "$@"

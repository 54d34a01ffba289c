#!/bin/sh
# a ram disk is made once, when all is configured, and not for each package that asks for it
case $1 in
-c) exec /run/smbgw/bin/later kernel /usr/sbin/update-initramfs "$@" ;;
-u)
    # as part of a package's installation alone, it only asks dpkg to be called again
    if [ -z "$DPKG_MAINTSCRIPT_PACKAGE" ] || [ $# -ne 1 ]; then
        exec /run/smbgw/bin/later kernel /usr/sbin/update-initramfs "$@"
    fi
    ;;
esac
exec /usr/sbin/update-initramfs "$@"

#!/bin/sh
# asks the process that has the program in memory
echo "$$" >/run/smbgw/NAME.request
read -r code </run/smbgw/NAME.reply
exit "$code"

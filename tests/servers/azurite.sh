#!/usr/bin/env bash
# Azurite's blob service on loopback.
#
#   azurite.sh FOLDER NODE_MODULES PYTHON     FOLDER is made anew; NODE_MODULES has azurite
#
# Prints `endpoint,account,key` as a variable; the process id stands in FOLDER/pids.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
D=$(realpath -m "$1")
modules=$2
python=$3
rm -rf "$D"
mkdir -p "$D"
port=$("$python" "$here/free_ports.py" 1)
key=$(printf 'test-key-for-azurite-only-0123456' | base64 -w0)
AZURITE_ACCOUNTS="testaccount:$key" setsid "$modules/.bin/azurite-blob" --blobHost 127.0.0.1 --blobPort "$port" \
    --location "$D" --skipApiVersionCheck --disableTelemetry --silent >"$D/log" 2>&1 </dev/null &
echo $! >"$D/pids"
for try in $(seq 80); do
    curl -s -o /dev/null "http://127.0.0.1:$port/" && break
    sleep 0.25
    [ "$try" -lt 80 ] || { tail -n 5 "$D/log" >&2; exit 1; }
done
endpoint=http://127.0.0.1:$port/testaccount
"$python" "$here/container.py" "$endpoint" testaccount "$key" lakes
echo "MDCA_TEST_AZURITE=$endpoint,testaccount,$key"

#!/usr/bin/env bash
# A Ceph RADOS Gateway of one node on loopback, with its data in memory.
#
#   rgw.sh FOLDER PYTHON     FOLDER is made anew; PYTHON has boto3
#
# Prints `endpoint,access key,secret` for each of its users as a variable; the process ids stand in
# FOLDER/pids. Needs: apt-get install --no-install-recommends radosgw ceph-mon ceph-osd
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
D=$(realpath -m "$1")
python=$2
rm -rf "$D"
mkdir -p "$D"/{mon,osd,run,log,rgw}
: >"$D/pids"

# One port for the gateway, and a row of them for the parts of the cluster.
read -r port mon_port < <("$python" "$here/free_ports.py" 1 41)
class_dir=$(dirname "$(find /usr/lib -path '*rados-classes/libcls_rgw.so' | head -1)")
cat >"$D/ceph.conf" <<CONF
[global]
fsid = $(cat /proc/sys/kernel/random/uuid)
mon host = v2:127.0.0.1:$mon_port
mon initial members = a
public network = 127.0.0.0/8
cluster network = 127.0.0.0/8
auth cluster required = cephx
auth service required = cephx
auth client required = cephx
keyring = $D/keyring
auth allow insecure global id reclaim = true
mon warn on insecure global id reclaim allowed = false
run dir = $D/run
crash dir = $D/run
log file = $D/log/\$name.\$pid.log
admin socket = $D/run/\$name.\$pid.asok
osd pool default size = 1
osd pool default min size = 1
osd pool default pg num = 4
osd pool default pgp num = 4
osd pool default pg autoscale mode = off
mon allow pool size one = true
mon warn on pool no redundancy = false
osd crush chooseleaf type = 0
mon max pg per osd = 1000
mon data avail crit = 1
mon data avail warn = 1
ms bind ipv6 = false
ms bind port min = $((mon_port + 1))
ms bind port max = $((mon_port + 40))
paxos propose interval = 0.05
paxos min wait = 0.01
mon osd prime pg temp = false
[mon.a]
mon data = $D/mon
[osd.0]
osd data = $D/osd
osd objectstore = memstore
osd class dir = $class_dir
osd class load list = *
osd class default list = *
memstore device bytes = 2147483648
osd memory target = 1073741824
[client.rgw.a]
rgw data = $D/rgw
rgw frontends = beast endpoint=127.0.0.1:$port tcp_nodelay=1
rgw enable usage log = false
rgw enable ops log = false
rgw thread pool size = 64
rgw gc max objs = 7
rgw lifecycle max objs = 7
rgw num rados handles = 1
CONF

C="-c $D/ceph.conf"
fsid=$(sed -n 's/^fsid = //p' "$D/ceph.conf")
key() { ceph-authtool "$@" >/dev/null; }
key -C "$D/keyring" --gen-key -n mon. --cap mon 'allow *'
key "$D/keyring" --gen-key -n client.admin --cap mon 'allow *' --cap osd 'allow *' --cap mgr 'allow *'
key "$D/keyring" --gen-key -n client.rgw.a --cap mon 'allow rwx' --cap osd 'allow rwx'
key "$D/keyring" --gen-key -n osd.0 --cap mon 'allow profile osd' --cap osd 'allow *'
monmaptool --create --fsid "$fsid" --addv a "[v2:127.0.0.1:$mon_port]" "$D/monmap" >/dev/null

start() {
    local name=$1
    shift
    setsid "$@" >"$D/log/$name.out" 2>&1 </dev/null &
    echo $! >>"$D/pids"
}
until_true() {
    for _ in $(seq 120); do
        "$@" >/dev/null 2>&1 && return 0
        sleep 0.25
    done
    echo "not in time: $*" >&2
    tail -n 5 "$D"/log/*.out >&2
    return 1
}
osd_is_up() { timeout 5 ceph $C osd stat | grep -q '1 up'; }

ceph-mon $C --mkfs -i a --monmap "$D/monmap" --keyring "$D/keyring" >"$D/log/mon-mkfs.out" 2>&1
start mon ceph-mon $C -f -i a
until_true timeout 5 ceph $C -s
osd=$(cat /proc/sys/kernel/random/uuid)
ceph $C osd new "$osd" 0 >/dev/null
ceph-osd $C --mkfs -i 0 --osd-uuid "$osd" >"$D/log/osd-mkfs.out" 2>&1
start osd ceph-osd $C -f -i 0
until_true osd_is_up

user() {
    radosgw-admin $C -n client.rgw.a user create --uid="$1" --display-name="$1" \
        --access-key="$1-key" --secret-key="$1-secret" >>"$D/log/users.out" 2>&1
}
for name in owner reader stranger tight; do user $name; done
radosgw-admin $C -n client.rgw.a quota set --quota-scope=user --uid=tight --max-objects=12 >>"$D/log/users.out" 2>&1
radosgw-admin $C -n client.rgw.a quota enable --quota-scope=user --uid=tight >>"$D/log/users.out" 2>&1
start rgw radosgw $C -f -n client.rgw.a
until_true curl -fs -o /dev/null "http://127.0.0.1:$port/"

endpoint=http://127.0.0.1:$port
"$python" "$here/buckets.py" "$endpoint" owner-key owner-secret lakes read-only=reader
"$python" "$here/buckets.py" "$endpoint" tight-key tight-secret tight
echo "MDCA_TEST_S3_RGW=$endpoint,owner-key,owner-secret"
echo "MDCA_TEST_RGW_CONF=$D/ceph.conf"

#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
#
# database.sh: PostgreSQL on a disk, and pgbench, by the image of "bed database".
#
#   database.sh make TOOLS FOLDER             the host: a cluster with pgbench's tables in FOLDER
#   database.sh start TOOLS FOLDER            the guest: its server, until it answers
#   database.sh work TOOLS CLIENTS COUNT      so many transactions of each client; figures
#   database.sh stop TOOLS
#   database.sh end TOOLS                     whatever of it is there goes
#
# TOOLS is where the image is mounted, FOLDER a folder of the file system on the disk. All is durable, as
# PostgreSQL sees to by itself. That the sums of pgbench's tables agree verifies what was read
# and written; so do checksums of each page.
set -eu

tools=$2

# in_it COMMAND...: in the image, as its user
in_it()
{
	chroot "$tools" /usr/bin/setpriv --reuid=70 --regid=70 --clear-groups /usr/bin/env -i \
		LC_ALL=C PATH=/usr/lib/postgresql/17/bin:/usr/bin PGHOST=/tmp PGDATABASE=postgres PGDATA=/pg "$@"
}

enter()
{
	mount --bind "$1" "$tools/pg"
	mount --bind /dev "$tools/dev"
	mount --bind /proc "$tools/proc"
	mount -t tmpfs -o mode=1777 tmpfs "$tools/tmp"
}

# pg_ctl waits until the server has said that it ends, not until it has gone.
leave()
{
	for name in tmp proc dev pg; do
		tries=100
		until umount "$tools/$name" 2> /dev/null; do
			tries=$((tries - 1))
			if [ $tries = 0 ]; then
				umount "$tools/$name"
				return
			fi
			sleep 0.1
		done
	done
}

# A small machine's, and nothing that works on its own when it likes.
settings()
{
	cat <<- EOF
		listen_addresses = ''
		unix_socket_directories = '/tmp'
		dynamic_shared_memory_type = mmap
		shared_buffers = 16MB
		min_wal_size = 2MB
		max_wal_size = 32MB
		autovacuum = off
		jit = off
	EOF
}

server()
{
	in_it pg_ctl --wait --timeout=300 --log=/pg/log --silent "$1"
}

make()
{
	mkdir -p "$1"
	chown 70:70 "$1"
	chmod 700 "$1"
	enter "$1"
	in_it initdb --wal-segsize=1 --data-checksums --auth=trust > /dev/null
	settings >> "$1/postgresql.conf"
	server start
	in_it pgbench --initialize --quiet --scale=1 2> /dev/null
	server stop
	leave
}

# What each transaction adds to an account is added to a teller, a branch and the history.
sums='SELECT (SELECT sum(abalance) FROM pgbench_accounts) = sum(delta)
	AND (SELECT sum(tbalance) FROM pgbench_tellers) = sum(delta)
	AND (SELECT sum(bbalance) FROM pgbench_branches) = sum(delta) FROM pgbench_history'

work()
{
	in_it pgbench --no-vacuum --client="$1" --transactions="$2" > /tmp/pgbench
	awk '/^number of transactions actually processed:/ { split($NF, n, "/") }
		/^number of failed transactions:/ { failed = $5 }
		/^tps = / { tps = $3 }
		END {
			if (n[1] != n[2] || failed + 0)
				print "error=pgbench: " n[1] " of " n[2] " transactions, " failed " failed"
			printf "db_transactions=%d\ndb_seconds=%.3f\n", n[1], n[1] / tps
		}' /tmp/pgbench
	case $(in_it psql --no-psqlrc --tuples-only --no-align --command="$sums") in
	t) echo db_verified=true ;;
	*) echo db_verified=false ;;
	esac
}

case $1 in
make) make "$3" ;;
start)
	enter "$3"
	server start
	;;
work) work "$3" "$4" ;;
stop)
	server stop
	leave
	;;
end)
	[ ! -e "$tools/pg/postmaster.pid" ] || in_it pg_ctl --mode=immediate --silent stop || true
	for name in tmp proc dev pg; do
		umount "$tools/$name" 2> /dev/null || true
	done
	;;
esac

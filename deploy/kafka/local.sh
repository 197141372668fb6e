#!/usr/bin/env bash
# Runs a real Apache Kafka (KRaft) on this machine, for tests and trials: one broker, or three.
#
#   local.sh fetch                                     copy the jars into the cache (needs mvn, once)
#   local.sh run   --data DIR [--port N] [--nodes 1|3] [--secure] [--group-delay MS] [--with-stdin]
#                                                      start, print "ready HOST:PORT,...", run until stopped
#   local.sh start --data DIR [--port N] [--nodes 1|3] [--secure] [--group-delay MS]
#                                                      start in the background, return when ready
#   local.sh node-start|node-kill|node-stop --data DIR --node N
#                                                      one broker of a running cluster: start it again, SIGKILL, SIGTERM
#   local.sh stop  --data DIR                          stop what `start` started
#
# Node i listens on port N+2i (clients) and N+2i+1 (controllers). --secure, for one broker, adds listeners with TLS and
# SASL and prints where they, the certificates and the passwords are (needs openssl; see secure.sh). --with-stdin ends
# the cluster when standard input closes, so a test that dies takes its brokers along. --group-delay is how long a new
# group waits for further members: not at all unless it is given, where Kafka itself waits for three seconds. The cache is
# $FALSEFRONT_KAFKA_HOME, else target/kafka beside this repository's Cargo.toml. The heap is $KAFKA_HEAP_OPTS, else half
# of what Kafka's own start script gives: tests run beside it.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
home=${FALSEFRONT_KAFKA_HOME:-$here/../../target/kafka}
heap=${KAFKA_HEAP_OPTS:--Xms256m -Xmx512m}
command=${1:-help}
shift || true
data='' port=19092 nodes=1 with_stdin=no secure=no node='' group_delay=0
while [ $# -gt 0 ]; do
  case $1 in
    --data) data=$2; shift 2 ;;
    --port) port=$2; shift 2 ;;
    --nodes) nodes=$2; shift 2 ;;
    --node) node=$2; shift 2 ;;
    --group-delay) group_delay=$2; shift 2 ;;
    --with-stdin) with_stdin=yes; shift ;;
    --secure) secure=yes; shift ;;
    *) echo "local.sh: unknown option $1; see the head of $0" >&2; exit 2 ;;
  esac
done

. "$here/secure.sh"

# A broker that inherits a lock or a pipe holds it for as long as it lives.
close_inherited() {
  local fd
  for fd in /proc/self/fd/*; do
    fd=${fd##*/}
    if [ "$fd" -gt 2 ] && [ "$fd" -ne 255 ]; then eval "exec $fd>&-" 2>/dev/null || true; fi
  done
}

need() { command -v "$1" >/dev/null || { echo "local.sh: $1 not found; install it to run a local Kafka" >&2; exit 4; }; }

fetch() {
  [ -e "$home/libs/.complete" ] && return
  need mvn
  mkdir -p "$home"
  echo "local.sh: fetching Apache Kafka's jars into $home/libs" >&2
  mvn -q -B -f "$here/pom.xml" dependency:copy-dependencies -DoutputDirectory="$(cd "$home" && pwd)/libs" >&2
  touch "$home/libs/.complete"
}

java_kafka() { # main class, arguments; in the directory of the node
  java $heap -XX:+UseG1GC -Djava.awt.headless=true \
    -Dlog4j2.configurationFile="file:$data/log4j2.properties" -cp "$home/libs/*" "$@"
}

voters() { local i out=''; for ((i = 0; i < nodes; i++)); do out+="${out:+,}$i@127.0.0.1:$((port + 2 * i + 1))"; done; echo "$out"; }
bootstrap() { local i out=''; for ((i = 0; i < nodes; i++)); do out+="${out:+,}127.0.0.1:$((port + 2 * i))"; done; echo "$out"; }

configure() { # node
  local dir=$data/node-$1 replicas=1 isr=1 more='' protocols=''
  [ "$nodes" -ge 3 ] && replicas=3 isr=2
  [ $secure = yes ] && more=$(secure_listeners) protocols=,MUTUAL:SSL,SASL:SASL_SSL
  mkdir -p "$dir"
  cat >"$dir/server.properties" <<PROPERTIES
process.roles=broker,controller
node.id=$1
controller.quorum.voters=$(voters)
listeners=CLIENT://127.0.0.1:$((port + 2 * $1)),CONTROLLER://127.0.0.1:$((port + 2 * $1 + 1))$more
advertised.listeners=CLIENT://${FALSEFRONT_KAFKA_ADVERTISED:-127.0.0.1:$((port + 2 * $1))}$more
listener.security.protocol.map=CLIENT:PLAINTEXT,CONTROLLER:PLAINTEXT$protocols
controller.listener.names=CONTROLLER
inter.broker.listener.name=CLIENT
log.dirs=$dir/log
offsets.topic.replication.factor=$replicas
offsets.topic.num.partitions=4
transaction.state.log.replication.factor=$replicas
transaction.state.log.min.isr=$isr
transaction.state.log.num.partitions=4
min.insync.replicas=$isr
transaction.abort.timed.out.transaction.cleanup.interval.ms=1000
group.initial.rebalance.delay.ms=$group_delay
group.consumer.min.session.timeout.ms=5000
group.consumer.session.timeout.ms=10000
group.consumer.min.heartbeat.interval.ms=500
group.consumer.heartbeat.interval.ms=1000
auto.create.topics.enable=false
unclean.leader.election.enable=false
num.network.threads=2
num.io.threads=4
PROPERTIES
  [ $secure = no ] || secure_properties >>"$dir/server.properties"
}

format() {
  mkdir -p "$data"
  cat >"$data/log4j2.properties" <<'PROPERTIES'
rootLogger.level=INFO
rootLogger.appenderRefs=stdout
rootLogger.appenderRef.stdout.ref=STDOUT
appender.console.type=Console
appender.console.name=STDOUT
appender.console.layout.type=PatternLayout
appender.console.layout.pattern=%d %p %c{1} %m%n
PROPERTIES
  echo "$port $nodes" >"$data/cluster"
  [ -e "$data/cluster.id" ] || java_kafka kafka.tools.StorageTool random-uuid >"$data/cluster.id" 2>/dev/null
  local i scram=()
  [ $secure = no ] || { make_secrets; scram=(--add-scram "$(secure_scram)"); }
  for ((i = 0; i < nodes; i++)); do
    configure "$i"
    [ -e "$data/node-$i/log/meta.properties" ] ||
      java_kafka kafka.tools.StorageTool format -t "$(cat "$data/cluster.id")" -c "$data/node-$i/server.properties" \
        "${scram[@]}" >"$data/node-$i/format.log" 2>&1
  done
}

start_node() {
  local dir=$data/node-$1
  # `setsid` keeps a terminal's Ctrl-C from reaching the brokers before their cluster is told to stop.
  (close_inherited; : >"$dir/server.log"
   exec setsid java $heap -XX:+UseG1GC -Djava.awt.headless=true \
    -Dlog4j2.configurationFile="file:$data/log4j2.properties" -cp "$home/libs/*" kafka.Kafka "$dir/server.properties" \
    </dev/null >>"$dir/server.log" 2>&1) &
  echo $! >"$dir/pid"
}

wait_ready() { # node
  local tries=0 dir=$data/node-$1
  until grep -q 'Kafka Server started' "$dir/server.log" 2>/dev/null; do
    tries=$((tries + 1))
    if [ $tries -gt 600 ] || ! kill -0 "$(cat "$dir/pid")" 2>/dev/null; then
      echo "local.sh: node $1 did not start; the end of $dir/server.log:" >&2
      tail -20 "$dir/server.log" >&2
      return 1
    fi
    sleep 0.2
  done
}

each_node() { local i; for ((i = 0; i < nodes; i++)); do "$@" "$i"; done; }
signal_node() { local pid; pid=$(cat "$data/node-$2/pid" 2>/dev/null) && kill "-$1" "$pid" 2>/dev/null || true; }
stop_all() { each_node signal_node "${1:-TERM}"; }

require_data() { [ -n "$data" ] || { echo "local.sh: --data DIR is required" >&2; exit 2; }; mkdir -p "$data"; data=$(cd "$data" && pwd); }
known_cluster() { [ -e "$data/cluster" ] && read -r port nodes <"$data/cluster"; }

case $command in
  fetch) fetch ;;
  run | start)
    require_data; need java
    [ $secure = no ] || { need openssl; [ "$nodes" = 1 ] || { echo "local.sh: --secure takes one node" >&2; exit 2; }; }
    fetch; format
    each_node start_node
    if ! each_node wait_ready; then stop_all KILL; exit 1; fi
    echo "ready $(bootstrap)"
    [ $secure = no ] || secure_ready
    if [ "$command" = run ]; then
      trap 'stop_all KILL; exit 0' TERM INT EXIT
      if [ $with_stdin = yes ]; then cat >/dev/null; else wait; fi
    fi ;;
  node-start) require_data; known_cluster; start_node "$node"; wait_ready "$node" ;;
  node-kill) require_data; known_cluster; signal_node KILL "$node" ;;
  node-stop) require_data; known_cluster; signal_node TERM "$node" ;;
  stop) require_data; known_cluster; stop_all TERM ;;
  *) sed -n '2,18p' "$0" | sed 's/^# \{0,1\}//' ;;
esac

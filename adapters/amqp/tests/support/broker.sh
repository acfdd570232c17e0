#!/bin/sh
# Runs a RabbitMQ of its own until standard input ends: until whoever started this lets go of it, or dies.
#
#     broker.sh DIRECTORY AMQP_PORT DISTRIBUTION_PORT EPMD_PORT PASSWORD
#
# It keeps to its directory and its three ports on the loopback interface, so that it has nothing to do with a broker that
# Debian's package may have started, nor with another of these. A line on standard input before its end keeps the directory.
set -eu
dir=$1 amqp=$2 distribution=$3 epmd=$4 password=$5
mkdir -p "$dir/home"
cat >"$dir/rabbitmq.conf" <<END
listeners.tcp.default = 127.0.0.1:$amqp
default_pass = $password
# A full disk is not what is tested here.
disk_free_limit.absolute = 1MB
END

broker() {
  # Otherwise the broker starts one itself, which outlives it.
  epmd -port "$epmd" -address 127.0.0.1 >/dev/null 2>&1 &
  until timeout 1 epmd -port "$epmd" -names >/dev/null 2>&1; do sleep 0.1; done
  exec env -i PATH="$PATH" LANG=C.UTF-8 HOME="$dir/home" ERL_EPMD_PORT="$epmd" \
    RABBITMQ_CONFIG_FILE="$dir/rabbitmq.conf" RABBITMQ_CONF_ENV_FILE="$dir/none" \
    RABBITMQ_ENABLED_PLUGINS_FILE="$dir/none" RABBITMQ_NODENAME="nosphere$amqp@localhost" \
    RABBITMQ_DIST_PORT="$distribution" RABBITMQ_MNESIA_BASE="$dir/mnesia" RABBITMQ_LOG_BASE="$dir/log" \
    RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS='+S 1:1 -kernel inet_dist_use_interface {127,0,0,1}' \
    /usr/lib/rabbitmq/bin/rabbitmq-server
}

if [ "${6-}" = broker ]; then broker; fi
# What it says goes through a pipe, which ends when the broker has: by itself, and then so does this, or killed.
rm -f "$dir/pipe"
mkfifo "$dir/pipe"
{ cat "$dir/pipe" >>"$dir/output"; kill -TERM $$; } &
reader=$!
# In a process group of its own, to be killed by its number with all that it starts.
setsid sh "$0" "$dir" "$amqp" "$distribution" "$epmd" "$password" broker >"$dir/pipe" 2>&1 </dev/null &
group=$!
end() {
  trap '' TERM
  kill -KILL "-$group" 2>/dev/null || :
  wait "$reader" || :
}
trap 'end; exit 1' TERM
keep=
read -r keep || :
end
if [ -z "$keep" ]; then rm -rf "$dir"; fi

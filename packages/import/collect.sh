#!/usr/bin/env bash
# Gathers what `cnilab import-node` reads: the network state of nodes, and the cluster's objects. It reads only:
# nothing is changed on a node, nothing is written there, and what is read holds no keys.
#
#   collect.sh local DIR [NAME]       this machine, as root; NAME is the node's name (default: its host name)
#   collect.sh ssh DIR NODE…          nodes that ssh reaches under their names, with sudo
#   collect.sh kubectl DIR NODE…      nodes by way of `kubectl debug node/…`, where there is no ssh
#   collect.sh docker DIR NODE…       nodes that are containers, as kind's are
#   collect.sh objects DIR            the cluster's objects, by kubectl
#   collect.sh print NAME             writes one node to standard output; `collect.sh unpack DIR` reads that
#
# Environment: SSH (default `ssh`), KUBECTL (`kubectl`), DOCKER (`docker`), IMAGE (what kubectl debug starts,
# `busybox`); for `local` and `print` ROOT_NETNS (a namespace that is taken for the machine) and NETNS (a
# pattern that names of its pods' namespaces fit).
set -u
mark='@@cnilab '

# --- on the node ---------------------------------------------------------------------------------------------------

# Writes a file: its name, then what a command says. A tool that is missing or fails makes no file.
emit() { # NAME COMMAND…
  local name=$1 said
  shift
  command -v "$1" >/dev/null 2>&1 || return 0
  said=$("${enter[@]}" "$@" 2>/dev/null </dev/null) || return 0
  printf '%s%s\n%s\n' "$mark" "$folder$name" "$said"
}

# The state of one namespace; `enter` holds the command that enters it.
namespace() {
  local dev
  emit links.json ip -d -j link show
  emit addrs.json ip -d -j addr show
  # -N: numbers, as names of tables and protocols are this machine's own
  for family in 4 6; do
    emit "routes$family.json" ip -N -d -j "-$family" route show table all
    emit "rules$family.json" ip -N -d -j "-$family" rule show
  done
  emit neigh.json ip -d -j neigh show
  emit neigh-proxy.json ip -j neigh show proxy
  emit fdb.json bridge -d -j fdb show
  emit nsids.json ip -j netns list-id
  emit lsns.txt lsns -n -r -t net -o NS,NETNSID
  emit sysctls.txt sysctl -e -a -r '^net\.'
  emit iptables.txt iptables-save -c
  emit ip6tables.txt ip6tables-save -c
  # The older backend's rules stand in tables of their own.
  if [[ $(iptables-save -V 2>/dev/null) != *legacy* ]]; then
    emit iptables-legacy.txt iptables-legacy-save -c
    emit ip6tables-legacy.txt ip6tables-legacy-save -c
  fi
  emit nft.txt nft list ruleset
  emit ipset.txt ipset save
  emit ipvs.txt ipvsadm -Sn
  emit qdiscs.json tc -j qdisc show
  for dev in $("${enter[@]}" tc qdisc show 2>/dev/null | awk '$2 ~ /^(ingress|clsact)$/ { print $5 }'); do
    emit "filters/$dev.json" tc -j filter show dev "$dev" ingress
  done
  emit sockets.txt ss -Hlntup
  # Columns of keys are blanked before they leave the node.
  emit wg.txt bash -c "wg show all dump | awk -F '\t' -v OFS='\t' '{ if (NF == 5) \$2 = \"-\"; else \$3 = \"-\" } 1'"
}

# All namespaces of this machine but its own, as `INODE FOLDER MOUNT PATH`: those that have a name, and those
# of processes that have none.
namespaces() {
  local path name inode pid
  {
    for path in /run/netns/* /run/docker/netns/*; do
      [[ -e $path ]] || continue
      name=${path##*/}
      # shellcheck disable=SC2053 # it is a pattern
      [[ $name == ${NETNS:-*} ]] || continue
      printf '%s %s %s %s\n' "$(stat -L -c %i "$path" 2>/dev/null)" "${name//[^a-zA-Z0-9_.-]/_}" "$name" "$path"
    done
    if [[ -z ${NETNS:-} ]]; then
      lsns -n -r -t net -o NS,PID 2>/dev/null | while read -r inode pid; do
        printf '%s pid-%s - /proc/%s/ns/net\n' "$inode" "$pid" "$pid"
      done
    fi
  } | awk -v own="$1" '$1 != own && !seen[$1]++'
}

node() { # NAME
  local name=$1 own root inode inner mount path
  enter=()
  [[ -z ${ROOT_NETNS:-} ]] || enter=(nsenter "--net=/run/netns/$ROOT_NETNS")
  root=${ROOT_NETNS:+/run/netns/$ROOT_NETNS}
  own=$(stat -L -c %i "${root:-/proc/self/ns/net}")
  folder=$name/
  printf '%s%s\n%s . %s\n' "$mark" "${folder}namespaces.txt" "$own" "${ROOT_NETNS:--}"
  namespaces "$own" | cut -d ' ' -f 1-3
  emit machine.txt uname -n -r
  namespace
  while read -r inode inner mount path; do
    enter=(nsenter "--net=$path")
    folder=$name/netns/$inner/
    namespace
  done < <(namespaces "$own")
  printf '%s%s\n' "$mark" end
}

# --- where the files are kept ----------------------------------------------------------------------------------------

unpack() { # DIR, and a node's files on standard input
  mkdir -p "$1" && awk -v dir="$1" -v mark="$mark" '
    index($0, mark) == 1 {
      if (file != "") close(file)
      name = substr($0, length(mark) + 1)
      sub(/\r$/, "", name)
      if (name == "end") { whole = 1; exit }
      # Nothing outside of the folder is written, whatever a node says.
      if (name ~ /(^|\/)\.\.(\/|$)/ || name ~ /^\// || name !~ /^[a-zA-Z0-9_.@:\/-]+$/) { file = ""; next }
      file = dir "/" name
      folder = file
      sub(/\/[^\/]*$/, "", folder)
      if (!made[folder]++) system("mkdir -p \"" folder "\"")
      printf "" > file
      next
    }
    file != "" { sub(/\r$/, ""); print > file }
    END { exit !whole }'
}

each() { # DIR HOW NODE…
  local dir=$1 how=$2 name
  shift 2
  for name in "$@"; do
    "$how" "$name" | unpack "$dir" || { echo "collect.sh: $name was not read to its end" >&2; failed=1; }
  done
}

# The node gets this very script on its standard input.
by_ssh() { ${SSH:-ssh} "$1" sudo bash -s print "$1" < "$script"; }
by_docker() { ${DOCKER:-docker} exec -i "$1" bash -s print "$1" < "$script"; }
# A pod with the node's own namespaces and files; it is left in state Completed, for you to delete.
by_kubectl() {
  ${KUBECTL:-kubectl} debug "node/$1" -i -q --profile=sysadmin "--image=${IMAGE:-busybox}" -- \
    chroot /host bash -s print "$1" < "$script"
}

objects() { # DIR
  local kinds=nodes,namespaces,pods,services,endpointslices,deployments,replicasets,statefulsets,daemonsets,jobs
  mkdir -p "$1"
  ${KUBECTL:-kubectl} get "$kinds,networkpolicies" -A -o yaml > "$1/objects.yaml" && return
  # Kinds that you may not list are missing; the others are there.
  [[ -s $1/objects.yaml ]] || rm -f "$1/objects.yaml"
  echo "collect.sh: not all objects were read" >&2
  return 1
}

script=${BASH_SOURCE[0]:-}
failed=
[[ ${1:-} == print || -n ${2:-} ]] || set -- help
case $1 in
  print) node "${2:-$(uname -n)}" ;;
  local) node "${3:-$(uname -n)}" | unpack "$2" || failed=1 ;;
  ssh | docker | kubectl) each "$2" "by_$1" "${@:3}" ;;
  objects) objects "$2" || failed=1 ;;
  unpack) unpack "$2" || failed=1 ;;
  *)
    sed -n '2,/^set /{/^#/s/^# \{0,1\}//p}' "$script"
    exit 2
    ;;
esac
[[ -z $failed ]]

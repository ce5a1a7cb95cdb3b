if [ "${2-}" = watchdog ] && select_lineage "$3"; then
  rollout=$4 token=$5
  fire "$4.$5"
  exit 0
fi

# The end of the connection: an unconfirmed swap has nobody left to prove it, a staged key nobody left to seal it, a drained
# member nobody left to make it ready. In a trap, bash takes a "return" without a number for the status from before it: what
# is called here says its own.
leave() {
  for left in $drained; do
    left=${left%=*}
    give_back "${left%%/*}" "${left#*/}"
  done
  # A switch that is at work already brings it to its end.
  [ -z "$armed" ] || fire "$armed" || sleeper=
  if [ -n "$included" ]; then
    if include_undo "$included"; then reload_command >/dev/null 2>&1 </dev/null; else sleeper=; fi
  fi
  [ -z "$slot" ] || rm -f "$base/.output" "$slot.new"
  [ -z "$sleeper" ] || kill "$sleeper" 2>/dev/null
  [ -n "$base" ] && fenced >/dev/null || return
  set -- "$base/.stage" "$base/.output" "$base/.sealed"
  for left in "$@"; do [ ! -e "$left" ] || { rm -rf "$@"; break; }; done
  [ ! -e "$base/.set" ] || zero "$base/.set"
}
trap leave EXIT
trap 'exit 0' HUP INT TERM PIPE

# A verb behind one that failed: its payload is read all the same.
leave_out() { # verb
  case $1 in stage | key | tickets | authorize | include) discard ;; esac
  refuse RECEIVER_PROTOCOL why=left-out
}

failed=
printf 'onecert-receiver 1 %s\n' "$receiver_id"
while IFS= read -r request; do
  # Words are what the grammar allows; anything else is not from us.
  case $request in '' | *[!A-Za-z0-9._:/=+@,\ -]*) refuse RECEIVER_PROTOCOL why=grammar; continue ;; esac
  set -- $request
  if [ "$1" = + ]; then
    shift
    [ -z "$failed" ] || { leave_out "$1"; continue; }
  fi
  failed= verb=${1-}
  [ $# = 0 ] || shift
  case $verb in
    bye) ok; exit 0 ;;
    *[!a-z]*) refuse RECEIVER_PROTOCOL why=verb; failed=1 ;;
    # What this text has no function for, it cannot do.
    *) if command -v "verb_$verb" >/dev/null; then "verb_$verb" "$@"; else refuse RECEIVER_PROTOCOL why=verb; fi || failed=1 ;;
  esac
done
exit 0

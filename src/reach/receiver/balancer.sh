# Sets state (up, drain, maint, down), sessions, and others: how many more of its backend take new connections. A backup
# takes them only when nobody else does, and may have nothing but an apology: it does not count.
look_at_member() { # backend member
  balanced "$1/$2" || { refuse RECEIVER_OUTDATED member="$1/$2"; return 1; }
  shown=$(printf 'show stat %s 4 -1\n' "$1" | ask_socket "$haproxy_socket" 2>/dev/null)
  [ $? != 127 ] || { refuse SERVER_TOOL_MISSING tool=socat; return 1; }
  case $shown in
    '# pxname,'*) ;;
    '') told "nothing answers at $haproxy_socket"; refuse BALANCER_SILENT; return 1 ;;
    *) told "${shown%%"$newline"*}"; refuse BALANCER_REFUSED; return 1 ;;
  esac
  state= sessions=0 others=0
  while IFS=, read -r skip name skip skip current skip skip skip skip skip skip skip skip skip skip skip skip word weight active skip; do
    case $word in
      UP* | 'no check') seen=up ;;
      DRAIN* | NOLB*) seen=drain ;;
      MAINT*) seen=maint ;;
      *) seen=down ;;
    esac
    if [ "$name" = "$2" ]; then
      state=$seen sessions=$current
    elif [ "$seen $active" = 'up 1' ] && [ "$weight" != 0 ]; then
      others=$((others + 1))
    fi
  done <<EOF
$shown
EOF
  [ -n "$state" ] || { told "the backend $1 has no server $2"; refuse BALANCER_REFUSED; }
}

set_member() { # backend member state
  said=$(printf 'set server %s/%s state %s\n' "$@" | ask_socket "$haproxy_socket" 2>/dev/null) && [ -z "$said" ] ||
    { told "${said:-nothing answers at $haproxy_socket}"; refuse BALANCER_REFUSED; }
}

# Between tries, in seconds. A balancer that is being reloaded says nothing for a moment. The switch is the last that comes
# to give a member back: it goes on for six minutes, as one that is being restarted or mended may take so long.
session_pauses='1 1 1 1'
switch_pauses='1 2 4 8 16 32 60 60 60 60 60'

# Not where somebody has put it into maintenance since.
make_ready() { # backend member pauses
  for pause in $3 ''; do
    look_at_member "$1" "$2" && { [ "$state" = maint ] || set_member "$1" "$2" ready; } && return 0
    [ -z "$pause" ] || sleep "$pause"
  done
  return 1
}

# Of a member that this session drained. The switch is ended last: where this does not succeed, it goes on with that.
give_back() { # backend member
  others_held= held=
  for each in $drained; do
    case $each in "$1/$2="*) held=${each##*=} ;; *) others_held="$others_held $each" ;; esac
  done
  [ -n "$held" ] || return 0
  drained=$others_held
  # Where the time was up it has been given back, and may be drained by somebody else since. Of a switch that has ended the
  # shell learns when it waits for something else.
  : "$(:)"
  if ! kill -0 "$held" 2>/dev/null; then wait "$held" && return 0; fi
  make_ready "$1" "$2" "$session_pauses" >/dev/null && kill "$held" 2>/dev/null
}

# drain BACKEND MEMBER SECONDS: no new connections for it, until it is made ready, this connection ends or the time is up.
# Only one that takes them, and never the last of its backend.
verb_drain() {
  look_at_member "$1" "$2" || return
  taken=no
  if [ "$state" = up ] && [ "$others" != 0 ]; then
    in_time "$3" make_ready "$1" "$2" "$switch_pauses"
    drained="$drained $1/$2=$timer"
    set_member "$1" "$2" drain || { give_back "$1" "$2"; return 1; }
    taken=yes
    # Somebody else may have drained the others in that moment.
    look_at_member "$1" "$2" && [ "$others" != 0 ] || { give_back "$1" "$2"; taken=no state=up others=0; }
  fi
  ok taken="$taken" state="$state" sessions="$sessions" others="$others"
}

# ready BACKEND MEMBER: what this session drained gets connections again; any other is left as it is.
verb_ready() {
  give_back "$1" "$2"
  verb_sessions "$@"
}

# sessions BACKEND MEMBER: what HAProxy says of it.
verb_sessions() {
  look_at_member "$1" "$2" && ok state="$state" sessions="$sessions" others="$others"
}

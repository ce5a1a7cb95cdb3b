# versions: what the programs that end TLS say of themselves.
verb_versions() {
  for each in 'nginx -V' 'haproxy -vv' 'apachectl -v' 'apache2 -v' 'httpd -v' 'caddy version' 'openssl version'; do
    program=${each%% *}
    command -v "$program" >/dev/null 2>&1 || continue
    timeout "$version_seconds" $each </dev/null 2>&1 | grep -E '[Vv]ersion|^built with|OpenSSL|^v?[0-9]' | grep -v '^configure' | head -n 8 |
      sed "s/^/: $program /"
  done
  ipv6=no
  [ ! -s /proc/net/if_inet6 ] || ipv6=yes
  ok ipv6="$ipv6"
}

# --- an include file of our own, in the configuration of the service ---

include_begin() { # name
  include_settings "$1" || { refuse RECEIVER_OUTDATED include="$1"; return; }
  [ -n "$include_path" ] || { refuse INCLUDE_NO_PLACE; return; }
  # Who writes configuration can do what the service can. A deploy key may only where the fleet file says so.
  [ "$include_named" = yes ] || [ -n "${onecert_text-}" ] ||
    { told 'an enrolled server takes configuration only where the fleet file names a folder for it'; refuse INCLUDE_NO_PLACE; return; }
  base=$directory/.include slot=$base/$1
  safe_paths "$base" "${include_path%/*}/" || return
  [ -d "${include_path%/*}" ] || { told "${include_path%/*} is not there"; refuse INCLUDE_NO_PLACE; return; }
  { [ -d "$base" ] || mkdir -p "$base"; } 2>/dev/null && [ -w "$base" ] || { not_writable "$directory"; return; }
  [ -w "${include_path%/*}" ] || { not_writable "${include_path%/*}"; return; }
  # What a session that died left unconfirmed.
  [ ! -e "$slot.old" ] || include_undo "$1" || { not_put_back; return; }
  if [ -e "$include_path" ] || [ -L "$include_path" ]; then
    is_our_include "$include_path" || { told "$include_path: its first line is not of onecert"; refuse INCLUDE_FOREIGN; return; }
    [ ! -L "$include_path" ] || { told "$include_path is a link"; refuse INCLUDE_FOREIGN; return; }
  fi
  run test_command
  case $status in
    0) ;;
    124) refuse CONFIG_TEST_TIMEOUT seconds="$test_seconds" ;;
    126 | 127) refuse SERVICE_COMMAND_DENIED ;;
    *) refuse SERVICE_ALREADY_BROKEN status="$status" ;;
  esac
  [ "$status" = 0 ]
}

# The old file stays until the end; an empty one stands for none. The switch is armed before anything changes.
include_keep() { # name seconds
  if [ -e "$include_path" ]; then cat "$include_path" >"$slot.new"; else : >"$slot.new"; fi &&
    flush "$slot.new" && mv -f "$slot.new" "$slot.old" && flush "$base" || { not_writable "$base"; return; }
  included=$1
  in_time "$2" include_fire "$1"
  sleeper=$timer
}

include_fire() { # name
  include_undo "$1" && reload_command
}

include_disarm() {
  included=
  [ -z "$sleeper" ] || kill "$sleeper" 2>/dev/null
  sleeper=
}

# The switch is at work, and has a reload before it: it is not to be ended.
include_fired() {
  included= sleeper=
  refuse WATCHDOG_FIRED
}

# The file as it was. Without a reload. Fails where somebody else is at it already, and where it could not be put back: then
# it is not forgotten either.
include_undo() { # name
  mv "$slot.old" "$slot.fired" 2>/dev/null || return 1
  if include_restore 2>/dev/null; then rm -f "$slot.fired"; else mv "$slot.fired" "$slot.old"; return 1; fi
}

include_restore() {
  if [ ! -s "$slot.fired" ]; then rm -f "$include_path" && flush "${include_path%/*}"; return; fi
  umask 022
  include_put <"$slot.fired"
  set -- $?
  umask 077
  return "$1"
}

# The same, where what was put there is refused: only what is undone needs its switch no more.
include_take_back() { # name
  if include_undo "$1"; then include_disarm; return 0; fi
  [ -e "$slot.old" ] || { include_fired; return; }
  not_put_back
}

not_put_back() {
  told "$include_path could not be put back"
  refuse ROLLBACK_FAILED
}

# By one rename; until then under a name that begins with a dot, which no pattern takes in.
include_put() {
  temporary=${include_path%/*}/.${include_path##*/}.onecert
  cat >"$temporary" && flush "$temporary" && mv -f "$temporary" "$include_path" && flush "${include_path%/*}"
}

# Tests, and says whether the service reads the file at all; else everything as it was.
include_test() { # name expected
  run test_command
  if [ "$status" != 0 ]; then
    include_take_back "$1" || return
    case $status in 124) refuse CONFIG_TEST_TIMEOUT seconds="$test_seconds" ;; *) refuse SERVICE_TEST_FAILED status="$status" ;; esac
    return 1
  fi
  shown=$(configuration_of "$service_kind" | grep '^# configuration file ')
  [ "$2" = yes ] && [ -n "$shown" ] || return 0
  case $shown in *"# configuration file $include_path:"*) return 0 ;; esac
  include_take_back "$1" || return
  refuse INCLUDE_NOT_READ
}

include_reload() { # name
  run reload_command
  case $status in 0 | 124) ok status="$status" path="$include_path"; return ;; esac
  include_take_back "$1" || return
  reload_command >/dev/null 2>&1 </dev/null || start_command >/dev/null 2>&1 </dev/null
  refuse RELOAD_FAILED status="$status"
}

# include NAME SECONDS: the payload becomes our include file of that name; tested and reloaded, and undone after SECONDS
# unless "included" comes.
verb_include() {
  receive_text
  case $payload in "$include_marker"*) ;; *) refuse RECEIVER_PROTOCOL why=marker; return ;; esac
  include_begin "$1" || return
  include_keep "$1" "$2" || return
  umask 022
  printf '%s\n' "$payload" | include_put
  status=$?
  umask 077
  [ "$status" = 0 ] || { include_take_back "$1" && not_writable "${include_path%/*}"; return; }
  include_test "$1" yes && include_reload "$1"
}

# exclude NAME SECONDS: the same without the file.
verb_exclude() {
  include_begin "$1" || return
  [ -e "$include_path" ] || { ok path=-; return; }
  include_keep "$1" "$2" || return
  rm -f "$include_path" && flush "${include_path%/*}"
  include_test "$1" no && include_reload "$1"
}

# included NAME: it stands.
verb_included() {
  [ -n "$included" ] && [ "$included" = "$1" ] && mv "$slot.old" "$slot.done" 2>/dev/null || { include_fired; return; }
  include_disarm
  rm -f "$slot.done"
  ok
}

# unincluded NAME: the file as it was, reloaded.
verb_unincluded() {
  [ -n "$included" ] || { include_fired; return; }
  include_take_back "$1" || return
  run reload_command
  ok status="$status"
}

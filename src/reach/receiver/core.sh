# The onecert receiver, protocol 1: puts generations of one key and chain on this server, and undoes what is not confirmed.
# POSIX sh with coreutils (dash, bash, busybox ash); openssl only for facts. Verbs come on stdin, answers go to stdout:
#   VERB WORD…            then, for some verbs, payload lines up to a line "."
#   + VERB WORD…          the same, left out where the verb before it failed: so several can be sent at once
#   : LINE                output of the service's own commands
#   ok KEY=VALUE…         or   fail CODE KEY=VALUE…
# It runs no command that came over the connection: the commands stand in the settings above, which are part of this text.
#
# $directory/LINEAGE/
#   gen-0008/             one immutable generation; put there whole, by one rename
#   current -> gen-0008   what the service reads; replaced by one rename
#   tickets -> tickets-HASH   the session ticket keys that the service reads; replaced by one rename
#   fence                 the highest fencing token seen: a late writer with an older one is refused
#   journal               what was about to be done, written and flushed before it was done
#   .sealed               a copy of the service's configuration, while that is tested with a generation before the swap
#   watchdog.OWNER        "previous next", and the same of the ticket keys where they are swapped too: an unconfirmed swap.
#                         Whoever renames this file owns its end:
#   fired.OWNER             the dead-man switch (or the end of the connection), to undo the swap
#   done.OWNER              the commit
#   taken.OWNER             a later session that found it, to finish or undo it
#
# $directory/.include/
#   NAME.old              what was at the path of an include file before: it is not confirmed. Whoever renames it owns its end.

LC_ALL=C
PATH=$PATH:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
export LC_ALL PATH
umask 077

lineage= base= rollout= token= owner= armed= sleeper= drained= uid= gid= files= key_file= linked= tried= included= slot=
set_before= set_swapped= other_set=
newline='
'
output_lines=20
journal_lines=500
keys_most=500
discover_lines=1500
discover_files=100
include_marker='# Made by onecert'

ok() { printf 'ok %s\n' "$*"; }

# refuse CODE KEY=VALUE…: text that may hold spaces goes before it, as output lines.
refuse() {
  printf 'fail %s\n' "$*"
  return 1
}

told() { printf ': %s\n' "$1"; }

flush() { sync -- "$@" 2>/dev/null || sync; }

# The rest of a payload must be read even where it cannot be kept, else its lines would be taken for verbs.
receive() {
  broken=
  while IFS= read -r line; do
    [ "$line" = . ] && return 0
    printf '%s\n' "$line" || broken=1
  done
  exit 0
}

discard() { receive >/dev/null; }

# Sets payload, without its last line end. One that the end of the connection cut short is none.
receive_text() {
  payload=$(receive && echo .)
  case $newline$payload in *"$newline.") payload=${payload%.} payload=${payload%"$newline"} ;; *) exit 0 ;; esac
}

# What it announces may not be served before the journal is flushed: by itself, or with other files.
record() { printf '%s %s %s\n' "$rollout" "$token" "$*" >>"$base/journal"; }

fenced() {
  [ -n "$base" ] && [ -n "$token" ] || { refuse RECEIVER_PROTOCOL why=begin-first; return 1; }
  { read -r highest <"$base/fence"; } 2>/dev/null && [ "$highest" = "$token" ] || refuse SERVER_FENCED fence="$highest" token="$token"
}

# Ours is the highest token now; refused where there is a higher one.
raise_fence() { # token
  highest=0
  [ ! -s "$base/fence" ] || read -r highest <"$base/fence"
  [ "$1" -ge "$highest" ] || { refuse SERVER_FENCED fence="$highest" token="$1"; return; }
  [ "$1" != "$highest" ] || return 0
  # Flushed before anything is swapped: until then there is nothing that a late writer could harm.
  printf '%s\n' "$1" >"$base/.fence" && mv -f "$base/.fence" "$base/fence" || not_writable "$base"
}

# Run in a subshell always: as it starts no program, it costs a fraction of readlink.
leads_to() { { cd -P "$base/$1" && printf %s "${PWD##*/}"; } 2>/dev/null || printf -- -; }
current() { leads_to current; }
current_set() { leads_to tickets; }

# gen-0008 and gen-0008.2 (a second copy, where the first was damaged) are generation 8.
number() {
  digits=${1#gen-}
  digits=${digits%%.*}
  while :; do case $digits in 0?*) digits=${digits#0} ;; *) break ;; esac; done
  case $digits in '' | *[!0-9]*) digits=0 ;; esac
}

# Prints the private key block of a PEM file. Shell words only: a program's arguments can be seen by others.
print_key() {
  inside=
  while IFS= read -r line || [ -n "$line" ]; do
    case $line in -----BEGIN*'PRIVATE KEY-----') inside=1 ;; esac
    [ -n "$inside" ] && printf '%s\n' "$line"
    case $line in -----END*'PRIVATE KEY-----') inside= ;; esac
  done <"$1"
}

hash_of() { sha256sum | { read -r hash rest && printf '%s' "$hash"; }; }

# Sets hashes: of files below a directory, by their names in it. One program for all, for each start of one costs a server
# more than what it does.
hash_files() { # directory file…
  hashes=$newline$({ cd "$1" && shift && sha256sum -- "$@"; } 2>/dev/null)$newline
}

# Sets hash: the one of a file in hashes; empty where there is none.
known_hash() {
  hash=${hashes%%"  $1$newline"*}
  if [ "$hash" = "$hashes" ]; then hash=; else hash=${hash##*"$newline"}; fi
}

# Sets generations: the names of those that are here, the newest first.
list_generations() {
  generations=
  for each in "$base"/gen-[0-9]*; do
    [ ! -d "$each" ] || generations="${each##*/} $generations"
  done
}

# The SPKI of the key in a file: the SHA-256 of its public key. "-" where there is no openssl, or it cannot read it: what is
# hashed then is nothing. A passphrase is not asked for: there may be a terminal.
spki_of() {
  digest=$(openssl pkey -in "$1" -passin pass: -pubout -outform DER </dev/null 2>/dev/null | hash_of)
  [ "$digest" != e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855 ] || digest=-
  printf %s "$digest"
}

# Without openssl the answer is no, and the key travels.
has_spki() { [ "$(spki_of "$1")" = "$2" ]; }

# Sets uid and gid, once.
who_am_i() {
  [ -z "$uid" ] || return 0
  ids=$(id)
  uid=${ids#uid=} gid=${ids#*gid=}
  uid=${uid%%[!0-9]*} gid=${gid%%[!0-9]*}
}

# Adds a path and all that it stands on to components; sets indirect where a link or a dot is among them.
add_components() {
  case $1/ in */./* | */../*) indirect=yes ;; esac
  path=$1
  while [ -n "$path" ]; do
    components=$components$newline$path
    [ ! -L "$path" ] || indirect=yes
    path=${path%/*}
  done
}

# No component may be writable by others (unless sticky), belong to a stranger, or be a stranger's link: neither of the
# paths as they are written nor of those that they lead to.
safe_paths() {
  components= indirect=
  for path in "$@"; do
    while [ ! -e "$path" ] && [ ! -L "$path" ]; do path=${path%/*}; [ -n "$path" ] || path=/; done
    path=${path%/}
    # What is not set is the root here: an empty word leads nowhere.
    set -- "$@" "${path:-/}"
    shift
    add_components "$path"
  done
  set -f
  saved=$IFS IFS=$newline
  if [ -n "$indirect" ]; then
    # The one of busybox takes no "--".
    leads_to=$(realpath "$@" 2>/dev/null) ||
      { IFS=$saved; set +f; told 'one of the paths leads nowhere'; refuse SERVER_PATH_UNSAFE; return; }
    for path in $leads_to; do add_components "$path"; done
  fi
  set -- $components
  IFS=$saved
  set +f
  unsafe=
  while read -r its_uid its_gid mode name; do
    case $its_uid in 0) ;; *)
      who_am_i
      [ "$its_uid" = "$uid" ] || { unsafe="$name belongs to uid $its_uid"; break; } ;;
    esac
    [ -L "$name" ] && continue
    case $mode in [1357]???) continue ;; esac
    case $mode in *[2367]) unsafe="$name can be written by everybody (mode $mode)"; break ;; esac
    case $mode in *[2367]?)
      who_am_i
      [ "$its_gid" = 0 ] || [ "$its_gid" = "$gid" ] || { unsafe="$name can be written by group $its_gid (mode $mode)"; break; } ;;
    esac
  done <<EOF
$(stat -c '%u %g %a %n' -- / "$@")
EOF
  [ -z "$unsafe" ] || { told "$unsafe"; refuse SERVER_PATH_UNSAFE; }
}

not_writable() {
  told "$1: $(stat -c 'owner %U, mode %a' -- "$1" 2>/dev/null || printf 'cannot be made'), we are uid $(id -u)"
  refuse SERVER_NOT_WRITABLE
}

# Not flushed yet: flush "$base" comes behind it.
link_current() { link_to current "$1"; }

link_to() { # name target
  if [ -e "$base/$1" ] && [ ! -L "$base/$1" ]; then return 1; fi
  ln -sfn "$2" "$base/.$1" && mv -fT "$base/.$1" "$base/$1"
}

# The ticket keys before, where those of the swap are linked.
link_set_back() { # before swapped
  [ -n "$2" ] && [ "$(current_set)" = "$2" ] || return 0
  if [ "$1" = - ]; then rm -f "$base/tickets"; else link_to tickets "$1"; fi
}

# The SHA-256 of the ticket keys in a folder, in the order previous, current, next.
hash_set() { # folder
  { if [ "$ticket_keys" = lines ]; then cat "$1/tickets.keys"; else cat "$1/previous.key" "$1/current.key" "$1/next.key"; fi; } \
    2>/dev/null | hash_of
}

# Overwritten first: what the disk keeps of a deleted file is no key. Shell words only, and no program for each.
zero() { # folder
  for file in "$1"/*; do
    [ ! -f "$file" ] || printf '%0400d' 0 1<>"$file"
  done 2>/dev/null
  flush "$1"/* 2>/dev/null
  rm -rf -- "$1"
}

# Sets zeroed: ticket keys that nothing points to any more are gone. Those that an unconfirmed swap would go back to stay.
sweep_sets() {
  zeroed= kept=$(current_set)
  for each in "$base"/tickets-* "$base/.set"; do
    name=${each##*/}
    [ -d "$each" ] && [ "$name" != "$kept" ] && [ "$name" != "$set_before" ] || continue
    zero "$each"
    [ -e "$each" ] || [ "$name" = .set ] || zeroed=$zeroed,$name
  done
  zeroed=${zeroed#,}
}

# Fails where the service cannot do without its ticket keys: then they stay.
drop_set() {
  zeroed=
  [ "$(current_set)" != - ] || return 0
  mv -fT "$base/tickets" "$base/.dropped" || return
  run test_command
  if [ "$status" != 0 ]; then
    mv -fT "$base/.dropped" "$base/tickets"
    rm -f "$base/.output"
    return 1
  fi
  rm -f "$base/.dropped" "$base/.output"
  sweep_sets
  flush "$base"
}

# The service reads explicit paths: they become links into current/. Each is replaced by a rename.
link_path() {
  [ -n "$1" ] || return 0
  [ "$(readlink "$1" 2>/dev/null)" = "$base/current/$2" ] && return 0
  rm -f "$1.onecert" && ln -s "$base/current/$2" "$1.onecert" && mv -fT "$1.onecert" "$1" && flush "${1%/*}"
}

# Where there is nothing to go back to, a link of ours would lead nowhere.
unlink_paths() {
  for each in "$chain_path" "$key_path" "$combined_path"; do
    [ -L "$each" ] || continue
    case $(readlink "$each") in "$base/current/"*) rm -f "$each" ;; esac
  done
}

link_paths() {
  link_path "$chain_path" fullchain.pem && link_path "$key_path" privkey.pem && link_path "$combined_path" combined.pem
}

# Sets linked: all explicit paths are our links. Sets adoptable: there are files at them that are not ours yet.
look_at_paths() {
  linked=yes adoptable=no
  for each in "$chain_path fullchain.pem" "$key_path privkey.pem" "$combined_path combined.pem"; do
    path=${each% *}
    [ -n "$path" ] && [ "$(readlink "$path")" != "$base/current/${each##* }" ] || continue
    linked=no
    [ ! -e "$path" ] || adoptable=yes
  done
}

# A daemon that the command starts keeps its stdout: a file does not make us wait for it as a pipe would.
run() {
  "$1" >"$base/.output" 2>&1 </dev/null
  status=$?
  tell_output
}

tell_output() {
  [ "$status" = 0 ] || tail -n "$output_lines" "$base/.output" | while IFS= read -r line; do told "$line"; done
}

# An include file that config made, by its first line.
is_our_include() { # file
  line=
  { IFS= read -r line <"$1"; } 2>/dev/null
  case $line in "$include_marker"*) ;; *) return 1 ;; esac
}

# The service takes the files that are current. Sets way: how it was asked to. Other ticket keys need a reload.
reload_service() {
  way=reload
  if [ -n "$socket" ] && [ -z "$other_set" ]; then
    hot_swap
    case $? in
      0) way=runtime; return 0 ;;
      1) way=runtime; return 1 ;;
    esac
  fi
  reload_command
}

# Does something when the time is up, unless the process timer is ended before.
in_time() { # seconds function word…
  # A signal may reach the child before it has a trap of its own: it must not clean up in our place then.
  trap - EXIT
  (
    trap '' HUP
    exec </dev/null >/dev/null 2>&1
    cd /
    sleep "$1" &
    trap 'kill $!; exit 0' TERM
    wait $!
    shift
    "$@"
  ) &
  timer=$!
  trap leave EXIT
}

select_lineage() {
  lineage_settings "$1" || { refuse RECEIVER_OUTDATED lineage="$1"; return 1; }
  lineage=$1 base=$directory/$1
  if [ "$layout" = pair ]; then files='fullchain.pem privkey.pem'; else files=combined.pem; fi
  key_file=${files##* }
}

# probe ADDRESS:PORT NAME|- [STARTTLS]: a handshake made here, where no connection can be carried to.
verb_probe() {
  command -v openssl >/dev/null 2>&1 || { refuse SERVER_TOOL_MISSING tool=openssl; return; }
  if [ "$2" = - ]; then set -- "$1" "${3-}" -noservername; else set -- "$1" "${3-}" -servername "$2"; fi
  where=$1 protocol=$2
  shift 2
  shown=$(timeout "$probe_seconds" openssl s_client -connect "$where" "$@" ${protocol:+-starttls "$protocol"} -showcerts </dev/null 2>/dev/null) ||
    { refuse PROBE_FAILED; return; }
  printf '%s\n' "$shown" | {
    inside=
    while IFS= read -r line; do
      case $line in '-----BEGIN CERTIFICATE-----') inside=1 ;; esac
      [ -z "$inside" ] || told "$line"
      case $line in '-----END CERTIFICATE-----') inside= ;; esac
    done
  }
  ok
}

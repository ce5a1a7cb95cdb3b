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
test_seconds=30
reload_seconds=60
socket_seconds=15
output_lines=20
journal_lines=500
search_seconds=60
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

# What it announces may not be served before the journal is flushed: by itself, or with other files.
record() { printf '%s %s %s\n' "$rollout" "$token" "$*" >>"$base/journal"; }

fenced() {
  [ -n "$base" ] && [ -n "$token" ] || { refuse RECEIVER_PROTOCOL why=begin-first; return 1; }
  { read -r highest <"$base/fence"; } 2>/dev/null && [ "$highest" = "$token" ] || refuse SERVER_FENCED fence="$highest" token="$token"
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

# Prints all of a PEM file but its private key.
print_chain() {
  inside=
  while IFS= read -r line || [ -n "$line" ]; do
    case $line in -----BEGIN*'PRIVATE KEY-----') inside=1 ;; esac
    [ -n "$inside" ] || printf '%s\n' "$line"
    case $line in -----END*'PRIVATE KEY-----') inside= ;; esac
  done <"$1"
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

# The SPKI of the key in a file: the SHA-256 of its public key. "-" where there is no openssl, or it cannot read it.
spki_of() {
  # A passphrase is not asked for: there may be a terminal.
  if openssl pkey -in "$1" -passin pass: -noout </dev/null >/dev/null 2>&1; then
    openssl pkey -in "$1" -passin pass: -pubout -outform DER </dev/null 2>/dev/null | hash_of
  else
    printf -- -
  fi
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
    set -- "$@" "${path%/}"
    shift
    add_components "${path%/}"
  done
  set -f
  saved=$IFS IFS=$newline
  if [ -n "$indirect" ]; then
    leads_to=$(realpath -- "$@" 2>/dev/null) ||
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

# The files that are current go into the memory of the running HAProxy (its Runtime API): each certificate that it has
# read from them, under the name that it prints for it. Status 1: refused. 2: it cannot be asked, or does not know them yet,
# or they are too big for it: a reload is needed.
hot_swap() {
  known=$(echo 'show ssl cert' | ask_socket "$socket" 2>/dev/null)
  swapped=2
  while IFS= read -r name; do
    case $name in '' | '#'* | '*'*) continue ;; esac
    [ "$name" -ef "$base/current/${files%% *}" ] || continue
    swap_in "$name" || return
    swapped=0
  done <<EOF
$known
EOF
  return "$swapped"
}

# The key goes through pipes alone. An empty line ends a payload: there is none inside.
swap_in() { # name
  said=$({
    printf 'set ssl cert %s <<\n' "$1"
    for file in $files; do grep . "$base/current/$file"; done
    echo
  } | ask_socket "$socket")
  case $said in
    *'Transaction created'* | *'Transaction updated'*) ;;
    *[!$newline\ ]*) printf '%s\n' "$said"; return 1 ;;
    # More than its buffer holds (tune.bufsize): it hangs up.
    *) return 2 ;;
  esac
  said=$(printf 'commit ssl cert %s\n' "$1" | ask_socket "$socket")
  case $said in *Success*) return 0 ;; esac
  printf '%s\n' "$said"
  printf 'abort ssl cert %s\n' "$1" | ask_socket "$socket"
  return 1
}

# Says stdin to a unix socket and prints what it answers, by whichever program is here. Status 127: none is.
ask_socket() { # socket
  if command -v socat >/dev/null 2>&1; then
    timeout "$socket_seconds" socat -t "$socket_seconds" - "UNIX-CONNECT:$1"
  elif nc -h 2>&1 </dev/null | grep -q -e -U; then
    timeout "$socket_seconds" nc -U "$1"
  elif command -v perl >/dev/null 2>&1; then
    timeout "$socket_seconds" perl -e 'use Socket; $/ = undef; socket(S, PF_UNIX, SOCK_STREAM, 0) && connect(S, sockaddr_un($ARGV[0]))
      && defined(syswrite(S, <STDIN>)) or exit 1; print <S>' "$1"
  elif command -v python3 >/dev/null 2>&1; then
    timeout "$socket_seconds" python3 -c 'import socket, sys
s = socket.socket(socket.AF_UNIX)
s.connect(sys.argv[1])
s.sendall(sys.stdin.buffer.read())
for part in iter(lambda: s.recv(65536), b""): sys.stdout.buffer.write(part)' "$1"
  else
    return 127
  fi
}

undo() { # previous next, and the same of the ticket keys
  [ "$(current)" = "$2" ] || return 0
  record "rollback $2 $1"
  flush "$base/journal"
  if [ "$1" = - ]; then rm -f "$base/current" && unlink_paths; else link_current "$1"; fi
  link_set_back "$3" "$4"
  other_set=$4
  flush "$base"
  # Nobody looks at the outcome here: where the memory refuses the old files, the reload is tried as well.
  { reload_service || { [ "$way" = runtime ] && reload_command; } || start_command; } >/dev/null 2>&1 </dev/null
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

fire() { # owner
  mv "$base/watchdog.$1" "$base/fired.$1" 2>/dev/null || return 0
  read -r was next set_was set_next <"$base/fired.$1"
  undo "$was" "$next" "$set_was" "$set_next"
  rm -f "$base/fired.$1"
}

# All that the swap stands on is flushed with it, the generation too.
arm() { # previous next seconds set-before set
  printf '%s\n' "$1 $2${5:+ $4 $5}" >"$base/watchdog.$owner" &&
    flush "$base/journal" "$base/fence" "$base/watchdog.$owner" "$base/$2"/* "$base/$2" "$base" || return 1
  armed=$owner
  [ -z "$sleeper" ] || kill "$sleeper" 2>/dev/null
  sleeper=
  # systemd may end what a session leaves behind: there, the timer is systemd's own.
  if [ -d /run/systemd/system ] && who_am_i && [ "$uid" = 0 ] && command -v systemd-run >/dev/null 2>&1; then
    rm -f "$base/.receiver"
    printf '%s\n' "${onecert_text:-$(cat -- "$0")}" >"$base/.receiver" && systemd-run --quiet --collect --on-active="$3" \
      --timer-property=AccuracySec=1s /bin/sh -c 'onecert_text=$(cat "$1"); eval "$onecert_text"' \
      onecert-receiver "$base/.receiver" watchdog "$lineage" "$rollout" "$token" >/dev/null 2>&1 && return 0
  fi
  in_time "$3" fire "$owner"
  sleeper=$timer
}

disarm() { # name of the end
  mv "$base/watchdog.$owner" "$base/$1.$owner" 2>/dev/null || return 1
  armed=
  [ -z "$sleeper" ] || kill "$sleeper" 2>/dev/null
  sleeper=
}

# What earlier sessions left unconfirmed: a rollback under way is waited for, one that died half-way is finished, and an
# armed swap is taken over under our own name, so that it stays guarded while we decide.
settle() { # seconds
  unconfirmed=- before=- set_before= set_swapped=
  waited=0
  while set -- "$1" "$base"/fired.*; [ -e "$2" ] && [ $waited -lt 40 ]; do
    sleep 1
    waited=$((waited + 1))
  done
  for left in "$base"/fired.* "$base"/taken.*; do
    [ -e "$left" ] || continue
    read -r was next set_was set_next <"$left" && undo "$was" "$next" "$set_was" "$set_next"
    rm -f "$left"
  done
  for left in "$base"/watchdog.*; do
    [ -e "$left" ] && mv "$left" "$base/taken.$owner" 2>/dev/null || continue
    read -r was next set_was set_next <"$base/taken.$owner"
    if [ "$(current)" = "$next" ]; then
      arm "$was" "$next" "$1" "$set_was" "$set_next"
      unconfirmed=$next before=$was set_before=$set_was set_swapped=$set_next
    fi
    rm -f "$base/taken.$owner"
  done
}

select_lineage() {
  lineage_settings "$1" || { refuse RECEIVER_OUTDATED lineage="$1"; return 1; }
  lineage=$1 base=$directory/$1
  if [ "$layout" = pair ]; then files='fullchain.pem privkey.pem'; else files=combined.pem; fi
  key_file=${files##* }
}

# begin LINEAGE ROLLOUT TOKEN SPKI SECONDS FILE-HASH KEY-HASH: our turn at this lineage; says what is here. The hashes
# (SHA-256; the file is fullchain.pem in a pair, else combined.pem) are those of the generation wanted.
verb_begin() {
  select_lineage "$1" || return
  rollout=$2 token=$3 owner=$2.$3
  spki=$4 seconds=$5 key_hash=$7
  if [ "$layout" = pair ]; then wanted="$6 $7"; else wanted=$6; fi
  safe_paths "$base" "${chain_path%/*}/" "${key_path%/*}/" "${combined_path%/*}/" || return
  # A service that reads its files with an account of its own passes through here.
  [ -d "$base" ] || (umask 022; mkdir -p "$base") 2>/dev/null || { not_writable "$directory"; return; }
  [ -w "$base" ] || { not_writable "$base"; return; }
  highest=0
  [ ! -s "$base/fence" ] || read -r highest <"$base/fence"
  [ "$token" -ge "$highest" ] || { refuse SERVER_FENCED fence="$highest" token="$token"; return; }
  if [ "$token" != "$highest" ]; then
    # Flushed before anything is swapped: until then there is nothing that a late writer could harm.
    printf '%s\n' "$token" >"$base/.fence" && mv -f "$base/.fence" "$base/fence" ||
      { not_writable "$base"; return; }
  fi
  # What a session left half-way does not lie around, least of all a key.
  set -- "$base"/.stage "$base"/.output "$base"/.sealed "$base"/done.*
  for left in "$@"; do [ ! -e "$left" ] || { rm -rf -- "$@"; break; }; done
  tried=
  settle "$seconds"
  # Between a test without them and its end.
  [ ! -L "$base/.dropped" ] || [ -L "$base/tickets" ] || mv -fT "$base/.dropped" "$base/tickets"
  sweep_sets
  set_hash=- set_now=$(current_set)
  [ "$set_now" = - ] || set_hash=$(hash_set "$base/$set_now")
  find_generations
  look_at_paths
  ok clock="$(date +%s)" current="$now" match="$match" held="$held" unconfirmed="$unconfirmed" before="$before" \
    adoptable="$adoptable" have="$have" set="$set_now" tickets="$set_hash" zeroed="$zeroed"
}

# Sets now, have, match (the generation wanted) and held (one with its key).
find_generations() {
  now=$(current) match=- held=- have=
  list_generations
  set --
  for name in $generations; do
    have=$have,$name
    for file in $files; do [ ! -r "$base/$name/$file" ] || set -- "$@" "$name/$file"; done
  done
  have=${have#,}
  [ $# != 0 ] || return 0
  hash_files "$base" "$@"
  # What is current comes first: it needs no swap.
  for name in $now $generations; do
    found=
    for file in $files; do known_hash "$name/$file"; found="$found $hash"; done
    [ "${found# }" != "$wanted" ] || { match=$name held=$name; return; }
  done
  for name in $generations; do
    has_key "$base/$name/$key_file" "${name%%.*}" && { held=$name; return; }
  done
  return 0
}

has_key() { # file generation
  [ -r "$1" ] || return
  if [ "$layout" = pair ]; then
    known_hash "$name/$key_file"
    [ "$hash" != "$key_hash" ] || return 0
  else
    [ "$(print_key "$1" | hash_of)" != "$key_hash" ] || return 0
  fi
  # A key that was here before us may be written differently.
  [ "$2" = gen-0000 ] && has_spki "$1" "$spki"
}

# adopt NAME: files that are at the explicit paths become a generation with the same bytes, and the paths links to it.
verb_adopt() {
  fenced || return
  look_at_paths
  [ "$adoptable" = yes ] || { ok adopted=-; return; }
  rm -rf "$base/.adopt" && mkdir "$base/.adopt" || { not_writable "$base"; return; }
  record "adopt $1"
  if [ "$layout" = pair ]; then
    [ ! -e "$chain_path" ] || cat "$chain_path" >"$base/.adopt/fullchain.pem"
    [ ! -e "$key_path" ] || cat "$key_path" >"$base/.adopt/privkey.pem"
  else
    cat "$combined_path" >"$base/.adopt/combined.pem"
  fi || { rm -rf "$base/.adopt"; refuse SERVER_NOT_WRITABLE; return; }
  # What was there, for a person who wants to know: kind, mode, owner and, of links, the target.
  for each in "$chain_path" "$key_path" "$combined_path"; do
    [ -z "$each" ] || stat -c '%N %F %a %U:%G' -- "$each"
  done >"$base/.adopt/origin" 2>/dev/null
  finish_files "$base/.adopt" && flush "$base/journal" "$base/.adopt"/* "$base/.adopt" &&
    mv -T "$base/.adopt" "$base/$1" && link_current "$1" && flush "$base" && link_paths ||
    { refuse SWAP_FAILED step=adopt; return; }
  linked=yes
  ok adopted="$1" spki="$(spki_of "$base/$1/$key_file")"
}

# release: plain files again at the explicit paths, with the bytes that are current.
verb_release() {
  select_lineage "$1" || return
  released=0
  for each in "$chain_path fullchain.pem" "$key_path privkey.pem" "$combined_path combined.pem"; do
    path=${each% *} name=${each##* }
    [ -n "$path" ] && [ "$(readlink "$path" 2>/dev/null)" = "$base/current/$name" ] || continue
    released=$((released + 1))
    rm -f "$path.onecert"
    cp -p "$base/current/$name" "$path.onecert" && flush "$path.onecert" && mv -fT "$path.onecert" "$path" &&
      flush "${path%/*}" || { not_writable "${path%/*}"; return; }
  done
  if drop_set; then ok released="$released" zeroed="$zeroed" tickets=-; else ok released="$released" tickets=kept; fi
}

# purge LINEAGE TOKEN SPKI…: everything of the lineage goes, with its keys, and the links at the explicit paths. Fence and
# journal stay: a late writer is refused still. Then it is looked whether a file with one of these keys is left.
verb_purge() {
  select_lineage "$1" || return
  token=$2 rollout=purge
  shift 2
  wanted=" $* " left=0 seen=0
  safe_paths "$base" "${chain_path%/*}/" "${key_path%/*}/" "${combined_path%/*}/" || return
  if [ -d "$base" ]; then
    highest=0
    [ ! -s "$base/fence" ] || read -r highest <"$base/fence"
    [ "$token" -ge "$highest" ] || { refuse SERVER_FENCED fence="$highest" token="$token"; return; }
    printf '%s\n' "$token" >"$base/.fence" && mv -f "$base/.fence" "$base/fence" || { not_writable "$base"; return; }
    record "purge $(current)"
    flush "$base/journal" "$base/fence" "$base"
    unlink_paths
    rm -f "$base/tickets"
    set_before=
    sweep_sets
    for each in "$base"/* "$base"/.[!.]*; do
      case ${each##*/} in fence | journal) ;; *) rm -rf -- "$each" ;; esac
    done
    flush "$base"
  fi
  if command -v openssl >/dev/null 2>&1; then
    proof=keys
    # What was given back lies at the explicit paths as plain files.
    for each in "$key_path" "$combined_path"; do
      is_file "$each" && holds_wanted "$each" && rm -f -- "$each" && flush "${each%/*}"
    done
    seek_keys "$directory"
    for each in "$key_path" "$combined_path"; do
      [ -z "$each" ] || seek_beside "${each%/*}"
    done
  else
    # Nobody here can tell whose key a file holds.
    proof=paths
    for each in "$key_path" "$combined_path"; do
      ! is_file "$each" || { left=$((left + 1)); told "$each"; }
    done
  fi
  [ "$left" = 0 ] || { refuse PURGE_LEFT left="$left"; return; }
  ok left=0 proof="$proof" seen="$seen"
}

is_file() { [ -f "$1" ] && [ ! -L "$1" ]; }

# A file with a private key that is one of those wanted.
holds_wanted() {
  [ -n "$(print_key "$1" 2>/dev/null)" ] || return
  case $wanted in *" $(spki_of "$1") "*) return 0 ;; esac
  return 1
}

# Tells and counts the files below a folder that hold one of these keys. Links are not followed.
seek_keys() {
  [ ! -L "$1" ] || return 0
  seek_beside "$1"
  for each in "$1"/* "$1"/.[!.]*; do
    [ -L "$each" ] || [ ! -d "$each" ] || seek_keys "$each"
  done
}

seek_beside() {
  for file in "$1"/* "$1"/.[!.]*; do
    is_file "$file" || continue
    seen=$((seen + 1))
    # What is large is no key file; without a limit a folder of logs would be read line by line.
    set -- "$1" "$(stat -c %s -- "$file")"
    [ "${2:-0}" -le 1048576 ] && holds_wanted "$file" || continue
    left=$((left + 1))
    told "$file"
  done
}

finish_files() { # folder: owner and mode, never wider than they end
  for file in "$1"/*.pem "$1"/*.key "$1"/*.keys; do
    [ -e "$file" ] || continue
    [ -z "$key_owner" ] || chown "$key_owner" "$file" || return 1
    case ${file##*/} in
      fullchain.pem) chmod 0644 "$file" ;;
      *) chmod "$key_mode" "$file" ;;
    esac || return 1
  done
  chmod 0755 "$1"
}

# stage: the chain, as payload.
verb_stage() {
  fenced || { discard; return; }
  stage=$base/.stage
  [ ! -e "$stage" ] || rm -rf "$stage"
  mkdir -m 0755 "$stage" 2>/dev/null || { discard; not_writable "$base"; return; }
  umask 022
  receive_file "$stage/fullchain.pem"
  umask 077
  told_received
}

# key: the private key, as payload.
verb_key() {
  fenced || { discard; return; }
  [ -d "$base/.stage" ] || { discard; refuse RECEIVER_PROTOCOL why=stage-first; return; }
  receive_file "$base/.stage/privkey.pem"
  told_received
}

# The file is opened first: else, where that fails, nobody would read the payload.
receive_file() {
  broken=1
  if true >"$1"; then receive >"$1"; else discard; broken=1; fi 2>/dev/null
}

told_received() {
  if [ -z "$broken" ]; then ok; else reject STAGE_DAMAGED why=write; fi
}

# reuse GENERATION: the key that this server holds already.
verb_reuse() {
  fenced || return
  # A copy: two generations that share one file would share its damage.
  print_key "$base/$1/$key_file" 2>/dev/null >"$base/.stage/privkey.pem" || { refuse STAGE_DAMAGED why=reuse; return; }
  ok
}

# seal NAME CHAIN-HASH KEY-HASH SPKI: checks every byte, then the generation appears under its name, whole. It is flushed
# with the swap: until then nothing points to it, and one that a crash damaged is told by its hashes.
verb_seal() {
  fenced || return
  stage=$base/.stage
  hash_files "$stage" fullchain.pem privkey.pem
  known_hash fullchain.pem
  [ "$hash" = "$2" ] || { reject STAGE_DAMAGED file=fullchain.pem; return; }
  known_hash privkey.pem
  [ "$hash" = "$3" ] || has_spki "$stage/privkey.pem" "$4" || { reject STAGE_DAMAGED file=privkey.pem; return; }
  if [ "$layout" != pair ]; then
    set -- "$1" "$stage/fullchain.pem" "$stage/privkey.pem"
    [ "$layout" != key-first ] || set -- "$1" "$3" "$2"
    cat "$2" "$3" >"$stage/combined.pem" && rm -f "$2" "$3" || { reject STAGE_DAMAGED file=combined.pem; return; }
  fi
  record "stage $1"
  # As they were made they have owner and modes already, where nothing else is asked for.
  [ "$key_owner$key_mode" = 0600 ] || finish_files "$stage" 2>"$base/.output" ||
    { told "$(tail -n 1 "$base/.output")"; reject SERVER_NOT_WRITABLE; return; }
  mv -T "$stage" "$base/$1" 2>/dev/null || { reject STAGE_DAMAGED why=rename; return; }
  ok path="$base/$1/$key_file"
}

# What was refused does not lie around: it holds a key.
reject() {
  rm -rf "$base/.stage" "$base/.output"
  refuse "$@"
}

# try NAME: the service's own test of its configuration with that generation, while nothing else sees it. Where that cannot
# be had, it is left to the test behind the swap: sealed=none.
verb_try() {
  fenced || return
  tried= was=$(current)
  # What current does not lead to, the configuration does not read.
  [ -n "$sealable" ] && [ "$linked" = yes ] && [ "$was" != - ] && [ "$was" != "$1" ] && [ -d "$base/$1" ] ||
    { ok sealed=none; return; }
  if try_in_namespace "$base/$1" "$base/$was"; then
    sealed=namespace
  elif try_on_copy "$base/$1" "$base/$was"; then
    sealed=copy
  else
    ok sealed=none
    return
  fi
  [ "$status" != 0 ] || tried=$1
  tell_output
  verdict sealed=$sealed
}

# In a mount namespace of its own, where the new generation lies over the old one. It goes with the test's last process.
try_in_namespace() { # new old
  seen=$(test_command unshare -m --propagation private sh -c \
    'mount -n --bind "$1" "$2" && echo seen >&3 && shift 2 && exec "$@" 3>&-' sealed "$@" \
    3>&1 >"$base/.output" 2>&1 </dev/null)
  status=$?
  [ -n "$seen" ]
}

# On a copy of the configuration that names the new generation.
try_on_copy() { # new old
  [ -n "$configuration" ] || return
  copy=$base/.sealed/${configuration##*/}
  status=0
  if copy_configuration "$1"; then
    copy_command >"$base/.output" 2>&1 </dev/null
    status=$?
    # A copy that is refused with the old files too says nothing about the new ones.
    [ "$status" = 0 ] || { copy_configuration "$2" && copy_command >/dev/null 2>&1 </dev/null; }
  else
    false
  fi
  set -- $?
  rm -rf "$base/.sealed"
  return "$1"
}

# Files that name what is replaced are copied, all others are links to where they lie: no key is copied. Fails where none
# names the generation.
copy_configuration() { # generation
  edits= patterns=
  add_edit "$base/current" "$1"
  add_edit "$chain_path" "$1/fullchain.pem"
  add_edit "$key_path" "$1/privkey.pem"
  add_edit "$combined_path" "$1/combined.pem"
  [ ! -d "$configuration" ] || add_edit "$configuration" "$copy"
  [ ! -e "$base/.sealed" ] || rm -rf "$base/.sealed"
  mkdir "$base/.sealed" || return
  # What we may not read, the test may not either.
  timeout "$test_seconds" cp -RsL "$configuration" "$copy"
  [ $? != 124 ] || return
  # find wants to be able to come back to where it began.
  found=$(cd / && timeout "$test_seconds" find -L "$copy" -type f -exec grep -lF -e "$patterns" {} +)
  [ $? != 124 ] || return
  set -f
  saved=$IFS IFS=$newline
  set -- "$1" $found
  IFS=$saved
  set +f
  generation=$1
  shift
  [ $# != 0 ] && sed -i -e "$edits" "$@" && grep -qF -e "$generation/" "$@"
} 2>/dev/null

# A path that goes on behind the match is another one.
add_edit() { # from to
  [ -n "$1" ] || return 0
  patterns=$patterns${patterns:+$newline}$1
  escaped= rest=$1
  while :; do case $rest in *.*) escaped=$escaped${rest%%.*}[.] rest=${rest#*.} ;; *) break ;; esac; done
  escaped=$escaped$rest
  edits="${edits}s,$escaped\\([^A-Za-z0-9._@+-]\\),$2\\1,g${newline}s,$escaped\$,$2,$newline"
}

# test NAME: the service's own test of its configuration as it is now; nothing where try has seen it pass.
verb_test() {
  fenced || return
  [ -z "$tried" ] || [ "$tried" != "${1-}" ] || { ok; return; }
  run test_command
  verdict
}

verdict() { # KEY=VALUE…
  case $status in
    0) ok "$@" ;;
    124) refuse CONFIG_TEST_TIMEOUT seconds="$test_seconds" "$@" ;;
    126 | 127) refuse SERVICE_COMMAND_DENIED "$@" ;;
    *) refuse SERVICE_TEST_FAILED status="$status" "$@" ;;
  esac
}

# tickets SET HASH: session ticket keys, as payload: three lines of Base64, the one before, the one in use, the one to
# come. They appear under their name whole; what the service reads changes with the swap.
verb_tickets() {
  fenced || { discard; return; }
  [ -n "$ticket_keys" ] || { discard; refuse RECEIVER_OUTDATED why=no-ticket-keys; return; }
  set=$base/.set
  [ ! -e "$set" ] || zero "$set"
  mkdir -m 0755 "$set" 2>/dev/null || { discard; not_writable "$base"; return; }
  receive_file "$set/tickets.keys"
  [ -z "$broken" ] || { reject_set STAGE_DAMAGED why=write; return; }
  if [ "$ticket_keys" = files ]; then
    for file in previous current next; do
      IFS= read -r line && printf '%s\n' "$line" | base64 -d >"$set/$file.key"
    done <"$set/tickets.keys" 2>/dev/null
    printf '%0400d' 0 1<>"$set/tickets.keys" && rm -f "$set/tickets.keys"
  fi
  [ "$(hash_set "$set")" = "$2" ] || { reject_set STAGE_DAMAGED file=tickets; return; }
  record "tickets $1"
  finish_files "$set" 2>"$base/.output" ||
    { told "$(tail -n 1 "$base/.output")"; reject_set SERVER_NOT_WRITABLE; return; }
  flush "$set"/* "$set"
  mv -T "$set" "$base/$1" 2>/dev/null || { reject_set STAGE_DAMAGED why=rename; return; }
  ok
}

reject_set() {
  zero "$base/.set"
  refuse "$@"
}

# drop: the ticket keys go, where the service can do without them.
verb_drop() {
  fenced || return
  record drop
  flush "$base/journal"
  drop_set || { refuse SERVICE_TEST_FAILED status="$status"; return; }
  ok zeroed="$zeroed"
}

# swap NAME SECONDS [SET]: the dead-man switch is armed, then current points to NAME, and tickets to SET.
verb_swap() {
  fenced || return
  was=$(current)
  [ -d "$base/$1" ] || { refuse SWAP_FAILED why=no-such-generation; return; }
  number "$1"; to=$digits
  number "$was"
  [ "$to" -ge "$digits" ] || { refuse SERVER_NEWER current="$was"; return; }
  # A swap that is being taken over keeps the generation before it: that one was proved, this one not yet.
  set_next=${3-} set_was=
  [ -z "$set_next" ] || set_was=$(current_set)
  if [ "$was" = "$1" ] && [ "$unconfirmed" = "$1" ]; then
    was=$before
    [ -z "$set_swapped" ] || { set_was=$set_before set_next=${set_next:-$set_swapped}; }
  fi
  [ -z "$set_next" ] || [ -d "$base/$set_next" ] || { refuse SWAP_FAILED why=no-such-ticket-keys; return; }
  record "swap $1 $was${set_next:+ $set_next $set_was}"
  arm "$was" "$1" "$2" "$set_was" "$set_next" || { refuse SWAP_FAILED why=watchdog; return; }
  fenced || return
  link_current "$1" && { [ "$linked" = yes ] || link_paths; } &&
    { [ -z "$set_next" ] || link_to tickets "$set_next"; } && flush "$base" ||
    { refuse SWAP_FAILED why=rename; return; }
  linked=yes other_set=$set_next
  ok previous="$was"
}

# reload, start: the status is a hint, nothing more.
verb_reload() {
  fenced || return
  record reload
  run reload_service
  ok status="$status" way="$way"
}

verb_start() {
  fenced || return
  record start
  run start_command
  ok status="$status"
}

# commit NAME KEEP: the swap stands. Generations older than the KEEP before it go, with their keys.
verb_commit() {
  fenced || return
  [ "$(current)" = "$1" ] || { refuse WATCHDOG_FIRED current="$(current)"; return; }
  disarm done || { refuse WATCHDOG_FIRED current="$(current)"; return; }
  record "commit $1"
  flush "$base/journal" "$base"
  kept=0 old= keep=$2 committed=$1
  list_generations
  set -- "$base/done.$owner" "$base/.receiver" "$base/.output"
  for name in $generations; do
    [ "$name" != "$committed" ] || continue
    kept=$((kept + 1))
    [ "$kept" -gt "$keep" ] || continue
    old="$old $name"
    set -- "$@" "$base/$name"
  done
  rm -rf -- "$@"
  # The journal has its end too; now and then is enough.
  case $committed in *0)
    tail -n "$journal_lines" "$base/journal" >"$base/.journal" && mv -f "$base/.journal" "$base/journal" ;;
  esac
  purged=
  for name in $old; do [ -e "$base/$name" ] || purged=$purged,$name; done
  set_before= set_swapped=
  sweep_sets
  ok purged="${purged#,}" zeroed="$zeroed"
}

# answer LINEAGE TOKEN TEXT: the answer to an http-01 challenge (RFC 8555 section 8.3), below the webroot of the lineage.
verb_answer() {
  webroot_of "$1" || return
  case $2 in '' | *[!A-Za-z0-9_-]*) refuse RECEIVER_PROTOCOL why=token; return ;; esac
  safe_paths "$answers" || return
  umask 022
  mkdir -p "$answers" 2>/dev/null && printf '%s' "$3" >"$answers/.$2" && mv -f "$answers/.$2" "$answers/$2"
  status=$?
  umask 077
  [ "$status" = 0 ] || { not_writable "$webroot"; return; }
  ok path="$answers/$2"
}

# unanswer LINEAGE TOKEN: it goes again, and folders that are empty then.
verb_unanswer() {
  webroot_of "$1" || return
  case $2 in '' | *[!A-Za-z0-9_-]*) refuse RECEIVER_PROTOCOL why=token; return ;; esac
  rm -f "$answers/$2" "$answers/.$2"
  rmdir "$answers" "${answers%/*}" 2>/dev/null
  ok
}

webroot_of() { # lineage
  lineage_settings "$1" || { refuse RECEIVER_OUTDATED lineage="$1"; return; }
  [ -n "$webroot" ] || { refuse RECEIVER_OUTDATED why=no-webroot; return; }
  answers=${webroot%/}/.well-known/acme-challenge
}

# rollback: the swap is undone; the service is reloaded by a verb of its own.
verb_rollback() {
  fenced || return
  disarm taken || { ok current="$(current)" fired=yes; return; }
  read -r was next set_was set_next <"$base/taken.$owner"
  record "rollback $next $was"
  flush "$base/journal"
  if [ "$was" = - ]; then rm -f "$base/current" && unlink_paths; else link_current "$was"; fi &&
    link_set_back "$set_was" "$set_next" && flush "$base" || { refuse ROLLBACK_FAILED; return; }
  rm -f "$base/taken.$owner"
  set_before= set_swapped=
  sweep_sets
  ok current="$was" fired=no zeroed="$zeroed"
}

# probe ADDRESS:PORT NAME [STARTTLS]: a handshake made here, where no connection can be carried to.
verb_probe() {
  command -v openssl >/dev/null 2>&1 || { refuse SERVER_TOOL_MISSING tool=openssl; return; }
  shown=$(timeout 10 openssl s_client -connect "$1" -servername "$2" ${3:+-starttls "$3"} -showcerts </dev/null 2>/dev/null) ||
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

# look LINEAGE: what lies here of it, for an audit; nothing is changed. A line for each file:
#   GENERATION FILE MODE OWNER HASH SPKI     and, for explicit paths,     path=KIND PATH MODE OWNER HASH SPKI
# HASH: SHA-256 of all in it but a private key; SPKI: of its private key. "-": none, or it cannot be read.
verb_look() {
  select_lineage "$1" || return
  list_generations
  for name in $generations; do
    for file in fullchain.pem privkey.pem combined.pem; do
      [ ! -e "$base/$name/$file" ] || tell_file "$name $file" "$base/$name/$file"
    done
  done
  for each in "$chain_path fullchain.pem" "$key_path privkey.pem" "$combined_path combined.pem"; do
    path=${each% *}
    [ -n "$path" ] || continue
    kind=file
    [ ! -L "$path" ] || kind=link
    [ "$(readlink "$path" 2>/dev/null)" != "$base/current/${each##* }" ] || kind=ours
    [ -e "$path" ] || kind=missing
    tell_file "path=$kind $path" "$path"
  done
  ok clock="$(date +%s)" current="$(current)" openssl="$(has_openssl)"
}

has_openssl() { if command -v openssl >/dev/null 2>&1; then printf yes; else printf no; fi; }

tell_file() { # words file
  facts=$(stat -L -c '%a %U:%G' -- "$2" 2>/dev/null) || facts='- -'
  hash=- spki=-
  if [ -r "$2" ]; then
    hash=$(print_chain "$2" | hash_of)
    spki=$(spki_of "$2")
  fi
  told "$1 $facts $hash $spki"
}

# keys: the files in PEM below the key folders and our own directory that hold a private key. A line for each:
#   MODE OWNER SPKI PATH
# Links are not followed: what they lead to is found where it lies.
verb_keys() {
  command -v grep >/dev/null 2>&1 || { refuse SERVER_TOOL_MISSING tool=grep; return; }
  set -f
  set -- $key_folders
  set +f
  whole=yes
  keys=$(timeout "$search_seconds" grep -rlsE -e '^-----BEGIN ([A-Z0-9]+ )*PRIVATE KEY-----' -- "$directory" "$@")
  [ $? -lt 124 ] || whole=no
  found=0
  while IFS= read -r path; do
    [ -n "$path" ] && [ ! -L "$path" ] || continue
    found=$((found + 1))
    [ "$found" -le "$keys_most" ] || { whole=no; break; }
    told "$(stat -c '%a %U:%G' -- "$path" 2>/dev/null || printf -- '- -') $(spki_of "$path") $path"
  done <<EOF
$keys
EOF
  ok whole="$whole" openssl="$(has_openssl)"
}

# versions: what the programs that end TLS say of themselves.
verb_versions() {
  for each in 'nginx -V' 'haproxy -vv' 'apachectl -v' 'apache2 -v' 'httpd -v' 'caddy version' 'openssl version'; do
    program=${each%% *}
    command -v "$program" >/dev/null 2>&1 || continue
    timeout 10 $each </dev/null 2>&1 | grep -E '[Vv]ersion|^built with|OpenSSL|^v?[0-9]' | grep -v '^configure' | head -n 8 |
      sed "s/^/: $program /"
  done
  ipv6=no
  [ ! -s /proc/net/if_inet6 ] || ipv6=yes
  ok ipv6="$ipv6"
}

# Prints the configuration that a service has on disk; where it consists of files, each behind "# configuration file PATH:".
configuration_of() { # kind
  case $1 in
    apache) dump_command apache | sed -n 's/^ *([^)]*) //p' | print_files ;;
    haproxy) dump_command haproxy | print_files ;;
    postgresql) printf '%s\n' /etc/postgresql/*/*/postgresql.conf /var/lib/pgsql/data/postgresql.conf | print_files ;;
    *) dump_command "$1" ;;
  esac 2>/dev/null </dev/null
}

print_files() {
  while IFS= read -r file; do
    if [ -d "$file" ]; then set -- "$file"/*.cfg; else set -- "$file"; fi
    for each in "$@"; do
      [ -f "$each" ] && [ -r "$each" ] || continue
      printf '# configuration file %s:\n' "$each"
      cat -- "$each"
      echo
    done
  done
}

# What leaves this server of a configuration is where it listens, which names it has, and paths of certificates: only lines
# that say such a thing pass. Of all others the braces are left, so that blocks can be told apart.
only_tls() { # kind
  case $1 in
    nginx)
      sed -E -e '/^# configuration file /b' -e 's/(^|[[:space:]])#.*$//' -e 's/([;{}])/\1\
/g' | sed -E -e '/^# configuration file /b' \
        -e '/^[[:space:]]*server_name/,/;/{' -e '/^[[:space:]]*([*.a-z0-9_-]+\.[a-z0-9-]+[[:space:]]*)+;?$/b' -e '}' \
        -e '/^[[:space:]]*(server|http|stream|mail)[[:space:]]*\{?$/b' \
        -e '/^[[:space:]]*(listen|server_name|ssl)[[:space:]][^;{}"]*;?$/b' \
        -e '/^[[:space:]]*(ssl_certificate|ssl_certificate_key|include)[[:space:]]+"?[A-Za-z0-9._\/@+*-]+"?;?$/b' \
        -e 's/[^{}]//g' -e '/^$/d' ;;
    apache)
      sed -E -n -e '/^# configuration file /p' -e '/^[[:space:]]*<\/?VirtualHost[^<>]*>[[:space:]]*$/p' \
        -e '/^[[:space:]]*(ServerName|ServerAlias|Listen|ServerRoot|SSLEngine|SSLCertificate(Key|Chain)?File)[[:space:]]/p' \
        -e '/^[[:space:]]*Define[[:space:]]+[A-Za-z0-9_]*([Pp][Aa][Ss][Ss]|[Ss][Ee][Cc][Rr][Ee][Tt]|[Tt][Oo][Kk][Ee][Nn])/d' \
        -e '/^[[:space:]]*Define[[:space:]]+[A-Za-z0-9_]+[[:space:]]+("?\/[^"]*"?|[a-z0-9-]+(\.[a-z0-9-]+)+)[[:space:]]*$/p' ;;
    haproxy)
      sed -E -n -e '/^# configuration file /{p;d;}' -e 's/(^|[[:space:]])#.*$//' \
        -e '/^(frontend|listen|defaults|global|crt-store)/{p;d;}' -e '/^[a-z]/{s/[[:space:]].*$//;p;d;}' \
        -e '/^[[:space:]]+(bind|mode|crt-base|load)[[:space:]]/p' ;;
    caddy)
      sed -E -e '/^[[:space:]]*[]{}[]+,?$/b' -e '/^[[:space:]]*"[A-Za-z0-9_.:-]*": ?[[{][]}]?,?$/b' \
        -e '/^[[:space:]]*"(certificate|key)": "\/[A-Za-z0-9._\/@+-]+",?$/b' \
        -e '/^[[:space:]]*"([*a-z0-9-]+(\.[a-z0-9-]+)+|[a-z0-9.\/-]*:[0-9]+|[a-z0-9.-]+)",?$/b' \
        -e 's/^([[:space:]]*"[A-Za-z0-9_.:-]+": ).*[^,](,?)$/\1null\2/' -e 't' -e 's/^([[:space:]]*).*[^,](,?)$/\1null\2/' ;;
    postgresql)
      sed -E -n -e '/^# configuration file /p' \
        -e '/^[[:space:]]*(ssl|ssl_cert_file|ssl_key_file|listen_addresses|port|data_directory)[[:space:]=]/p' ;;
    *) grep -E '^[a-z_]+ = ?(<?/[A-Za-z0-9._/@+, -]*|yes|no|required|may|encrypt|[a-z0-9.-]+)?$' ;;
  esac
}

# discover KIND: the configuration of that software as far as it is about TLS, and the files that it names.
verb_discover() {
  case $1 in nginx | apache | haproxy | caddy | postfix | dovecot | postgresql) ;; *) refuse RECEIVER_PROTOCOL why=kind; return ;; esac
  found=$(configuration_of "$1" | only_tls "$1" | head -n "$discover_lines")
  [ -n "$found" ] || { ok found=no; return; }
  printf '%s\n' "$found" | sed 's/^/: /'
  count=$(printf '%s\n' "$found" | grep -c '')
  printf '%s\n' "$found" | grep -v '^# ' | grep -iE 'certificate|crt|cert|key|chain' | grep -oE '/[A-Za-z0-9._/@+-]+' | sort -u |
    head -n "$discover_files" | while IFS= read -r path; do
    if [ -d "$path" ]; then set -- "${path%/}"/*; else set -- "$path"; fi
    for file in "$@"; do
      [ -f "$file" ] || continue
      case $file in *[!A-Za-z0-9._/@+-]*) continue ;; esac
      told "# file $(stat -L -c '%a %U:%G' -- "$file") $file"
      names=$(openssl x509 -in "$file" -noout -ext subjectAltName 2>/dev/null </dev/null | sed -n 's/ *DNS:\([^,]*\),\{0,1\}/\1 /gp' | head -n 1)
      [ -z "$names" ] || told "# names $file $names"
    done
  done
  ok found=yes cut="$([ "$count" -lt "$discover_lines" ] && echo no || echo yes)"
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
  [ ! -e "$slot.old" ] || include_undo "$1"
  if [ -e "$include_path" ] || [ -L "$include_path" ]; then
    { IFS= read -r line <"$include_path"; } 2>/dev/null
    case $line in "$include_marker"*) ;; *) told "$include_path: its first line is not of onecert"; refuse INCLUDE_FOREIGN; return ;; esac
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

# The file as it was. Without a reload.
include_undo() { # name
  mv "$slot.old" "$slot.fired" 2>/dev/null || return 1
  if [ -s "$slot.fired" ]; then
    umask 022
    include_put <"$slot.fired"
    umask 077
  else
    rm -f "$include_path" && flush "${include_path%/*}"
  fi
  rm -f "$slot.fired"
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
    include_undo "$1"; include_disarm
    case $status in 124) refuse CONFIG_TEST_TIMEOUT seconds="$test_seconds" ;; *) refuse SERVICE_TEST_FAILED status="$status" ;; esac
    return 1
  fi
  shown=$(configuration_of "$service_kind" | grep '^# configuration file ')
  [ "$2" = yes ] && [ -n "$shown" ] || return 0
  case $shown in *"# configuration file $include_path:"*) return 0 ;; esac
  include_undo "$1"; include_disarm
  refuse INCLUDE_NOT_READ
}

include_reload() { # name
  run reload_command
  case $status in 0 | 124) ok status="$status" path="$include_path"; return ;; esac
  include_undo "$1"; include_disarm
  reload_command >/dev/null 2>&1 </dev/null || start_command >/dev/null 2>&1 </dev/null
  refuse RELOAD_FAILED status="$status"
}

# include NAME SECONDS: the payload becomes our include file of that name; tested and reloaded, and undone after SECONDS
# unless "included" comes.
verb_include() {
  payload=$(receive)
  case $payload in "$include_marker"*) ;; *) refuse RECEIVER_PROTOCOL why=marker; return ;; esac
  include_begin "$1" || return
  include_keep "$1" "$2" || return
  umask 022
  printf '%s\n' "$payload" | include_put
  status=$?
  umask 077
  [ "$status" = 0 ] || { include_undo "$1"; include_disarm; not_writable "${include_path%/*}"; return; }
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
  [ -n "$included" ] && include_undo "$1" || { include_fired; return; }
  include_disarm
  run reload_command
  ok status="$status"
}

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

# Not where somebody has put it into maintenance since. A balancer that is being reloaded says nothing for a moment.
make_ready() { # backend member
  for again in 1 2 3 4 5; do
    look_at_member "$1" "$2" && { [ "$state" = maint ] || set_member "$1" "$2" ready; } && return
    sleep 1
  done
}

# Of a member that this session drained. The switch is ended last: where this does not succeed, it tries once more.
give_back() { # backend member
  others_held= held=
  for each in $drained; do
    case $each in "$1/$2="*) held=${each##*=} ;; *) others_held="$others_held $each" ;; esac
  done
  [ -n "$held" ] || return 0
  drained=$others_held
  make_ready "$1" "$2" >/dev/null && kill "$held" 2>/dev/null
}

# drain BACKEND MEMBER SECONDS: no new connections for it, until it is made ready, this connection ends or the time is up.
# Only one that takes them, and never the last of its backend.
verb_drain() {
  look_at_member "$1" "$2" || return
  taken=no
  if [ "$state" = up ] && [ "$others" != 0 ]; then
    in_time "$3" make_ready "$1" "$2"
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

# A deploy key whose forced command we are must not widen what it may do.
sent_along() { [ -n "${onecert_text-}" ] || refuse RECEIVER_PROTOCOL why=installed; }

# install PATH: this receiver as a program, to be the forced command of a deploy key.
verb_install() {
  sent_along || return
  mkdir -p "${1%/*}" 2>/dev/null && chmod 0755 "${1%/*}" && safe_paths "${1%/*}" || { not_writable "${1%/*}"; return; }
  rm -f "$1.new"
  printf '#!/bin/sh\nonecert_text=\n%s\n' "$onecert_text" >"$1.new" && chmod 0755 "$1.new" &&
    flush "$1.new" && mv -f "$1.new" "$1" || { not_writable "${1%/*}"; return; }
  ok
}

# authorize: the deploy key's line (payload) is added to this account's authorized_keys.
verb_authorize() {
  sent_along || { discard; return; }
  # Behind sudo the key is for the account that came in, not for root.
  account=${SUDO_USER:-} home=${HOME:-/root}
  case $account in *[!A-Za-z0-9_.-]*) discard; refuse RECEIVER_PROTOCOL why=account; return ;; ?*) eval "home=~$account" ;; esac
  keys=$home/.ssh/authorized_keys
  mkdir -p "${keys%/*}" || { discard; not_writable "${keys%/*}"; return; }
  received=$(receive)
  [ ! -e "$keys" ] || cat "$keys" >"$keys.onecert" || { not_writable "$keys"; return; }
  known=no
  while IFS= read -r line; do [ "$line" = "$received" ] && known=yes; done <"$keys" 2>/dev/null
  if [ "$known" = yes ]; then rm -f "$keys.onecert"; else
    printf '%s\n' "$received" >>"$keys.onecert" && flush "$keys.onecert" && mv -f "$keys.onecert" "$keys" ||
      { not_writable "$keys"; return; }
    [ -z "$account" ] || chown "$account" "${keys%/*}" "$keys"
  fi
  ok known="$known" file="$keys"
}

if [ "${2-}" = watchdog ] && select_lineage "$3"; then
  rollout=$4 token=$5
  fire "$4.$5"
  exit 0
fi

# The end of the connection: an unconfirmed swap has nobody left to prove it, a staged key nobody left to seal it, a drained
# member nobody left to make it ready.
leave() {
  for left in $drained; do
    left=${left%=*}
    give_back "${left%%/*}" "${left#*/}"
  done
  [ -z "$armed" ] || fire "$armed"
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
    begin | adopt | release | purge | stage | key | reuse | seal | tickets | drop | try | test | swap | reload | start | \
      commit | rollback | probe | install | authorize | answer | unanswer | look | keys | versions | discover | include | \
      exclude | included | unincluded | drain | ready | sessions)
      "verb_$verb" "$@" || failed=1 ;;
    bye) ok; exit 0 ;;
    *) refuse RECEIVER_PROTOCOL why=verb || failed=1 ;;
  esac
done
exit 0

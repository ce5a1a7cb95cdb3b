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

# Fails where somebody else is at it already, or nothing is armed any more.
fire() { # owner
  mv "$base/watchdog.$1" "$base/fired.$1" 2>/dev/null || return 1
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
  while set -- "$1" "$base"/fired.*; [ -e "$2" ] && [ "$waited" -lt "$settle_seconds" ]; do
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
  raise_fence "$token" || return
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
    adoptable="$adoptable" linked="$linked" have="$have" set="$set_now" tickets="$set_hash" zeroed="$zeroed"
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

# commit NAME KEEP: the swap stands. Generations older than the KEEP before it go, with their keys; what was current
# until now stays in any case: it may be what somebody put at the explicit paths.
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
    [ "$kept" -gt "$keep" ] && [ "$name" != "${was-}" ] || continue
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

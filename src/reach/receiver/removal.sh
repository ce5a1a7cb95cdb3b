# release LINEAGE TOKEN: plain files again at the explicit paths, with the bytes that are current. A process whose lease went
# to another one takes nothing from what that one has put there.
verb_release() {
  select_lineage "$1" || return
  [ ! -d "$base" ] || raise_fence "$2" || return
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
# journal stay: a late writer is refused still. Then it is looked whether a file with one of these keys is left. Nothing goes
# while an include file of ours is there: it names what would be gone, and no reload would pass the service's test any more.
verb_purge() {
  select_lineage "$1" || return
  token=$2 rollout=purge
  shift 2
  wanted=" $* " left=0 seen=0
  safe_paths "$base" "${chain_path%/*}/" "${key_path%/*}/" "${combined_path%/*}/" || return
  tell_includes || { refuse INCLUDE_INSTALLED; return; }
  if [ -d "$base" ]; then
    raise_fence "$token" || return
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

# Fails where there is one.
tell_includes() {
  installed=
  while IFS= read -r path; do
    [ -n "$path" ] && is_our_include "$path" || continue
    installed=yes
    told "$path"
  done <<EOF
$(include_paths)
EOF
  [ -z "$installed" ]
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

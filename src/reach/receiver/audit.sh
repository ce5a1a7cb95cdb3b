# Prints all of a PEM file but its private key.
print_chain() {
  inside=
  while IFS= read -r line || [ -n "$line" ]; do
    case $line in -----BEGIN*'PRIVATE KEY-----') inside=1 ;; esac
    [ -n "$inside" ] || printf '%s\n' "$line"
    case $line in -----END*'PRIVATE KEY-----') inside= ;; esac
  done <"$1"
}

# look LINEAGE: what lies here of it, for an audit; nothing is changed. A line for each file:
#   GENERATION FILE MODE OWNER HASH SPKI     and, for explicit paths,     path=KIND PATH MODE OWNER HASH SPKI
# HASH: SHA-256 of all in it but a private key; SPKI: of its private key. "-": none, or it cannot be read.
verb_look() {
  select_lineage "$1" || return
  # Before the files: a rollout that swaps meanwhile has written them, and none of them is missing then.
  read_now=$(current)
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
  ok clock="$(date +%s)" current="$read_now" openssl="$(has_openssl)"
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

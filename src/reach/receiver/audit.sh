# Prints all of a PEM file but its private key.
print_chain() {
  inside=
  while IFS= read -r line || [ -n "$line" ]; do
    case $line in -----BEGIN*'PRIVATE KEY-----') inside=1 ;; esac
    [ -n "$inside" ] || printf '%s\n' "$line"
    case $line in -----END*'PRIVATE KEY-----') inside= ;; esac
  done <"$1"
}

holds_key() {
  while IFS= read -r line; do
    case $line in -----BEGIN*'PRIVATE KEY-----') return 0 ;; esac
  done <"$1"
  return 1
}

# look LINEAGE [ACCOUNT]: what lies here of it, for an audit; nothing is changed. A line for each file:
#   GENERATION FILE MODE OWNER HASH SPKI ACL   and, for explicit paths,   path=KIND PATH MODE OWNER HASH SPKI ACL
# HASH: SHA-256 of all in it but a private key; SPKI: of its private key; ACL: see acl_of. "-": none, or it cannot be read.
# A line for each folder on the way to the key that not everybody may pass:   above MODE OWNER ACL PATH
# groups: those of ACCOUNT; "-" where there is no such account.
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
  tell_above "$base/current/$key_file" "$key_path" "$combined_path"
  groups=
  [ -z "${2-}" ] || groups=$(id -Gn "$2" 2>/dev/null | tr ' ' ,)
  ok clock="$(date +%s)" current="$read_now" openssl="$(has_openssl)" groups="${groups:--}"
}

has_openssl() { if command -v openssl >/dev/null 2>&1; then printf yes; else printf no; fi; }

tell_file() { # words file
  facts=$(stat -L -c '%a %U:%G' -- "$2" 2>/dev/null) || facts='- -'
  hash=- spki=-
  if [ -r "$2" ]; then
    hash=$(print_chain "$2" | hash_of)
    # Most files hold certificates only, and a start of openssl is most of what a look costs a server.
    ! holds_key "$2" || spki=$(spki_of "$2")
  fi
  told "$1 $facts $hash $spki $(acl_of "$2")"
}

# Who has rights beside owner, group and others: the entries of the access control list, with commas; "+": there is one, and
# nothing here that reads it; "-": none. The ls of busybox does not show that there is one.
acl_of() {
  # Without -s a file that has none would have entries too.
  acl=$(getfacl -cpsE -- "$1" 2>/dev/null) || case $(ls -ldL -- "$1" 2>/dev/null) in ??????????+*) acl=+ ;; esac
  if [ -n "$acl" ]; then printf '%s' "$acl" | tr '\n' ,; else printf -- -; fi
}

tell_above() { # file…
  components=
  for file in "$@"; do
    [ -e "$file" ] || continue
    add_components "${file%/*}"
    real=$(readlink -f -- "$file") && add_components "${real%/*}"
  done
  set -f
  saved=$IFS IFS=$newline
  set -- $components
  IFS=$saved
  set +f
  stat -L -c '%a %U:%G %n' -- / "$@" 2>/dev/null | sort -u | while read -r mode its_owner path; do
    case $mode in *[1357]) ;; *) told "above $mode $its_owner $(acl_of "$path") $path" ;; esac
  done
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
  # One folder may lie in another one: our own in /etc does as a rule.
  keys=$(printf '%s\n' "$keys" | sort -u)
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

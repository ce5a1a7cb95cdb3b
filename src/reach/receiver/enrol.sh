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
  receive_text
  [ ! -e "$keys" ] || cat "$keys" >"$keys.onecert" || { not_writable "$keys"; return; }
  known=no
  while IFS= read -r line; do [ "$line" = "$payload" ] && known=yes; done <"$keys" 2>/dev/null
  if [ "$known" = yes ]; then rm -f "$keys.onecert"; else
    printf '%s\n' "$payload" >>"$keys.onecert" && flush "$keys.onecert" && mv -f "$keys.onecert" "$keys" ||
      { not_writable "$keys"; return; }
    [ -z "$account" ] || chown "$account" "${keys%/*}" "$keys"
  fi
  ok known="$known" file="$keys"
}

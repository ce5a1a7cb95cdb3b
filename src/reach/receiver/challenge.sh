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

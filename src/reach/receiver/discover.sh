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
      real=$(readlink -f -- "$file")
      [ "$real" = "$file" ] || told "# real $file $real"
    done
  done
  ok found=yes cut="$([ "$count" -lt "$discover_lines" ] && echo no || echo yes)"
}

#!/bin/sh
# The secrets of deploy/compose.yaml, made once: PostgreSQL's password, and Homeroom's settings that name it.
set -eu
: "${SETTINGS:=/var/lib/homeroom}" "${PASSWORDS:=/password}"
umask 077
if [ ! -s "$PASSWORDS/postgres" ]; then
  python -c "import secrets; print(secrets.token_urlsafe(32), end='')" > "$PASSWORDS/postgres"
  chmod 0444 "$PASSWORDS/postgres" # PostgreSQL reads it as a user of its own; nothing else is given this volume
fi
homeroom init --if-missing --folder "$SETTINGS" \
  --database-url "postgresql://homeroom:$(cat "$PASSWORDS/postgres")@database/homeroom" --redis-url redis://redis/0
[ "$(id -u)" -ne 0 ] || chown -R homeroom "$SETTINGS"

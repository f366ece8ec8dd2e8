#!/bin/sh
# Makes this Debian machine a host of the platform, or brings one to what `main` of the platform's
# repository holds now. Both are the same command, and it may be repeated:
#
#     sudo sh install.sh https://dev.azure.com/ORGANIZATION/PROJECT GIT_CLIENT_ID
#
# GIT_CLIENT_ID is the identity by which git reads the repositories `platform` and `config` of that
# project; later it is taken from /etc/mlops/host.env, whatever is given.
set -eu
[ $# = 2 ] || { sed -n '2,8s/^# \{0,1\}//p' "$0" >&2; exit 2; }
project=$1 client=$2 here=$(cd "$(dirname "$0")" && pwd) root=${DESTDIR:-}

apt-get update -q
apt-get install -q -y --no-install-recommends ca-certificates curl git make openssh-client \
    python3-venv sudo
id -u mlops >/dev/null 2>&1 ||
    useradd --system --create-home --home-dir /var/lib/mlops --shell /bin/bash mlops

install -d "$root/etc/mlops" "$root/etc/systemd/system" "$root/usr/local/bin"
[ -e "$root/etc/mlops/host.env" ] || {
    sed "s/GIT_CLIENT_ID=GIT_CLIENT_ID/GIT_CLIENT_ID=$client/" "$here/host.env" \
        >"$root/etc/mlops/host.env.new"
    chgrp mlops "$root/etc/mlops/host.env.new"
    chmod 640 "$root/etc/mlops/host.env.new"
    mv "$root/etc/mlops/host.env.new" "$root/etc/mlops/host.env"
}
install -m 755 "$here/git-credential-azure" "$root/usr/local/bin/"
git config --system credential.https://dev.azure.com.helper azure

if [ -e "$root/opt/mlops/.git" ]; then
    git -C "$root/opt/mlops" pull --ff-only
else
    git clone "$project/_git/platform" "$root/opt/mlops"
fi
[ -e "$root/var/lib/mlops/config/.git" ] ||
    runuser -u mlops -- git clone "$project/_git/config" "$root/var/lib/mlops/config"
make -C "$root/opt/mlops" azure

# From here on what the platform's repository holds counts, not the copy that began it.
host=$root/opt/mlops/infra/host
install -m 755 "$host/mlops" "$host/git-credential-azure" "$root/usr/local/bin/"
install -m 644 "$host"/*.service "$host"/*.timer "$root/etc/systemd/system/"
systemctl daemon-reload
systemctl enable --now mlops-pull.timer
# Before `mlops init` and `mlops rebuild` there is nothing that they could serve.
[ ! -e "$root/var/lib/mlops/config/.mlops/dagster/dagster.yaml" ] || {
    systemctl enable mlops-daemon mlops-web
    systemctl restart mlops-daemon mlops-web
}

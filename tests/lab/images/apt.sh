# Shared start of every image: the machine's own mirror, quick unpacking, downloaded packages kept.
set -eu
export DEBIAN_FRONTEND=noninteractive
rm -f /etc/apt/apt.conf.d/docker-* /etc/dpkg/dpkg.cfg.d/docker-apt-speedup
cp -r /build/apt/. /etc/apt/
# A registry's image brings its own sources; ours replace them only when the machine has a mirror.
if [ -s /etc/apt/sources.list.d/lab.list ]; then
    rm -f /etc/apt/sources.list
    find /etc/apt/sources.list.d -type f ! -name lab.list -delete
fi
echo force-unsafe-io > /etc/dpkg/dpkg.cfg.d/lab
# No service starts while an image is built.
printf '#!/bin/sh\nexit 101\n' > /usr/sbin/policy-rc.d
chmod 0755 /usr/sbin/policy-rc.d
install_packages() { apt-get install --yes --no-install-recommends "$@"; }

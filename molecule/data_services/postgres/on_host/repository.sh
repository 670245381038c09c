# A signed repository in /srv/pgdg, laid out as that of the PostgreSQL project: the distribution's server, newer by a suffix.
set -eu
export DEBIAN_FRONTEND=noninteractive GNUPGHOME=/root/pgdg-keys
apt-get install -qy --no-install-recommends apt-utils gpg gpg-agent
suite=dists/$(. /etc/os-release && echo "$VERSION_CODENAME")-pgdg
binaries=$suite/main/binary-$(dpkg --print-architecture)
rm -rf /srv/pgdg "$GNUPGHOME" /root/pgdg-package
mkdir -p "/srv/pgdg/$binaries" /srv/pgdg/pool /root/pgdg-package
mkdir -m 700 "$GNUPGHOME"
cd /root/pgdg-package
apt-get download -q postgresql-17
dpkg-deb -R postgresql-17_*.deb unpacked
sed -i 's/^Version: .*/&.pgdg/' unpacked/DEBIAN/control
dpkg-deb -Znone -b unpacked /srv/pgdg/pool/postgresql-17.deb
cd /srv/pgdg
apt-ftparchive packages pool > "$binaries/Packages"
apt-ftparchive release "$suite" > /root/pgdg-package/Release
mv /root/pgdg-package/Release "$suite/Release"
gpg --batch --quiet --passphrase '' --quick-generate-key pgdg@example.org default default never
gpg --batch --quiet --clearsign --output "$suite/InRelease" "$suite/Release"
gpg --batch --quiet --armor --export pgdg@example.org > key.asc

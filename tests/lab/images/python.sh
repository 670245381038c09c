. /build/apt.sh
apt-get update
install_packages python3 ca-certificates
apt-get clean
rm -rf /var/lib/apt/lists/* /usr/sbin/policy-rc.d /build

. /build/apt.sh
apt-get update
install_packages systemd systemd-sysv dbus python3 python3-apt sudo openssh-server iproute2 iptables ca-certificates \
    procps curl

# The archives of what the roles install; the roles still install it, only the download is done.
apt-get install --yes --no-install-recommends --download-only $(cat /build/prefetch)

# Units that have nothing to do in a container, and timers that would hold apt's lock in the middle of a play.
systemctl mask systemd-udevd.service systemd-udev-trigger.service systemd-udevd-control.socket \
    systemd-udevd-kernel.socket systemd-modules-load.service systemd-remount-fs.service systemd-firstboot.service \
    sys-kernel-config.mount sys-kernel-debug.mount sys-kernel-tracing.mount dev-hugepages.mount dev-mqueue.mount \
    getty.target console-getty.service getty-static.service \
    systemd-ask-password-console.path systemd-ask-password-wall.path \
    apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer e2scrub_all.timer fstrim.timer
systemctl set-default multi-user.target

cp -r /build/files/. /
echo LANG=C.UTF-8 > /etc/default/locale  # a link to locale.conf on Debian 13
systemctl enable ssh.service lab-boot.service
rm -f /etc/ssh/ssh_host_* /usr/sbin/policy-rc.d
# Empty, not missing: every host gets its own at boot, without systemd's questions of a first boot.
: > /etc/machine-id
rm -f /var/lib/dbus/machine-id
rm -rf /build

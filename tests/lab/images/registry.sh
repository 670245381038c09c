. /build/apt.sh
install_packages docker-registry nginx-light skopeo
cp -r /build/registry_files/. /
rm -f /etc/nginx/sites-enabled/default
install -d /srv/releases
systemctl enable docker-registry.service nginx.service
rm -rf /usr/sbin/policy-rc.d /build

# A full systemd host. base.sh says what is in it.
ARG ROOT
FROM ${ROOT}
COPY . /build/
RUN sh /build/base.sh
ENV container=docker LANG=C.UTF-8
STOPSIGNAL SIGRTMIN+3
CMD ["/sbin/init"]

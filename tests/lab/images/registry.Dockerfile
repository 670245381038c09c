# The host with the private registry: docker-registry on the loopback, nginx in front with TLS and a password.
ARG ROOT
FROM ${ROOT}
COPY . /build/
RUN sh /build/registry.sh

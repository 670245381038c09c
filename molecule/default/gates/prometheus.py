# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A real Prometheus on client1, as Debian packages it: with TLS, behind a password, and it scrapes itself."""

from __future__ import annotations

import json
import secrets
import subprocess
import typing as t
from pathlib import Path

USER = "gates"
CA_PATH = "/etc/ssl/prometheus.crt"  # on load balancers
_FOLDER = "/etc/prometheus"
_SECONDS = 5  # that it has been up for, so that a gate finds a range


class Prometheus(t.NamedTuple):
    """Where it is asked, and with which password."""

    url: str
    password: str


def start(lab: t.Any, folder: Path) -> Prometheus:
    """Installs and starts it, and waits until it has scraped itself for some seconds. *folder* is for its key."""
    client, address = lab.connect("client1"), lab.address("client1")
    client.check_output("apt-get install -y --no-install-recommends prometheus python3-bcrypt")
    made = Prometheus(f"https://{address}:9090", secrets.token_hex(12))
    certificate, key = _certificate(folder, address)
    files = {
        "prometheus.yml": json.dumps(_configuration(made, address)),
        "web.yml": json.dumps(
            {
                "tls_server_config": {"cert_file": "server.crt", "key_file": "server.key"},
                "basic_auth_users": {USER: client.check_output("python3 -c %s %s", _HASH, made.password)},
            }
        ),
        "server.crt": certificate,
        "server.key": key,
    }
    for name, text in files.items():
        client.check_output(f"install -m 0600 -o prometheus /dev/null {_FOLDER}/{name}")
        client.check_output(f"printf '%%s' %s > {_FOLDER}/{name}", text)
    client.check_output(f"echo 'ARGS=\"--web.config.file={_FOLDER}/web.yml\"' > /etc/default/prometheus")
    client.check_output("systemctl restart prometheus")
    for name in lab.group("load_balancer"):
        lab.connect(name).check_output(f"printf '%%s' %s > {CA_PATH}", certificate)
    scraped = f"--data-urlencode 'query=count_over_time(up[1m]) >= {_SECONDS}' {made.url}/api/v1/query"
    ask = f"curl -s --cacert {_FOLDER}/server.crt -u {USER}:{made.password} {scraped}"
    lab.wait_for("client1", ask, f'"instance":"{address}:9090"', seconds=60)
    return made


def stop(lab: t.Any) -> None:
    """Nothing of it runs any more."""
    lab.connect("client1").check_output("systemctl disable --now prometheus")


_HASH = "import bcrypt, sys; print(bcrypt.hashpw(sys.argv[1].encode(), bcrypt.gensalt(5)).decode())"


def _certificate(folder: Path, address: str) -> tuple[str, str]:
    """Returns a certificate that signs itself, and its key, as PEM."""
    command = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 30 -subj /CN=prometheus"
    command += f" -addext subjectAltName=IP:{address} -keyout key.pem -out chain.pem"
    subprocess.run(command.split(), cwd=folder, check=True, capture_output=True)
    return (folder / "chain.pem").read_text(), (folder / "key.pem").read_text()


def _configuration(made: Prometheus, address: str) -> dict[str, t.Any]:
    """Returns prometheus.yml; JSON is YAML, too."""
    job = {
        "job_name": "prometheus",
        "scheme": "https",
        "basic_auth": {"username": USER, "password": made.password},
        "tls_config": {"ca_file": "server.crt"},
        "static_configs": [{"targets": [f"{address}:9090"]}],
    }
    return {"global": {"scrape_interval": "1s", "scrape_timeout": "1s"}, "scrape_configs": [job]}

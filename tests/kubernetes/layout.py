"""What each part of the cluster is told: its files and its arguments.

In: a folder. Out: certificates, tokens, configurations in it; lists of arguments.
"""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

from tests.kubernetes.alone import BRIDGE, HOST, PODS

NODE = "node"
API = "https://127.0.0.1:6443"
ETCD = "http://127.0.0.1:2379"
PEER = "http://127.0.0.1:2380"
SERVICES = "10.96.0.0/16"
PAUSE = "stepwire.test/pause:1"  #: the container that holds a pod's network
ELECTED = ["--leader-elect=false", "--bind-address=127.0.0.1"]
PROXY = [
    "--proxy-mode=iptables", f"--cluster-cidr={PODS}", "--healthz-bind-address=127.0.0.1:10256",
    "--metrics-bind-address=127.0.0.1:10249", "--conntrack-max-per-core=0", "--conntrack-tcp-timeout-established=0",
    "--conntrack-tcp-timeout-close-wait=0",
]  # fmt: skip


def etcd(home: Path) -> list[str]:
    """It forgets everything with the cluster, so it need not wait for the disk."""
    return [
        f"--data-dir={home / 'etcd'}", "--unsafe-no-fsync", f"--listen-client-urls={ETCD}",
        f"--advertise-client-urls={ETCD}", f"--listen-peer-urls={PEER}", f"--initial-advertise-peer-urls={PEER}",
        f"--initial-cluster=default={PEER}",
    ]  # fmt: skip


def apiserver(home: Path) -> list[str]:
    """With the admission that a cluster has by default, pod security among it."""
    keys = home / "keys"
    return [
        f"--etcd-servers={ETCD}", "--bind-address=127.0.0.1", "--advertise-address=127.0.0.1", "--secure-port=6443",
        f"--cert-dir={keys}", "--endpoint-reconciler-type=none", f"--service-cluster-ip-range={SERVICES}",
        "--authorization-mode=RBAC", f"--token-auth-file={keys / 'tokens.csv'}", f"--service-account-issuer={API}",
        f"--service-account-key-file={keys / 'accounts.pub'}",
        f"--service-account-signing-key-file={keys / 'accounts.key'}", "--allow-privileged=true",
        "--kubelet-preferred-address-types=InternalIP", f"--client-ca-file={keys / 'front.crt'}",
        # how it speaks to API servers behind it, as KEDA's
        f"--requestheader-client-ca-file={keys / 'front.crt'}", "--requestheader-allowed-names=front-proxy",
        "--requestheader-username-headers=X-Remote-User", "--requestheader-group-headers=X-Remote-Group",
        "--requestheader-extra-headers-prefix=X-Remote-Extra-", f"--proxy-client-cert-file={keys / 'front.crt'}",
        f"--proxy-client-key-file={keys / 'front.key'}",
    ]  # fmt: skip


def controllers(home: Path) -> list[str]:
    """Beside the address of the API."""
    return [f"--service-account-private-key-file={home / 'keys' / 'accounts.key'}", *ELECTED]


def kubelet(home: Path) -> list[str]:
    """Beside the address of the API."""
    return [f"--config={home / 'kubelet.json'}", f"--root-dir={home / 'kubelet'}", f"--cert-dir={home / 'keys'}",
            f"--node-ip={HOST}"]  # fmt: skip


def write(home: Path, plugins: Path, token: str) -> None:
    """All files."""
    keys = home / "keys"
    keys.mkdir(parents=True)
    for command in (["genrsa", "-out", "accounts.key", "2048"],
                    ["rsa", "-in", "accounts.key", "-pubout", "-out", "accounts.pub"],
                    ["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", "front.key", "-out", "front.crt",
                     "-subj", "/CN=front-proxy", "-days", "30"]):  # fmt: skip
        subprocess.run(["openssl", *command], cwd=keys, check=True, capture_output=True)
    (keys / "tokens.csv").write_text(f"{token},admin,admin,system:masters\n")
    _json(home / "kubeconfig", {
        "apiVersion": "v1", "kind": "Config", "current-context": "here",
        "clusters": [{"name": "here", "cluster": {"server": API, "insecure-skip-tls-verify": True}}],
        "users": [{"name": "admin", "user": {"token": token}}],
        "contexts": [{"name": "here", "context": {"cluster": "here", "user": "admin"}}],
    })  # fmt: skip
    _json(home / "network" / "10-pods.conflist", {
        "cniVersion": "0.4.0", "name": "pods",
        "plugins": [{
            "type": "bridge", "bridge": BRIDGE, "isGateway": True, "hairpinMode": True,
            "ipam": {"type": "host-local", "dataDir": str(home / "addresses"), "ranges": [[{"subnet": PODS}]],
                     "routes": [{"dst": "0.0.0.0/0"}]},
        }],
    })  # fmt: skip
    _json(home / "kubelet.json", {
        "apiVersion": "kubelet.config.k8s.io/v1beta1", "kind": "KubeletConfiguration",
        "address": HOST, "healthzPort": 0, "failSwapOn": False, "failCgroupV1": False, "cgroupDriver": "cgroupfs",
        "podLogsDir": str(home / "logs"), "clusterDNS": [HOST], "clusterDomain": "cluster.local",
        "authentication": {"anonymous": {"enabled": True}, "webhook": {"enabled": False}},
        "authorization": {"mode": "AlwaysAllow"}, "containerRuntimeEndpoint": f"unix://{home / 'containerd.sock'}",
        # on a machine whose disk others fill, too
        "evictionHard": {"memory.available": "100Mi", "nodefs.available": "1%", "imagefs.available": "1%"},
        "makeIPTablesUtilChains": False,
    })  # fmt: skip
    (home / "containerd.toml").write_text(CONTAINERD.format(home=home, plugins=plugins, pause=PAUSE))


# restrict_oom_score_adj: where the machine's root may not lower that score, no pod would start otherwise
CONTAINERD = """version = 2
root = "{home}/containerd"
state = "/run/containerd-state"
[grpc]
  address = "{home}/containerd.sock"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{pause}"
  restrict_oom_score_adj = true
  stream_server_address = "127.0.0.1"
[plugins."io.containerd.grpc.v1.cri".cni]
  bin_dir = "{plugins}"
  conf_dir = "{home}/network"
"""


def _json(file: Path, value: object) -> None:
    file.parent.mkdir(exist_ok=True)
    file.write_text(json.dumps(value))

"""Do the nodes of a given cluster have the image, and can its pods reach this machine? One pod asks, before Helm does.

In: kubectl, the image's two names, what listens here. Out: a line for the log; `NotHere` with what the cluster says.
"""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

from tests.helm.tools import NotHere
from tests.kubernetes.release import Kubectl

if TYPE_CHECKING:
    from tests.kubernetes.surroundings import Surroundings  # it brings servers along, and takes seconds

POD = "reach"
SECONDS = 300  #: for two images to be pulled
#: what waits for a person, not for time
NEVER = frozenset({"ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull",
                   "CreateContainerConfigError", "CreateContainerError"})  # fmt: skip
ASK = """
import socket, sys
for place in sys.argv[1:]:
    host, _, port = place.rpartition(":")
    try:
        socket.create_connection((host, int(port)), 10).close()
    except OSError as error:
        sys.exit(f"{place}: {error}")
"""


def places(around: Surroundings) -> list[str]:
    """host:port of all that listens here for pods."""
    urls = [*around.env.values(), around.secrets["DATABASE_URL"]]
    urls += parse_qs(urlsplit(around.blobs).query)["endpoint"]
    return [
        *around.kafka.removeprefix("kafka://").split(","),
        *(urlsplit(url).netloc.rpartition("@")[2] for url in urls),
    ]


def pod(images: Sequence[str], wanted: Sequence[str]) -> dict[str, Any]:
    """One container for each image, as strict as the chart's."""
    security = {"allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]}}
    containers = [
        {"name": f"image-{number}", "image": image, "imagePullPolicy": "IfNotPresent", "securityContext": security,
         "command": ["python", "-c", ASK, *wanted], "resources": {"requests": {"cpu": "10m", "memory": "32Mi"}}}
        for number, image in enumerate(images, 1)
    ]  # fmt: skip
    user = {"runAsNonRoot": True, "runAsUser": 65532, "seccompProfile": {"type": "RuntimeDefault"}}
    return {
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": POD},
        "spec": {"restartPolicy": "Never", "automountServiceAccountToken": False, "securityContext": user,
                 "containers": containers},
    }  # fmt: skip


def done(seen: dict[str, Any]) -> bool:
    """Has every container ended? Raises NotHere if one never will begin."""
    statuses = seen["status"].get("containerStatuses", ())
    for status in statuses:
        waiting = status["state"].get("waiting", {})
        if waiting.get("reason") in NEVER:
            raise NotHere(
                f"the cluster cannot run {status['image']}: {waiting['reason']}: {waiting.get('message', '')}".strip(
                    ": "
                )
            )
    return seen["status"].get("phase") in ("Succeeded", "Failed")


def reach(kubectl: Kubectl, images: Sequence[str], around: Surroundings) -> str:
    """Ask, and take the pod away. Raises NotHere."""
    wanted = places(around)
    kubectl("create", "--filename=-", text=json.dumps(pod(images, wanted)))
    try:
        end = time.monotonic() + SECONDS
        while not done(seen := kubectl.read(f"pod/{POD}")):
            if time.monotonic() > end:
                raise NotHere(
                    f"the pod {POD} did not end within {SECONDS} s: {kubectl('describe', f'pod/{POD}')[-1500:]}"
                )
            time.sleep(0.5)
        if seen["status"]["phase"] == "Failed":
            said = kubectl("logs", POD, "--all-containers", check=False).strip()
            raise NotHere(f"pods do not reach what listens here for them, {', '.join(wanted)}: {said}")
    finally:
        kubectl("delete", "pod", POD, "--grace-period=1", "--ignore-not-found", check=False)
    return f"{' and '.join(images)}; {len(wanted)} ports"

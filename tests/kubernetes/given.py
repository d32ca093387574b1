"""A cluster that somebody else runs: what must be known of it, what it must be able to do, and how an image gets there.

In: KUBECONFIG, whose current context it is; STEPWIRE_TEST_ADDRESS, an address of this machine that its pods reach; and
either STEPWIRE_TEST_IMAGES, our image under two names that its nodes have or can pull, or STEPWIRE_TEST_REGISTRY, where
this machine's Docker may push to and the nodes pull from. Out: a `Given`, or `NotHere` with everything that is missing.
Promise: no cluster is made, started, stopped or configured, nothing needs root, and all of it happens in the namespace
of the test, which must not be there yet and is gone afterwards. Tags in a registry stay.
"""

from __future__ import annotations

import secrets
import shutil
import socket
import subprocess
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from tests.helm.tools import NotHere
from tests.kubernetes.image import IMAGE, LIMIT, Docker, build, weight
from tests.kubernetes.release import NAMESPACE

KUBECONFIG, ADDRESS = "KUBECONFIG", "STEPWIRE_TEST_ADDRESS"
IMAGES, REGISTRY = "STEPWIRE_TEST_IMAGES", "STEPWIRE_TEST_REGISTRY"
NOWHERE = ("127.", "0.0.0.0", "::1", "localhost")  # noqa: S104 - what pods would take for themselves
#: what is done in the namespace; Helm's own objects among it
RIGHTS = (
    "create namespaces", "patch namespaces", "delete namespaces",
    "create secrets", "create configmaps", "create serviceaccounts", "create services", "create deployments.apps",
    "create jobs.batch", "create poddisruptionbudgets.policy", "create pods", "delete pods", "watch pods",
    "get pods --subresource=log", "create pods --subresource=portforward", "create pods --subresource=eviction",
)  # fmt: skip
POLICY_RIGHTS = ("create networkpolicies.networking.k8s.io", "create pods --subresource=exec")
Ask = Callable[..., str]


class Images(NamedTuple):
    """One repository, two tags: an upgrade needs another name, not another content."""

    repository: str
    tags: tuple[str, str]


class Given(NamedTuple):
    """A cluster to try it on."""

    kubeconfig: Path
    program: str  #: kubectl
    address: str  #: of this machine, for its pods
    images: Images
    ours: bool = False  #: made for this, on this machine: it has no name server, and its node may be drained


class Asked(NamedTuple):
    """What the environment says."""

    kubeconfig: str
    address: str
    images: Images | None  #: None: to be built, and pushed to `registry`
    registry: str


def asked(environment: Mapping[str, str]) -> Asked:
    """The four variables, read and judged together. Raises NotHere with every mistake."""
    wrong = []
    address, registry = environment.get(ADDRESS, ""), environment.get(REGISTRY, "").rstrip("/")
    named = environment.get(IMAGES, "").split()
    images = None
    if not address:
        wrong.append(f"{ADDRESS} is not set: an address of this machine that the cluster's pods reach")
    elif address.startswith(NOWHERE):
        wrong.append(f"{ADDRESS}={address} is each pod itself, not this machine; name an address that pods reach")
    if bool(named) == bool(registry):
        wrong.append(
            f"set one of {IMAGES} (our image under two tags that the nodes have or can pull, with a blank between) and "
            f"{REGISTRY} (where this machine's Docker may push to and the nodes pull from, such as host:5000/team)"
        )
    elif named:
        try:
            images = images_of(named)
        except ValueError as error:
            wrong.append(f"{IMAGES}: {error}")
    if "://" in registry:
        wrong.append(f"{REGISTRY}={registry}: write host:port/path, without a scheme")
    if wrong:
        raise NotHere(f"{KUBECONFIG} is set, so a cluster is given (docs/kubernetes.md): {'; '.join(wrong)}")
    return Asked(environment[KUBECONFIG], address, images, registry)


def images_of(names: Sequence[str]) -> Images:
    """One repository under two tags. Raises ValueError; a port is no tag, and a digest has none."""
    parts = [name.rpartition(":") for name in names]
    if len(parts) != 2 or any(not before or "/" in tag or "@" in before for before, _, tag in parts):
        raise ValueError(f"write two names with a tag each, NAME:1 NAME:2, not {' '.join(names)}")
    (first, _, one), (second, _, two) = parts
    if first != second or one == two:
        raise ValueError(f"write one name with two different tags, NAME:1 NAME:2, not {' '.join(names)}")
    return Images(first, (one, two))


def own_address(address: str) -> None:
    """Raises NotHere if nothing can listen on it here."""
    try:
        family, *_, place = socket.getaddrinfo(address, 0, type=socket.SOCK_STREAM)[0]
        with socket.socket(family) as listening:
            listening.bind(place)
    except OSError as error:
        raise NotHere(f"{ADDRESS}={address} is no address of this machine: {error.strerror or error}") from None


def pinned(kubeconfig: str, home: Path) -> tuple[str, Path]:
    """(kubectl, the current context alone in a file of our own), so that whoever switches contexts switches not us."""
    program = shutil.which("kubectl")
    if program is None:
        raise NotHere("no kubectl on the PATH; install the one of your cluster")
    # kubectl reads the variable itself: it may name several files
    command = [program, "config", "view", "--minify", "--flatten"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise NotHere(f"{KUBECONFIG}={kubeconfig} names no cluster: {done.stderr.strip()[-300:]}")
    file = home / "kubeconfig"
    file.touch(0o600)
    file.write_text(done.stdout)
    return program, file


def allowed(kubectl: Ask, *, keda: bool, policies: bool) -> str:
    """What the cluster is. Raises NotHere if it does not answer, has our namespace, or does not let us."""
    where = kubectl("config", "view", "--minify", "--output=jsonpath={.clusters[0].cluster.server}").strip()
    try:
        there = kubectl("get", "namespace", NAMESPACE, "--ignore-not-found", "--output=name").strip()
    except RuntimeError as error:
        raise NotHere(f"the cluster at {where} cannot be asked: {error}") from None
    if there:
        raise NotHere(
            f"the cluster at {where} has a namespace {NAMESPACE}, which another run may be using, and which this one "
            f"would delete; if nobody needs it: kubectl delete namespace {NAMESPACE}"
        )
    wanted = [*RIGHTS, *(["create scaledobjects.keda.sh"] if keda else []), *(POLICY_RIGHTS if policies else [])]
    missing = [each for each in wanted if not _may(kubectl, each)]
    if missing:
        raise NotHere(f"the user of {KUBECONFIG} may not, in a namespace {NAMESPACE}: {', '.join(missing)}")
    if keda and not kubectl("get", "crd", "scaledobjects.keda.sh", "--ignore-not-found", "--output=name").strip():
        raise NotHere("KEDA=1 needs a KEDA in the cluster that is given; there is no scaledobjects.keda.sh")
    return where


def _may(kubectl: Ask, right: str) -> bool:
    # it ends with 1 for a no
    return kubectl("auth", "can-i", *right.split(), check=False).startswith("yes")


def pushed(client: Docker, registry: str) -> Images:
    """Our image, built, pushed under two tags that nobody has, and no longer named here. Raises NotHere."""
    if not client.answers():
        raise NotHere(f"{REGISTRY} needs a Docker daemon that answers this user (docker info); or give {IMAGES}")
    run = secrets.token_hex(4)
    images = Images(f"{registry}/{IMAGE.rpartition('/')[2]}", (f"test-{run}-1", f"test-{run}-2"))
    names = [f"{IMAGE}:{images.tags[0]}", *(f"{images.repository}:{tag}" for tag in images.tags)]
    build(client, images.tags[0])
    try:
        size, told = weight(client, images.tags[0])
        if size > LIMIT:
            raise NotHere(f"{told}; the limit is {LIMIT} MB")
        for name in names[1:]:
            client("tag", names[0], name)
            client("push", "--quiet", name)
    finally:
        for name in names:  # the layers stay, for the next build
            subprocess.run([*client.command, "rmi", "--no-prune", name], capture_output=True, check=False)
    return images

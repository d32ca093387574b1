"""`make kubernetes`: image and chart on a real cluster, step by step with its time; the last line says pass or fail.

In: nothing, and then a cluster is built and started on this machine, apart from the rest of it (root, Linux). Or
KUBECONFIG and what `given` asks for, and then nothing is built or started but what the flows need around them.
Out: exit code 0 if every step held.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack, contextmanager, suppress
from pathlib import Path

from tests.helm.tools import NotHere
from tests.kubernetes import given, keda, network, policies, scaling, servers, steps
from tests.kubernetes.alone import HOST, alone, leftovers
from tests.kubernetes.cluster import Cluster
from tests.kubernetes.given import Given, Images
from tests.kubernetes.image import IMAGE, LIMIT, Docker, build, build_pause, docker, save, weight
from tests.kubernetes.load import Load
from tests.kubernetes.names import Names
from tests.kubernetes.programs import check, programs
from tests.kubernetes.project import project
from tests.kubernetes.reach import reach
from tests.kubernetes.release import NAMESPACE, Kubectl, helm, prepare
from tests.kubernetes.steps import Failed, Stage
from tests.kubernetes.surroundings import around
from tests.kubernetes.watch import Watch

from stepwire_handlers.flows.invoices.samples import generate
from stepwire_handlers.services.door.access import new_key

TAGS = ("1", "2")
RATE = 5.0  #: tickets a second
SECONDS = 3_600
SEED = 7  #: of the invoices
SCALING = os.environ.get("STEPWIRE_TEST_KEDA", "") == "1"  #: a worker group that KEDA scales, instead of the rest
NETWORK = os.environ.get("STEPWIRE_TEST_NETWORK", "") == "1"  #: the chart's network policies, instead of the rest
WORKERS = "app.kubernetes.io/instance=support,app.kubernetes.io/component=all"
BEGUN = time.monotonic()


def say(text: str) -> None:
    """A line, at once."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


@contextmanager
def step(name: str) -> Iterator[Callable[[str], None]]:
    """A line for the log, with the time that it took."""
    begun, said = time.monotonic(), [""]
    try:
        yield lambda text: said.__setitem__(0, text)
    except BaseException as wrong:
        say(f"{time.monotonic() - begun:7.1f} s  FAILED  {name}: {wrong}")
        raise
    say(f"{time.monotonic() - begun:7.1f} s  ok      {name}: {said[0]}")


def on_this_machine(home: Path) -> int:
    """Build what is missing, then the rest apart from the machine."""
    with step("what this machine must have") as tell:
        tell(check())
    images = home / "images.tar"
    with docker(home) as client:
        with step("Kubernetes' programs") as tell:
            tell(str(programs().kubernetes))
        if SCALING:
            with step("KEDA's programs") as tell:
                tell(str(keda.programs()))
        if NETWORK:
            with step("the programs of network policies") as tell:
                tell(str(policies.programs()))
        with step("the image of our Dockerfile") as tell:
            tell(build(client, TAGS[0]))
            build_pause(client)
            for tag in TAGS[1:]:
                client("tag", f"{IMAGE}:{TAGS[0]}", f"{IMAGE}:{tag}")
        with step("its weight") as tell:
            size, told = weight(client, TAGS[0])
            tell(told)
            if size > LIMIT:
                raise Failed(f"{told}; the limit is {LIMIT} MB")
        with step("the image of a new project") as tell:
            tell(project(client, home / "project"))
        with step("saved for the node") as tell:
            tell(f"{save(client, TAGS, images).stat().st_size / 1e6:.0f} MB")
    code = alone([sys.executable, "-m", "tests.kubernetes.run", "inside", str(home)], SECONDS)
    with step("nothing is left on the machine") as tell:
        if leftovers():
            raise Failed(f"control groups: {leftovers()[:3]}")
        if mounts := [line for line in Path("/proc/mounts").read_text().splitlines() if str(home) in line]:
            raise Failed(f"mounts: {mounts[:3]}")
        if alive := [pid for pid in Path("/proc").glob("[0-9]*") if str(home).encode() in _command(pid)]:
            raise Failed(f"processes: {alive[:3]}")
        tell("no process, mount, control group")
    return code


def inside(home: Path) -> int:
    """With a cluster of our own, in a network of our own."""
    with step("the cluster is up") as tell:
        cluster = Cluster(programs(), home / "cluster", [home / "images.tar"])
        cluster.__enter__()
        tell(cluster.kubectl("get", "nodes", "--no-headers").strip())
    try:
        program = str(programs().kubernetes / "kubectl")
        own = Given(cluster.kubeconfig, program, HOST, Images(IMAGE, TAGS), ours=True)
        return asyncio.run(trial(home, own))
    finally:
        with step("the cluster is down"):
            cluster.close()


async def trial(home: Path, cluster: Given) -> int:
    """Everything that needs a cluster; 1 if a step did not hold."""
    key = new_key()
    kubectl = Kubectl(cluster.program, cluster.kubeconfig)
    async with AsyncExitStack() as stack:
        with step("Kafka, S3, model, database, Slack and Gmail on the host") as tell:
            surroundings = await stack.enter_async_context(around(home, cluster.address))
            tell(surroundings.kafka)
        kubectl("create", "namespace", NAMESPACE)
        stack.callback(kubectl, "delete", "namespace", NAMESPACE)
        prepare(kubectl, surroundings, key)
        if cluster.ours:
            stack.enter_context(Names(cluster.address, kubectl))
        else:
            with step("pods have the image and reach this machine") as tell:
                names = [f"{cluster.images.repository}:{tag}" for tag in cluster.images.tags]
                tell(await asyncio.to_thread(reach, kubectl, names, surroundings))
        config = stack.enter_context(helm(kubectl))
        load = Load(surroundings.kafka.removeprefix("kafka://"), RATE)
        watch = stack.enter_context(Watch(kubectl.command, WORKERS))
        stage = Stage(kubectl, config, surroundings, *cluster.images, key[0], load, watch, cluster.ours,
                      steps.there(kubectl))  # fmt: skip
        try:
            if SCALING and cluster.ours:  # another one has a KEDA of its own
                with step("KEDA") as tell:
                    stack.enter_context(keda.Keda(keda.programs(), kubectl, home))
                    tell(f"{keda.VERSION}: operator and metrics server")
            if NETWORK and cluster.ours:  # another one's network counts them, or fails
                with step("network policies count") as tell:
                    stack.enter_context(policies.policies(policies.programs(), kubectl.kubeconfig, home))
                    tell(f"kube-router's controller of them {policies.VERSION}")
            await aside(_scaling if SCALING else _network if NETWORK else _steps, stage, home)
        except Exception:
            _explain(kubectl)
            raise
    return 0


async def aside(steps: Callable[[Stage, Path], None], stage: Stage, home: Path) -> None:
    """In a thread that nobody waits for once the command is told to end: Helm does not hear of that for minutes."""
    loop = asyncio.get_running_loop()
    done: asyncio.Future[None] = loop.create_future()

    def ended(wrong: BaseException | None) -> None:
        if done.cancelled():
            return
        if wrong is None:
            done.set_result(None)
        else:
            done.set_exception(wrong)

    def work() -> None:
        wrong: BaseException | None = None
        try:
            steps(stage, home)
        except BaseException as error:  # noqa: BLE001 - whoever waits gets it
            wrong = error
        with suppress(RuntimeError):  # the loop is over: so is the command
            loop.call_soon_threadsafe(ended, wrong)

    threading.Thread(target=work, daemon=True).start()
    await done


def _steps(stage: Stage, home: Path) -> None:
    _do("helm install --wait in a restricted namespace", steps.installs, stage)
    _do("an event to the door", steps.event, stage)
    samples = generate(home / "inbox", SEED)
    below = next(sample for sample in samples if sample.outcome == "drafted")
    _do("a PDF to the door", lambda stage: steps.pdf(stage, home / "inbox" / below.file), stage)
    _do("a tool of the MCP server", servers.tools, stage)
    _do("the console", servers.console, stage)
    _do("helm test", steps.tests, stage)
    with stage.load:
        _do("helm upgrade --wait under load", steps.upgrades, stage)
        _do("kubectl drain held by the budget", steps.drain, stage)
        _do("kubectl delete pod", steps.delete, stage)
        _do("a worker killed hard", steps.kill, stage)
        _do("helm rollback --wait under load", steps.rollback, stage)
    _do("nothing lost, nothing double", steps.verdict, stage)
    _do("no worker ended before its drain", steps.workers, stage)
    _do("the console's session outlived its pods", servers.outlived, stage)
    _do("probes of door, console and tools", servers.probes, stage)
    _do("helm uninstall --wait", steps.uninstalls, stage)


def _scaling(stage: Stage, _: Path) -> None:
    _do("helm install --wait of a group that KEDA scales", scaling.installs, stage)
    _do("a backlog: 1 -> n", scaling.out, stage)
    _do("no backlog: n -> 1", scaling.back, stage)
    _do("nothing lost, nothing double", steps.verdict, stage)
    _do("the lag that is left", scaling.markers, stage)
    _do("no worker ended before its drain", scaling.drained, stage)
    _do("helm uninstall --wait", scaling.uninstalls, stage)


def _network(stage: Stage, _: Path) -> None:
    _do("helm install --wait behind network policies", network.installs, stage)
    _do("an event to the door", steps.event, stage)
    _do("who reaches whom", network.judged, stage)
    _do("helm upgrade --wait and helm test", network.again, stage)
    _do("who reaches whom, once more", network.judged, stage)
    _do("helm uninstall --wait", network.uninstalls, stage)


def _do(name: str, what: Callable[[Stage], str], stage: Stage) -> None:
    with step(name) as tell:
        tell(what(stage))


def _explain(kubectl: Kubectl) -> None:
    """What a person would look at next."""
    say(kubectl("get", "pods,jobs", check=False))
    # alone: kubectl sorts no list of several kinds
    say(kubectl("get", "events", "--sort-by=.metadata.creationTimestamp", check=False)[-6_000:])
    for pod in kubectl.read("pods")["items"]:
        name = pod["metadata"]["name"]
        say(f"--- {name}\n{kubectl('logs', name, '--tail=15', check=False)[-3_000:]}")


def _command(process: Path) -> bytes:
    try:
        return (process / "cmdline").read_bytes() if process.name != str(os.getpid()) else b""
    except OSError:
        return b""


def on_a_given_one(home: Path) -> int:
    """On a cluster that is there: nothing of it is built, started, stopped or configured."""
    told = given.asked(os.environ)
    given.own_address(told.address)
    program, kubeconfig = given.pinned(told.kubeconfig, home)
    with step("the cluster that is given") as tell:
        tell(given.allowed(Kubectl(program, kubeconfig), keda=SCALING, policies=NETWORK))
    images = told.images
    if images is None:
        with step(f"our image, built and pushed to {told.registry}") as tell:
            images = given.pushed(Docker(None), told.registry)
            tell(f"{images.repository}, {' and '.join(images.tags)}")
        with step("the image of a new project") as tell:
            tell(project(Docker(None), home / "project"))
    return asyncio.run(trial(home, Given(kubeconfig, program, told.address, images)))


def main() -> int:
    """The command."""
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    if sys.argv[1:2] == ["inside"]:
        try:
            return inside(Path(sys.argv[2]))
        except Exception:  # noqa: BLE001 - the step has said it
            return 1
    # told to end, it cleans up as after Ctrl-C: PostgreSQL would stay otherwise, and on a given cluster the namespace
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with tempfile.TemporaryDirectory(prefix="stepwire-kubernetes-") as folder:
        try:
            if SCALING and NETWORK:
                raise NotHere("KEDA=1 and NETWORK=1 are two runs: give one of them")
            code = (on_a_given_one if os.environ.get(given.KUBECONFIG) else on_this_machine)(Path(folder))
        except (Exception, KeyboardInterrupt) as wrong:  # noqa: BLE001 - the last line says it, whatever it was
            say(f"{type(wrong).__name__}: {wrong}")
            code = 1
    say(f"{'pass' if not code else 'FAIL'} after {time.monotonic() - BEGUN:.0f} s")
    return code


if __name__ == "__main__":
    sys.exit(main())

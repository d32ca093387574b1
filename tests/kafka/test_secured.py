"""A worker on a cluster that asks who it is, encrypts, and refuses what no ACL allows."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.kafka.guarded import PASSWORD, Guarded, lent
from tests.kafka.place import Place, says, working

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]


@pytest.fixture(scope="module")
def broker(service: Callable[..., None], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    """One for all tests here; each has topics under a prefix of its own."""
    with lent(service, tmp_path_factory.mktemp("guarded")) as found:
        yield found


@pytest.fixture
async def place(broker: Guarded, topic_prefix: str, tmp_path: Path) -> Place:
    found = Place(broker, topic_prefix, tmp_path)
    await found.apply()
    return found


@pytest.mark.parametrize("way", ["plain-sasl", "plain", "scram", "oauth", "mutual"])
async def test_a_flow_runs_whoever_one_must_be(place: Place, way: str) -> None:
    """Password in the clear and under TLS, SCRAM, a token from a file, a certificate: nothing of it is in the log."""
    place.broker.give(place.rights)
    place.broker.write_token()
    with working(place, way) as said:
        place.publish(1, 2)
        assert place.answers(2) == [b'{"n":1}', b'{"n":2}']
    assert PASSWORD not in said.read_text()
    assert (place.broker.certificates.folder / "token").read_text() not in said.read_text()


WRONG = [
    ("mistaken", {}, "must name it"),
    ("plain", {"STEPWIRE_KAFKA__SASL_PASSWORD": "hunter2"}, "Invalid username or password); look at sasl.mechanism"),
    ("scram", {"STEPWIRE_KAFKA__SASL_PASSWORD": "hunter2"}, "does not let this user in"),
    ("plain-sasl", {"STEPWIRE_KAFKA__SASL_MECHANISM": "SCRAM-SHA-512"}, "it does not know this mechanism"),
    ("plain", {"STEPWIRE_KAFKA__SSL_CA_LOCATION": "stranger.pem"}, "look at ssl.ca.location"),
    ("mutual", {"STEPWIRE_KAFKA__SSL_CERTIFICATE_LOCATION": "impostor.crt",
                "STEPWIRE_KAFKA__SSL_KEY_LOCATION": "impostor.key"}, "takes the certificate of ssl.certificate"),
    ("plain", {"STEPWIRE_KAFKA__SECURITY_PROTOCOL": "SASL_PLAINTEXT"}, "whether security.protocol fits this port"),
    ("plain-sasl", {"STEPWIRE_KAFKA__SECURITY_PROTOCOL": "PLAINTEXT"}, "whether security.protocol fits this port"),
    ("oauth", {"STEPWIRE_KAFKA__SASL_OAUTHBEARER_TOKEN_FILE": "garbage.key"}, "look at sasl.oauthbearer.token.file"),
]  # fmt: skip


@pytest.mark.parametrize(("way", "changed", "said"), WRONG, ids=[f"{way}-{n}" for n, (way, *_) in enumerate(WRONG)])
async def test_who_is_not_let_in_is_told_why(place: Place, way: str, changed: dict[str, str], said: str) -> None:
    """Each wrong setting is one line that names it, soon, and without the password."""
    folder = place.broker.certificates.folder
    (folder / "garbage.key").write_text("garbage")
    files = (".pem", ".crt", ".key")
    changed = {name: str(folder / value) if value.endswith(files) else value for name, value in changed.items()}
    text = place.refused(way, **changed)
    assert said in text
    assert "hunter2" not in text and PASSWORD not in text


LOST = ["secured.answers", "secured.answer", "secured.answer-"]  #: a topic, a group, transactional ids


async def test_topics_that_may_not_be_seen_are_not_called_missing(place: Place) -> None:
    """Without any right: the worker ends with how to give them, and does not tell to make what is there."""
    text = place.refused("plain")
    assert "may not be seen" in text and "stepwire topics plan --format acls" in text


@pytest.mark.parametrize("lost", LOST)
async def test_a_worker_without_a_right_says_so_and_waits_for_it(place: Place, lost: str) -> None:
    """It says which right to what is missing and how to give it, and works as soon as it has it."""
    place.broker.give(place.rights)
    place.broker.take(place.right(lost))
    with working(place, "plain") as said:
        place.publish(1)
        assert says(said, "AuthorizationFailed"), said.read_text()
        assert "stepwire topics plan --format acls" in said.read_text()
        place.broker.give([place.right(lost)])
        place.publish(2)
        assert place.answers(2)[-1] == b'{"n":2}'


@pytest.mark.parametrize("lost", LOST)
async def test_a_right_that_is_taken_and_given_back_loses_nothing(place: Place, lost: str) -> None:
    """The worker says what is missing, waits, and goes on by itself: each event has one output, none a dead letter."""
    place.broker.give(place.rights)
    with working(place, "scram") as said:
        place.publish(1)
        assert len(place.answers(1)) == 1
        place.broker.take(place.right(lost))
        place.publish(2, 3)
        assert says(said, "AuthorizationFailed"), said.read_text()
        place.broker.give([place.right(lost)])
        place.publish(4)
        assert place.answers(3) == [b'{"n":2}', b'{"n":3}', b'{"n":4}']
    assert place.answers(0) == []


async def test_an_idle_worker_whose_password_is_changed_says_so_and_goes_on_once_it_fits(place: Place) -> None:
    """Nothing is read meanwhile, so only a look at the cluster can notice; what was published then is not lost."""
    place.broker.give(place.rights)
    with working(place, "scram") as said:
        place.publish(1)
        assert place.answers(1) == [b'{"n":1}']
        place.broker.set_password("another one")
        place.broker.node.stop()  # open connections would stay open
        place.broker.node.start()
        assert says(said, "the broker does not let this user in"), said.read_text()
        place.publish(2)
        place.broker.set_password(PASSWORD)
        assert says(said, "works again"), said.read_text()
        assert place.answers(1) == [b'{"n":2}']

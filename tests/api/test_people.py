"""Who may do what: nobody reads or changes what is another person's, whatever the operation.

The operations come from the document: one that is added later is in it.
"""

import logging
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import timedelta

import pytest
from django.test import Client
from django.utils import timezone

from accounts.models import Access, Token, User
from accounts.tokens.services import TokenService
from tests.api.clients import Answer, Program, assert_problem, program_of
from tests.api.operations import OF_ITSELF, Operation, all_operations, named, writing
from tests.factories import new_run, new_todo, new_todos, new_token, trash
from tests.rows import all_rows, rows_of, without_visits
from todos.services import TodoService

#: What only Alice may read.
SECRET = "Alice's secret"

every_operation = pytest.mark.parametrize("operation", all_operations(), ids=named)
every_write = pytest.mark.parametrize("operation", writing(), ids=named)


@dataclass
class Alice:
    """Alice, with todos, trash, what she has just cleared, and a token that may write.

    Attributes:
        ids: of her todos on the list and in the trash.
        cleared_at: when she cleared some of these.
        cursor: one that she was given.
    """

    user: User
    program: Program
    cleared_at: str = ""
    cursor: str = ""
    ids: list[int] = field(default_factory=list)


@pytest.fixture
def her(db: None) -> Alice:
    alice = User.objects.create_user("alice", "alice@example.org", first_name=SECRET)
    done = new_todos(alice, each=2, title=SECRET)
    cleared = TodoService.clear_completed(user=alice)
    todos = [
        *done,
        new_todo(alice, title=SECRET, description=SECRET, completed_at=None),
        new_todo(alice, title=SECRET),
    ]
    swept = trash(alice, SECRET, SECRET, run_id=new_run().pk, trashed_at=timezone.now())
    deleted = trash(alice, SECRET)
    program = program_of(alice)
    program.post("/todos", {"title": SECRET}, Idempotency_Key="key")
    page = program.get("/todos?limit=1").json
    ids = [page["items"][0]["id"], *(todo.pk for todo in todos), *swept, *deleted]
    return Alice(alice, program, cleared.trashed_at.isoformat(), page["next_cursor"], ids)


def requests_for(
    operation: Operation, her: Alice, program: Program, **headers: str
) -> Iterator[Answer]:
    """Send each request that names what is Alice's."""
    for pk in her.ids if operation.has_id else her.ids[:1]:
        for body in operation.bodies(her.ids, cleared_at=her.cleared_at):
            yield program.ask(operation.method, operation.at(pk), body, **headers)


def test_the_document_has_operations_on_rows_and_on_selections() -> None:
    assert any(operation.has_id for operation in all_operations())
    assert any(
        "ids" in (operation.body or {})["properties"] for operation in writing() if operation.body
    )
    assert OF_ITSELF in {operation.name for operation in writing()}


def test_alice_can_do_herself_what_others_are_tried_with(her: Alice) -> None:
    """Or the tests below would pass for the wrong reason."""
    found = {answer.status for pk in her.ids for answer in [her.program.get(f"/todos/{pk}")]}
    assert found == {200, 404}
    assert (
        her.program.post("/trash/restore", {"cleared_at": her.cleared_at}).json["todos_restored"]
        == 2
    )
    assert SECRET in her.program.get("/export").content.decode()


@every_operation
def test_nothing_of_alice_is_read_or_changed_by_bob(
    her: Alice, bobs: Program, operation: Operation
) -> None:
    before = rows_of(her.user)
    answers = list(requests_for(operation, her, bobs))
    assert answers
    for answer in answers:
        assert answer.status < 500
        assert SECRET not in answer.content.decode()
        assert "alice@" not in answer.content.decode()
        if operation.has_id:
            assert_problem(answer, 404)
        elif answer.status == 200 and operation.writes:
            assert not any(n for name, n in answer.json.items() if name.startswith("todos_"))
    assert rows_of(her.user) == before


def test_what_is_not_there_and_what_is_anothers_are_answered_alike(
    her: Alice, bobs: Program
) -> None:
    for operation in all_operations():
        if operation.has_id:
            (*_, body) = operation.bodies(her.ids)
            theirs = bobs.ask(operation.method, operation.at(her.ids[0]), body)
            nobodys = bobs.ask(operation.method, operation.at(10**15), body)
            assert_problem(theirs, 404)
            assert theirs.content == nobodys.content


def test_precondition_tells_nothing_of_anothers_todo(her: Alice, bobs: Program) -> None:
    state = her.program.get(f"/todos/{her.ids[0]}").etag
    for tag in (state, '"0"', "*"):
        assert_problem(bobs.delete(f"/todos/{her.ids[0]}", If_Match=tag), 404)


def test_key_and_cursor_of_alice_give_bob_his_own(her: Alice, bobs: Program) -> None:
    created = bobs.post("/todos", {"title": SECRET}, Idempotency_Key="key")
    assert created.headers["Idempotency-Replayed"] == "false"
    assert created.json["id"] not in her.ids
    assert bobs.get(f"/todos?cursor={her.cursor}").json["items"] == []


# Tokens that only read


@every_write
def test_token_that_reads_changes_nothing(her: Alice, operation: Operation) -> None:
    reader = program_of(her.user, Access.READ)
    assert reader.get("/me").status == 200  # Notes when it was used.
    before = all_rows()
    if operation.name == OF_ITSELF:
        assert reader.ask(operation.method, operation.path).status == 204
        assert_problem(reader.get("/me"), 401)
        return
    for answer in requests_for(operation, her, reader):
        assert_problem(answer, 403, "read-only-token")
    assert all_rows() == before


def test_token_that_reads_reads_everything(her: Alice) -> None:
    reader = program_of(her.user, Access.READ)
    for operation in all_operations():
        if not operation.writes:
            statuses = {reader.get(operation.at(pk)).status for pk in her.ids}
            assert statuses <= {200, 404}
            assert 200 in statuses


# Nobody


def wrong_headers(user: User) -> dict[str, str]:
    """Return headers `Authorization` that open nothing, by what is wrong with each."""
    good = new_token(user)
    calendar = new_token(user, Access.CALENDAR)
    expired = new_token(user)
    Token.objects.filter(prefix=expired[5:13]).update(
        expires_at=timezone.now() - timedelta(seconds=1)
    )
    revoked = TokenService.create(user=user, name="Old", access=Access.WRITE)
    TokenService.revoke(user=user, token_id=revoked.token.pk)
    left = User.objects.create_user("left", is_active=False)
    other = "a" if good[-1] != "a" else "b"
    return {
        "expired": f"Bearer {expired}",
        "revoked": f"Bearer {revoked.secret}",
        "of the calendar": f"Bearer {calendar}",
        "of somebody who may not log in": f"Bearer {new_token(left)}",
        "of nobody": f"Bearer tidy_{'a' * 8}_{'b' * 32}",
        "another secret with the same prefix": f"Bearer {good[:-1]}{other}",
        "too short": f"Bearer {good[:-1]}",
        "too long": f"Bearer {good}a",
        "with a line break": f"Bearer {good}\n",
        "in capitals": f"Bearer {good.upper()}",
        "its prefix alone": f"Bearer {good[5:13]}",
        "its digest": f"Bearer {Token.objects.values_list('digest', flat=True)[0]}",
        "without a scheme": good,
        "without a secret": "Bearer",
        "with an empty secret": "Bearer ",
        "empty": "",
        "blank": " ",
        "Basic": "Basic YWxpY2U6c2VjcmV0",
        "Basic with a good token": f"Basic {good}",
        "two schemes": f"Basic YWxpY2U6c2VjcmV0, Bearer {good}",
        "two tokens": f"Bearer {good}, Bearer {good}",
        "two secrets": f"Bearer {good} {good}",
        "non-ASCII": f"Bearer {good[:-1]}é",
        "other digits": f"Bearer {good[:-1]}٣",
        "a megabyte": f"Bearer {'a' * 2**20}",
        "a pattern": "Bearer tidy_%_%",
    }


def test_whoever_is_nobody_gets_one_answer_from_every_operation(her: Alice) -> None:
    wrong = wrong_headers(her.user)
    before = without_visits(all_rows())
    answers = {}
    for operation in all_operations():
        (*_, body) = operation.bodies(her.ids)
        path = operation.at(her.ids[0])
        answer = Program().ask(operation.method, path, body)
        assert_problem(answer, 401, "unauthorized")
        assert answer.headers["WWW-Authenticate"] == "Bearer"
        answers[operation.name] = alike(answer)
        for why, header in wrong.items():
            answer = Program().ask(operation.method, path, body, Authorization=header)
            assert alike(answer) == answers[operation.name], (operation.name, why)
    assert len({str(answer) for answer in answers.values()}) == 1
    assert without_visits(all_rows()) == before


def alike(answer: Answer) -> tuple[int, bytes, dict[str, str]]:
    """Return what has to be the same of all answers."""
    return answer.status, answer.content, answer.lasting_headers


def test_nul_in_the_header_is_malformed(api: Program) -> None:
    answer = Program().get("/me", Authorization=f"Bearer {api.secret}\0")
    assert_problem(answer, 400)


def test_token_of_somebody_who_is_deactivated_or_deleted_opens_nothing(
    api: Program, alice: User
) -> None:
    User.objects.filter(pk=alice.pk).update(is_active=False)
    assert_problem(api.get("/me"), 401)
    User.objects.filter(pk=alice.pk).update(is_active=True)
    assert api.get("/me").status == 200
    alice.delete()
    assert_problem(api.get("/me"), 401)


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER"])
def test_scheme_may_be_written_in_any_capitals(api: Program, scheme: str) -> None:
    assert Program().get("/me", Authorization=f"{scheme} {api.secret}").status == 200


# Sessions


def test_bad_token_is_refused_although_there_is_a_session(
    her: Alice,
) -> None:
    page = Program(client=Client())
    page.client.force_login(her.user)
    assert page.get("/me").status == 200
    before = without_visits(rows_of(her.user))
    for header in ("", "Basic YWxpY2U6c2VjcmV0", f"Bearer tidy_{'a' * 8}_{'b' * 32}"):
        for operation in all_operations():
            (*_, body) = operation.bodies(her.ids)
            path = operation.at(her.ids[0])
            answer = page.ask(operation.method, path, body, Authorization=header)
            assert_problem(answer, 401)
    assert without_visits(rows_of(her.user)) == before


def test_token_counts_and_not_the_session_of_somebody_else(
    api: Program, page: Program, bobs: Program
) -> None:
    bob = page.get("/me", Authorization=f"Bearer {bobs.secret}")
    assert bob.json["username"] == "bob"
    # A session does not lend a token its rights, nor needs a token one against forgery.
    assert page.post("/todos", {"title": "a"}, Authorization=f"Bearer {bobs.secret}").status == 201
    assert api.get("/todos").json["items"] == []


def test_session_reads(page: Program, alice: User) -> None:
    todo = new_todo(alice)
    gone = trash(alice, "Gone")[0]
    for operation in all_operations():
        if not operation.writes:
            pk = gone if "trash" in operation.path else todo.pk
            assert page.get(operation.at(pk)).status == 200


@every_write
def test_session_writes_with_the_token_against_forgery_alone(
    her: Alice, operation: Operation
) -> None:
    page = Program(client=Client(enforce_csrf_checks=True))
    page.client.force_login(her.user)
    page.client.get("/")
    token = page.client.cookies["csrftoken"].value
    before = without_visits(rows_of(her.user))
    for header in ({}, {"X_CSRFToken": "x" * 32}, {"X_CSRFToken": ""}):
        for answer in requests_for(operation, her, page, **header):
            assert_problem(answer, *((401,) if operation.name == OF_ITSELF else (403, "csrf")))
    assert without_visits(rows_of(her.user)) == before

    answers = list(requests_for(operation, her, page, X_CSRFToken=token))
    if operation.name == OF_ITSELF:
        assert {answer.status for answer in answers} == {401}
    else:
        assert {answer.status for answer in answers} & {200, 201, 204}


def test_session_of_somebody_who_logged_out_opens_nothing(page: Program) -> None:
    assert page.get("/me").status == 200
    page.client.logout()
    assert_problem(page.get("/me"), 401)


# Secrets


def test_no_secret_is_in_an_answer_or_in_the_log(
    her: Alice,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    caplog.set_level(logging.DEBUG)
    programs = [her.program, program_of(her.user, Access.READ), program_of(her.user)]
    digests = list(Token.objects.values_list("digest", flat=True))
    TokenService.revoke(user=her.user, token_id=Token.objects.latest("pk").pk)
    answers = [
        answer
        for operation in all_operations()
        if operation.name != OF_ITSELF
        for program in programs
        for answer in requests_for(operation, her, program)
    ]
    monkeypatch.setattr(TodoService, "create", failing)
    for program in programs:
        program.client.raise_request_exception = False
        answers.append(program.post("/todos", {"title": "a"}))
        answers.append(program.get("/todos?q=\0"))
        answers.append(program.post("/todos", b"{"))
        answers.append(program.ask("PUT", "/todos"))
        answers.append(program.delete("/me/token"))
    assert {200, 201, 204, 400, 401, 403, 404, 405, 422, 500} <= {one.status for one in answers}
    assert "a mistake" in caplog.text
    written = caplog.text + "".join(capfd.readouterr())
    told = [*(answer.content.decode() + str(dict(answer.headers)) for answer in answers), written]
    for secret in [*(program.secret.split("_")[2] for program in programs), *digests]:
        assert not any(secret in text for text in told)
    assert not any(answer.cookies for answer in answers)


def failing(**_: object) -> None:
    raise RuntimeError("a mistake")


def test_alice_has_something_to_lose(her: Alice) -> None:
    assert SECRET in str(rows_of(her.user))


def test_document_is_anybodys(client: Client, db: None) -> None:
    assert client.get("/api/v1/openapi.json").status_code == 200

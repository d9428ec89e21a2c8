"""Decides what is to be told, and when: an episode is told once, and once that it is over.

- A kind of problem is told when it has been seen for a minute. Pauses do not count, and one of a
  minute begins it anew: what comes and goes at a deploy is not told.
- The first one that is told opens an episode. Its alert holds the whole verdict. Later kinds are
  told in further alerts, the first at once and the next ones at growing distances.
- The episode is over when the verdict has been well for a minute without a break. Of episodes that
  follow each other closely, each has to be well for twice as long as the one before: a verdict that
  comes and goes becomes one long episode.
"""

from collections.abc import Collection, Sequence
from uuid import uuid4

from tasks.engine.alerts.outbox import failing, queue
from tasks.engine.alerts.state import Episode, Event, Line, Message, Seen, State
from tasks.engine.monitoring.problem import Problem
from tasks.engine.words import printable

#: Between two looks of a process.
LOOK_SECONDS = 10.0

#: How long a problem must last to be told, and how long the verdict must be well for the end.
LASTING_SECONDS = 60.0

#: Two looks that are further apart say nothing about the time between them: nobody looked.
GAP_LOOKS = 4

#: A kind that was told is forgotten, and told anew, when it has not been seen for so long.
FORGET_SECONDS = 60 * 60.0

#: How long after the alert before further ones may follow: after the first, the second and so on.
DISTANCES_SECONDS = (0.0, 5 * 60.0, 10 * 60.0, 20 * 60.0, 40 * 60.0, 60 * 60.0)
#: After so long without an alert, these begin anew.
DISTANCES_RESET_SECONDS = 6 * 60 * 60.0

#: An episode that begins within this time after the one before follows it closely.
CLOSE_SECONDS = 60 * 60.0
#: How often the time doubles that the verdict must be well: up to about an hour.
MOST_DOUBLINGS = 6

#: Lines of one alert, and characters of one; the others are counted, or cut off.
MOST_LINES = 10
MOST_CHARACTERS = 300

#: Kinds that are remembered.
MOST_KINDS = 200


def advance(
    state: State, problems: Sequence[Problem], *, now: float, channels: Collection[str]
) -> None:
    """Note what a look has found, and queue what is to be told by these channels."""
    note(state, problems, now)
    if news := find_news(state, problems, now):
        tell(state, problems, news, now=now, channels=channels)
    elif state.episode and is_over(state, now):
        end(state, now, channels)


def note(state: State, problems: Sequence[Problem], now: float) -> None:
    gap = GAP_LOOKS * LOOK_SECONDS
    for kind in dict.fromkeys(problem.kind for problem in problems):
        seen = state.seen.get(kind)
        if seen is None:
            state.seen[kind] = Seen(since=now, at=now)
            continue
        if 0 < now - seen.at <= gap:
            seen.lasted += now - seen.at
        seen.at = now
    for kind, seen in list(state.seen.items()):
        if now - seen.at >= (FORGET_SECONDS if seen.told else LASTING_SECONDS):
            del state.seen[kind]
    while len(state.seen) > MOST_KINDS:
        del state.seen[next(iter(state.seen))]
    unbroken = state.well_since is not None and abs(now - state.looked_at) <= gap
    state.well_since = None if problems else state.well_since if unbroken else now
    state.looked_at = now


def find_news(state: State, problems: Sequence[Problem], now: float) -> list[str]:
    """Return the kinds that are to be told now."""
    kinds = dict.fromkeys(problem.kind for problem in problems)
    seen = {kind: state.seen[kind] for kind in kinds if kind in state.seen}
    news = [k for k, s in seen.items() if not s.told and s.lasted >= LASTING_SECONDS]
    episode = state.episode
    if not news or episode is None:
        return news
    if now - episode.told_at >= DISTANCES_RESET_SECONDS:
        episode.alerts = 1
    distance = DISTANCES_SECONDS[min(episode.alerts, len(DISTANCES_SECONDS)) - 1]
    return news if now - episode.told_at >= distance else []


def tell(
    state: State,
    problems: Sequence[Problem],
    news: Sequence[str],
    *,
    now: float,
    channels: Collection[str],
) -> None:
    """Queue an alert with the whole verdict, what is new first."""
    since = min(state.seen[kind].since for kind in news)
    episode = state.episode
    if episode is None:
        closely = now - state.ended_at < CLOSE_SECONDS
        state.flaps = state.flaps + 1 if closely else 0
        state.episode = episode = Episode(id=uuid4().hex, since=since, lines=[], told_at=now)
    else:
        episode.alerts += 1
        episode.told_at = now
    # An alert that a channel cannot deliver is no news for that channel.
    told = [name for name in channels if set(news) != {failing(name)}]
    event: Event = "more" if episode.channels else "alert"
    ordered = sorted(problems, key=lambda problem: problem.kind not in news)
    episode.lines = [line_of(problem, state) for problem in ordered[:MOST_LINES]]
    episode.channels += [name for name in told if name not in episode.channels]
    message = Message(
        id=episode.id if event == "alert" else uuid4().hex,
        event=event,
        episode=episode.id,
        at=now,
        since=since,
        lines=tuple(episode.lines),
        more=len(ordered[MOST_LINES:]),
    )
    queue(state, message, told, now=now)
    for problem in problems:
        if problem.kind in state.seen:
            state.seen[problem.kind].told = True


def line_of(problem: Problem, state: State) -> Line:
    """Return a problem's line as it is told: without what it quotes, and not long."""
    text = printable(problem.text)
    if len(text) > MOST_CHARACTERS:
        text = f"{text[: MOST_CHARACTERS - 1]}…"
    return Line(text, state.seen[problem.kind].since)


def is_over(state: State, now: float) -> bool:
    calm = LASTING_SECONDS * 2 ** min(state.flaps, MOST_DOUBLINGS)
    return state.well_since is not None and now - state.well_since >= calm


def end(state: State, now: float, channels: Collection[str]) -> None:
    """Queue the message that the episode is over, for those that know of it."""
    episode = state.episode
    if episode is None or state.well_since is None:
        return
    message = Message(
        id=uuid4().hex,
        event="over",
        episode=episode.id,
        at=now,
        since=episode.since,
        lines=tuple(episode.lines),
        until=state.well_since,
    )
    queue(state, message, [name for name in episode.channels if name in channels], now=now)
    state.episode = None
    state.ended_at = now
    state.seen.clear()

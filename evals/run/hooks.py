"""What a run asks of the world outside its directory, as functions. Not here: who answers (`commands.session`)."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field

from evals.record import AttemptKey
from evals.run.admission import Admission
from evals.run.calibrations import Calibrate, idles
from evals.run.executor import Executor
from evals.run.grading import Grades
from evals.run.image_supply import ImagePolicy
from evals.run.looks import Look
from evals.run.same_server import ServerCheck
from scaffolds.model import ModelError


@dataclass(frozen=True)
class RunHooks:
    """One run's: tests hand in fakes here and nowhere else."""

    grade: Grades | None
    """None leaves grading for later."""
    wait_for_server: Callable[[Callable[[], bool]], bool]
    """Block until the model server answers (or the given function says stop); True when it had been away."""
    look: Callable[[AttemptKey], Look | None] = lambda _key: None
    """Told of each attempt that has its outcome; answers with the planned look that this one completed."""
    short_prompt: Callable[[], ModelError | None] = lambda: None
    """Ask the server a short prompt, once: what keeps it from an answer; None where nothing does."""
    accept_empty_turns: bool = False
    """Go on with a server that loses its answers."""
    same_server: ServerCheck | None = None
    """How to ask whether the server is still the one that the run began with; None where no attempt needs one."""
    calibrate: Calibrate | None = None
    """Makes what strict needs of a task; None leaves it to the grade that needs it."""
    idles: Callable[[], bool] = idles
    """Whether this machine has time for what nobody waits for yet."""
    executor: Executor | None = None
    """Where attempts are made; None is threads of this process, on the context's backend."""
    withdraw: Callable[[Collection[AttemptKey]], Collection[str]] = lambda _keys: ()
    """Told of recorded attempts that are to be made again: looks that counted them do not stand. Answers with the
    scaffolds that are undecided for it."""
    images: ImagePolicy = field(default_factory=ImagePolicy)
    """What is pulled ahead, and removed after its last use; nothing without a store."""
    admission: Admission = field(default_factory=Admission)
    """How many attempts may be under way."""
    counters: Callable[[], Mapping[str, float]] | None = None
    """What the server counts now (`scaffolds.openai.metrics`); None where it is not asked."""
    abandoned: threading.Event = field(default_factory=threading.Event)
    """Set with the end of the session, for whoever grades in this process."""

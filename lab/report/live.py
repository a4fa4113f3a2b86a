"""A run as it goes on: the report of what is known by now, put together only when somebody asks for it."""

from __future__ import annotations

from lab.history import FaultSpan, Outcome
from lab.recorder import Recorder
from lab.report.figures import Figures
from lab.report.page.bins import Bins
from lab.report.page.content import ROWS, Part, Report, fine, part_of_result
from lab.runner import Result
from lab.scenario import Scenario
from lab.studies.base import Study, StudyResult
from lab.suite import Suite, SuiteObserver


class LiveRun:
    """Follows a suite as its observer, and passes all it hears on to another one.

    Nothing is computed for each operation: `report` looks at those that have ended since it was last asked.
    """

    def __init__(self, others: SuiteObserver) -> None:
        self._others = others
        self._ended: list[Part] = []
        self._studies: list[StudyResult] = []
        self._titles: dict[str, str] = {}
        self._now: Scenario | Study | None = None
        self._recorder: Recorder | None = None
        self._bins = Bins()
        self._phase = "starting"
        self._about = ""
        self._whole: Report | None = None

    def watch(self, recorder: Recorder) -> None:
        """Follow the record of the scenario that begins."""
        self._recorder, self._bins = recorder, Bins()

    def report(self) -> Report:
        """Return what is known by now."""
        if self._whole is not None:
            return self._whole
        going_on = f"{self._now.name}: {self._phase}" if self._now else self._phase
        part = self._going_on()
        parts = (*self._ended, part) if part is not None else tuple(self._ended)
        return Report(self._about, parts, tuple(self._studies), (), self._titles, going_on)

    def ended(self, suite: Suite) -> None:
        """Hear that all has ended: from now on the report is that of the suite."""
        about = f"{suite.about} · seed {suite.seed}"
        self._whole = Report(about, tuple(self._ended), suite.studies, suite.refused, self._titles)

    def _going_on(self) -> Part | None:
        if self._recorder is None or self._now is None or self._recorder.assembler.run is None:
            return None
        recorded = self._recorder.assembler.so_far()
        self._about = f"{recorded.run.cluster.partition(': ')[2]} · seed {recorded.run.seed}"
        self._bins.add(self._recorder.assembler.ended(self._bins.count))
        timeline = fine(self._bins)
        figures = _figures(self._bins, self._recorder.now())
        return Part(self._now.title, None, (), recorded, timeline, self._bins.timeline(ROWS), figures)

    def phase(self, name: str) -> None:
        """Hear of a new phase."""
        self._phase = name
        self._others.phase(name)

    def completed(self, outcome: Outcome) -> None:
        """Pass it on; the record has it."""
        self._others.completed(outcome)

    def armed(self, fault: str) -> None:
        """Pass it on; the record has it."""
        self._others.armed(fault)

    def healed(self, span: FaultSpan) -> None:
        """Pass it on; the record has it."""
        self._others.healed(span)

    def scenario_begins(self, scenario: Scenario) -> None:
        """Turn to the next scenario."""
        self._now, self._recorder = scenario, None
        self._titles[scenario.name] = scenario.title
        self._others.scenario_begins(scenario)

    def scenario_ends(self, result: Result) -> None:
        """Keep how it ended."""
        self._ended.append(part_of_result(result, self._titles.get(result.scenario, "")))
        self._now, self._recorder, self._phase = None, None, "between scenarios"
        self._others.scenario_ends(result)

    def study_begins(self, study: Study) -> None:
        """Turn to the next study."""
        self._now, self._recorder = study, None
        self._titles[study.name] = study.title
        self._others.study_begins(study)

    def study_ends(self, result: StudyResult) -> None:
        """Keep how it ended."""
        self._studies.append(result)
        self._now, self._phase = None, "between studies"
        self._others.study_ends(result)


def _figures(bins: Bins, seconds: float) -> Figures:
    ok, fail, info = (bins.counted(outcome) for outcome in (Outcome.OK, Outcome.FAIL, Outcome.INFO))
    rate = bins.count / seconds if seconds > 0 else 0.0
    return Figures(ok, fail, info, 0, None, bins.percentile(0.50), bins.percentile(0.99), None, rate)

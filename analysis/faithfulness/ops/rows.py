"""Operations on rows from outside: measured as a study, and the scores written in the columns of the published code."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar

from analysis.answer import to_wire
from analysis.corpora.text_source import TextSource
from analysis.engine.context import Context
from analysis.engine.keys import hash_of
from analysis.engine.operation import Operation
from analysis.engine.question import Kind, Result
from analysis.errors import UserError
from analysis.faithfulness.answers.jobs import FileStudy, RefusedLine, ScoredRows
from analysis.faithfulness.ops.jobs import either, keep, scored
from analysis.faithfulness.ops.study import OnStudy, reader_for
from analysis.fields import Whole
from analysis.models.spec import ModelSpec
from analysis.progress import portion

if TYPE_CHECKING:
    from analysis.models.loaded_model import LoadedModel

MAX_FILE = 20_000_000
MAX_ITEMS = 2_000
"""Chains of one file."""


@dataclass(frozen=True)
class FaithFile(Operation[FileStudy]):
    """Rows in the shape of the published benchmark, checked and measured; if ``judged``, also by a judge: the model
    named ``judge``, or the measured one itself."""

    kind: ClassVar[Kind] = "job"
    writes: ClassVar[bool] = True
    model: ModelSpec = ModelSpec("default")
    text: str = ""
    unlabelled: bool = False
    continued: bool = False
    target: str = ""
    most: Annotated[int, Whole(5, 400, words="The most steps of a chain")] = 400
    dataset: str = ""
    judged: bool = False
    judge: str = ""

    def __post_init__(self) -> None:
        either(self.continued)
        if not isinstance(self.judged, bool):
            raise UserError("A judge is either asked or not.", "judged")
        if not isinstance(self.judge, str) or len(self.judge) > 300:
            raise UserError("The judge is named by at most 300 characters.", "judge")
        super().__post_init__()
        if not isinstance(self.dataset, str) or not isinstance(self.target, str) or len(self.target) > 200:
            raise UserError("A model or dataset is named by a short text.", "target")
        if self.dataset.strip():
            TextSource("dataset", self.dataset.strip())
        if not isinstance(self.text, str) or not (self.text.strip() or self.dataset.strip()):
            raise UserError("There are no rows. Paste them, choose a file, or name a dataset on the hub.", "text")
        if len(self.text) > MAX_FILE:
            raise UserError(f"The rows have more than {MAX_FILE:,} characters. Split the file.", "text")
        if not isinstance(self.unlabelled, bool):
            raise UserError("Rows without a label are either taken or not.", "unlabelled")

    def describe(self) -> str:
        return "Faithfulness of rows from a file"

    def run(self, context: Context) -> Result:
        from analysis.faithfulness.judge import with_judge
        from analysis.faithfulness.row_files import hub_rows
        from analysis.faithfulness.row_report import writers
        from analysis.faithfulness.rows import MAX_BYTES, read_rows

        loaded = context.model(self.model)
        text = self.text
        if not text.strip():
            context.progress(0.0, f"reading {self.dataset.strip()} from the hub")
            source = TextSource("dataset", self.dataset.strip(), split="")
            text = hub_rows(source, self.target.strip(), MAX_BYTES, context.check)
        rows = read_rows(
            text, loaded.tokenizer, self.unlabelled, check=context.check, target=self.target.strip(), most=self.most
        )
        refused = [RefusedLine(line, sentence) for line, sentence in rows.refused]
        if not rows.items:
            first = f" Line {refused[0].line}: {refused[0].sentence}" if refused else ""
            raise UserError(f"None of these rows can be used.{first}", "text")
        if len(rows.items) > MAX_ITEMS:
            raise UserError(
                f"The file holds {len(rows.items):,} chains; at most {MAX_ITEMS:,} are measured at once. Split it, all "
                "rows of a question together.",
                "text",
            )
        judge = self._judge(context) if self.judged else None
        study = scored(
            context, loaded, rows.items, "", "rows from a file", "rows from a file", 0.0, self.continued, rows=True,
            end=1.0 if judge is None else 0.6,
        )  # fmt: skip
        unjudged = ""
        if judge is not None:
            try:
                study = with_judge(study, reader_for(context, judge), portion(context.progress, 0.6, 1.0))
            except UserError as error:
                unjudged = error.message
        study.manifest["writers"] = writers(study.items, loaded.facts.label)
        lines = {item.id: int(item.facts["line"]) for item in rows.items}
        refused += [RefusedLine(lines[item], sentence) for item, sentence in study.manifest["refused"]]
        refused.sort(key=lambda row: row.line)
        name = f"file-{hash_of([self.to_params(), loaded.facts.fingerprint])[:8]}"
        files = keep(study, loaded, name)
        judged = study.manifest["judge"]["sentence"] if "judge" in study.manifest else unjudged
        said = " ".join(filter(None, (rows.sentence, study.manifest["writers"], judged)))
        answer = FileStudy(name, len(study.items), tuple(refused), said)
        return Result(*to_wire(answer), files=files)

    def _judge(self, context: Context) -> LoadedModel:
        """The model that judges, loaded before anything is measured."""
        if not self.judge.strip():
            return context.model(self.model)
        try:
            return context.model(ModelSpec(self.judge.strip()))
        except UserError as error:
            raise UserError(error.message, "judge") from error


@dataclass(frozen=True)
class FaithRows(OnStudy[ScoredRows]):
    """The scores of a study of rows from outside, one row for each label and measure, in the published columns."""

    def run(self, context: Context) -> ScoredRows:
        from analysis.faithfulness.row_export import scored_rows

        loaded, study = self.opened(context)
        text, count = scored_rows(study, loaded.facts.label)
        if not count:
            raise UserError(
                "This study has no labels from a file, so there is nothing to write in the columns of such rows.",
                "study",
            )
        return ScoredRows(text, count, f"{count:,} rows: each label with each measure that scores it.")

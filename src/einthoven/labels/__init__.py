"""What do the codes mean? Label tables and the tasks that are read from them."""

from einthoven.labels.contradictions import NORMAL_CLASSES, exclusions_of
from einthoven.labels.conversion import (
    ChangedCode,
    Converted,
    LabelMap,
    LossReport,
    LostCode,
    MapRow,
    convert,
    list_maps,
    load_map,
)
from einthoven.labels.imputation import SINUS_RHYTHM, Imputed, SinusRhythmModel, fit_sinus_rhythm
from einthoven.labels.label_table import LabelTable, read_codes, read_label_table, write_label_table
from einthoven.labels.lookup import ClassMeaning, Meaning, explain_code, find_classes, find_codes
from einthoven.labels.scp import scp_statement
from einthoven.labels.systems import LabelSystem, columns_system, load_system, system_names
from einthoven.labels.tasks import Statement, Task, codes_of, make_task, table_tasks

__all__ = [
    "NORMAL_CLASSES",
    "SINUS_RHYTHM",
    "ChangedCode",
    "ClassMeaning",
    "Converted",
    "Imputed",
    "LabelMap",
    "LabelSystem",
    "LabelTable",
    "LossReport",
    "LostCode",
    "MapRow",
    "Meaning",
    "SinusRhythmModel",
    "Statement",
    "Task",
    "codes_of",
    "columns_system",
    "convert",
    "exclusions_of",
    "explain_code",
    "find_classes",
    "find_codes",
    "fit_sinus_rhythm",
    "list_maps",
    "load_map",
    "load_system",
    "make_task",
    "read_codes",
    "read_label_table",
    "scp_statement",
    "system_names",
    "table_tasks",
    "write_label_table",
]

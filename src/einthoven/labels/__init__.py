"""What do the codes mean? Label tables and the tasks that are read from them."""

from einthoven.labels.contradictions import exclusions_of
from einthoven.labels.scp import scp_statement
from einthoven.labels.tasks import Statement, Task, make_task, table_tasks

__all__ = ["Statement", "Task", "exclusions_of", "make_task", "scp_statement", "table_tasks"]

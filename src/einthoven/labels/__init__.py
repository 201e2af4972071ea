"""What do the codes mean? Label tables and the tasks that are read from them."""

from einthoven.labels.tasks import Statement, Task, make_task, task_names

__all__ = ["Statement", "Task", "make_task", "task_names"]

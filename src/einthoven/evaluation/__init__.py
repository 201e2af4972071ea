"""From predictions to a judgement: metrics with intervals, thresholds, and a page people read."""

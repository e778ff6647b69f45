/* When a visit to a model has seen enough. The rule is that of hwnas/runners/timing.py: keep the two equal. */
#ifndef HWBENCH_TIMING_H
#define HWBENCH_TIMING_H

#include <stddef.h>

#include "session.h"

typedef struct {
  long warmup_runs;         /* untimed runs, at least */
  double warmup_ms;         /* their duration, at least */
  long min_runs;            /* timed runs, at least */
  long max_runs;            /* timed runs, at most */
  double min_ms;            /* duration of the timed runs, at least, unless max_runs ends them */
  double max_ms;            /* duration after which the warm-up ends, and the timed runs end */
  double precision_percent; /* half-width of the 95 % confidence interval of the median that is good enough */
} Limits;

/* Those of a Device that says nothing else. */
#define DEFAULT_LIMITS \
  { .warmup_runs = 3, .warmup_ms = 20, .min_runs = 20, .max_runs = 2000, .min_ms = 50, .max_ms = 1000, \
    .precision_percent = 1 }

typedef struct {
  double first_us;  /* the very first run, which sets things up */
  double warmup_us; /* all untimed runs together */
  double *runs_us;  /* every timed run, in order; of malloc */
  long count;       /* how many, at least one */
} Timing;

/* Microseconds of a clock that nobody sets. */
double now_us(void);

/* Warms up, then times single runs of the model until `limits` are met. Fails with FAILED_RUN if a run does. */
Timing time_runs(Session *session, const Limits *limits);

#endif

#include "timing.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "failure.h"

/* The normal quantile of a two-sided 95 % interval. */
static const double Z_95 = 1.96;

double now_us(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return 1e6 * (double)now.tv_sec + (double)now.tv_nsec / 1e3;
}

static int ascending(const void *left, const void *right) {
  double a = *(const double *)left, b = *(const double *)right;
  return (a > b) - (a < b);
}

/* Half-width of the 95 % confidence interval of the median, which lies between two order statistics, in percent of the
 * median; infinite below 6 runs, of which even the smallest and the largest enclose it too rarely. */
static double median_precision_percent(const double *runs_us, long count, double *ordered) {
  if (count < 6) return INFINITY;
  memcpy(ordered, runs_us, (size_t)count * sizeof *ordered);
  qsort(ordered, (size_t)count, sizeof *ordered, ascending);
  long low = (long)floor(((double)(count - 1) - Z_95 * sqrt((double)count)) / 2);
  double median = (ordered[(count - 1) / 2] + ordered[count / 2]) / 2;
  return 100 * (ordered[count - 1 - low] - ordered[low]) / 2 / median;
}

static void warm_up(Session *session, const Limits *limits, Timing *timing) {
  double begin = now_us(), elapsed_us = 0;
  for (long runs = 0; (runs < limits->warmup_runs || elapsed_us < 1e3 * limits->warmup_ms) &&
                      elapsed_us < 1e3 * limits->max_ms; runs++) {
    session->run(session);
    elapsed_us = now_us() - begin;
    if (runs == 0) timing->first_us = elapsed_us;
  }
  timing->warmup_us = elapsed_us;
}

Timing time_runs(Session *session, const Limits *limits) {
  Timing timing = {.runs_us = malloc((size_t)limits->max_runs * sizeof(double))};
  double *ordered = malloc((size_t)limits->max_runs * sizeof(double));
  if (timing.runs_us == NULL || ordered == NULL) fail(FAILED_RUN, "no memory for %ld runs", limits->max_runs);
  /* touched once, so that no page of it is first touched between two runs */
  memset(timing.runs_us, 0, (size_t)limits->max_runs * sizeof(double));
  memset(ordered, 0, (size_t)limits->max_runs * sizeof(double));
  warm_up(session, limits, &timing);
  double start = now_us(), now = start;
  long next_check = limits->min_runs;
  do {
    double begin = now_us();
    session->run(session);
    now = now_us();
    timing.runs_us[timing.count++] = now - begin;
    if (timing.count < next_check) continue;
    /* sorting after every run would cost more than a short run does */
    next_check += timing.count / 4 > 10 ? timing.count / 4 : 10;
    if (now - start >= 1e3 * limits->min_ms &&
        median_precision_percent(timing.runs_us, timing.count, ordered) <= limits->precision_percent)
      break;
  } while (timing.count < limits->max_runs && now - start < 1e3 * limits->max_ms);
  free(ordered);
  return timing;
}
